#include "packflow/check.h"

#include "module.h"

namespace py = pybind11;

namespace {

template <class Real>
void check_crystals(uintptr_t positions, uintptr_t cell, uintptr_t atom_ptr, int64_t n_crystals, int64_t n_atoms,
                    double cutoff) {
  packflow::cpu::check_crystals(crystal_view<Real>(positions, cell, atom_ptr, n_crystals), n_atoms, cutoff);
}

template <class Real>
void bind(py::module_& m, const char* name) {
  m.def(name, &check_crystals<Real>, py::call_guard<py::gil_scoped_release>(), py::arg("positions"), py::arg("cell"),
        py::arg("atom_ptr"), py::arg("n_crystals"), py::arg("n_atoms"), py::arg("cutoff"));
}

}  // namespace

void bind_check(py::module_& m) {
  bind<float>(m, "check_crystals_float32");
  bind<double>(m, "check_crystals_float64");
}
