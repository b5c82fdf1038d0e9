#include "packflow/bonded.h"

#include <tuple>

#include "module.h"

namespace py = pybind11;

namespace {

// Addresses of positions, atom_ptr, kind, atoms, parameters and term_ptr.
using Given = std::tuple<uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t>;
// Addresses of energy, forces and virial.
using Out = std::tuple<uintptr_t, uintptr_t, uintptr_t>;
// Address of pointers, n_atoms, addresses of places and gradients.
using Gather = std::tuple<uintptr_t, int64_t, uintptr_t, uintptr_t>;

packflow::BondedBatch view(const Given& given, int64_t n_structures, const Out& out) {
  const auto& [positions, atom_ptr, kind, atoms, parameters, term_ptr] = given;
  const auto& [energy, forces, virial] = out;
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
      "bonded_cpu",
      [](const Given& given, int64_t n_structures, const Out& out, int n_threads) {
        packflow::cpu::bonded(view(given, n_structures, out), n_threads);
      },
      without_gil, py::arg("given"), py::arg("n_structures"), py::arg("out"), py::arg("n_threads"));
  m.def(
      "bonded_cuda",
      [](const Given& given, int64_t n_structures, const Out& out, const Gather& gather, uintptr_t stream) {
        packflow::cuda::bonded(view(given, n_structures, out), view(gather), at<void>(stream));
      },
      without_gil, py::arg("given"), py::arg("n_structures"), py::arg("out"), py::arg("gather"), py::arg("stream"));
}
