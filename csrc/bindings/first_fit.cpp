#include "packflow/first_fit.h"

#include <tuple>

#include "module.h"

namespace py = pybind11;

namespace {

// Addresses of cell, rotation and center, and their number.
using Tries = std::tuple<uintptr_t, uintptr_t, uintptr_t, int64_t>;
// Addresses of shape and radii, and the number of atoms.
using Shape = std::tuple<uintptr_t, uintptr_t, int>;
// Addresses of operations and molecule, the numbers of copies and of independent molecules.
using Copies = std::tuple<uintptr_t, uintptr_t, int, int>;

packflow::PackingTries view(const Tries& t, const Shape& s, const Copies& c) {
  const auto [cell, rotation, center, n_tries] = t;
  const auto [shape, radii, n_atoms] = s;
  const auto [operations, molecule, n_copies, n_molecules] = c;
  return {at<const double>(cell),
          at<const double>(rotation),
          at<const double>(center),
          at<const double>(shape),
          at<const double>(radii),
          at<const double>(operations),
          at<const int32_t>(molecule),
          n_tries,
          n_molecules,
          n_atoms,
          n_copies};
}

}  // namespace

void bind_first_fit(py::module_& m) {
  m.def(
      "first_fit_cpu",
      [](const Tries& tries, const Shape& shape, const Copies& copies, int n_threads) {
        return packflow::cpu::first_fit(view(tries, shape, copies), n_threads);
      },
      py::call_guard<py::gil_scoped_release>(), py::arg("tries"), py::arg("shape"), py::arg("copies"),
      py::arg("n_threads"));
}
