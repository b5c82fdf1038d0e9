#include "packflow/bonded.h"

#include <tuple>

#include "module.h"

namespace py = pybind11;

namespace {

// Addresses of positions, atom_ptr, kind, atoms, parameters and term_ptr; n_structures; addresses of energy, forces and
// virial.
using Batch = std::tuple<uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, int64_t, uintptr_t,
                         uintptr_t, uintptr_t>;
// Address of pointers, n_atoms, addresses of places and gradients.
using Gather = std::tuple<uintptr_t, int64_t, uintptr_t, uintptr_t>;

packflow::BondedBatch view(const Batch& x) {
  const auto& [positions, atom_ptr, kind, atoms, parameters, term_ptr, n_structures, energy, forces, virial] = x;
  return {at<const double>(positions),
          at<const int32_t>(atom_ptr),
          at<const uint8_t>(kind),
          at<const int32_t>(atoms),
          at<const double>(parameters),
          at<const int32_t>(term_ptr),
          n_structures,
          at<double>(energy),
          at<double>(forces),
          at<double>(virial)};
}

packflow::BondedGather view(const Gather& x) {
  const auto& [pointers, n_atoms, places, gradients] = x;
  return {at<const int32_t>(pointers), n_atoms, at<const int32_t>(places), at<double>(gradients)};
}

}  // namespace

void bind_bonded(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> without_gil;
  m.def(
      "bonded_cpu", [](const Batch& batch, int n_threads) { packflow::cpu::bonded(view(batch), n_threads); },
      without_gil, py::arg("batch"), py::arg("n_threads"));
  m.def(
      "bonded_cuda",
      [](const Batch& batch, const Gather& gather, uintptr_t stream) {
        packflow::cuda::bonded(view(batch), view(gather), at<void>(stream));
      },
      without_gil, py::arg("batch"), py::arg("gather"), py::arg("stream"));
}
