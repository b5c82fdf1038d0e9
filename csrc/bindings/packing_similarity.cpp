#include "packflow/packing_similarity.h"

#include <tuple>

#include "module.h"

namespace py = pybind11;

namespace {

// Addresses of element, role, atom_ptr and species, and the number of kinds.
using Kinds = std::tuple<uintptr_t, uintptr_t, uintptr_t, uintptr_t, int>;
// Addresses of positions, cell, kind, molecule_ptr and reach, and the number of structures.
using Packings = std::tuple<uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, int64_t>;
// Address and number of pairs, molecules of the cluster, tolerance, whether to try the mirror image.
using Task = std::tuple<uintptr_t, int64_t, int, double, bool>;

packflow::MoleculeKinds view(const Kinds& x) {
  const auto [element, role, atom_ptr, species, n_kinds] = x;
  return {at<const int32_t>(element), at<const int32_t>(role), at<const int32_t>(atom_ptr), at<const int32_t>(species),
          n_kinds};
}

packflow::MolecularPackings view(const Packings& x) {
  const auto [positions, cell, kind, molecule_ptr, reach, n_structures] = x;
  return {at<const double>(positions),     at<const double>(cell),   at<const int32_t>(kind),
          at<const int64_t>(molecule_ptr), at<const int32_t>(reach), n_structures};
}

packflow::OverlayTask view(const Task& x) {
  const auto [pairs, n_pairs, n_molecules, tolerance, mirror] = x;
  return {at<const int64_t>(pairs), n_pairs, n_molecules, tolerance, mirror};
}

}  // namespace

void bind_packing_similarity(py::module_& m) {
  m.def(
      "packing_similarity_cpu",
      [](const Kinds& kinds, const Packings& packings, const Task& task, uintptr_t n_matched, uintptr_t rmsd,
         int n_threads) {
        packflow::cpu::packing_similarity(view(kinds), view(packings), view(task), at<int32_t>(n_matched),
                                          at<double>(rmsd), n_threads);
      },
      py::call_guard<py::gil_scoped_release>(), py::arg("kinds"), py::arg("packings"), py::arg("task"),
      py::arg("n_matched"), py::arg("rmsd"), py::arg("n_threads"));
}
