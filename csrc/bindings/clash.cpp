#include "packflow/clash.h"

#include <string>

#include "module.h"

namespace py = pybind11;

namespace {

template <class Real>
void clash_cpu(uintptr_t positions, uintptr_t cell, uintptr_t atom_ptr, int64_t n_crystals, uintptr_t radii,
               uintptr_t in_clash, double scale, int n_threads, const std::string& instruction_set) {
  packflow::cpu::clash(crystal_view<Real>(positions, cell, atom_ptr, n_crystals), reinterpret_cast<const Real*>(radii),
                       scale, reinterpret_cast<uint8_t*>(in_clash), n_threads,
                       packflow::cpu::instruction_set(instruction_set));
}

template <class Real>
void clash_cuda(uintptr_t positions, uintptr_t cell, uintptr_t atom_ptr, int64_t n_crystals, uintptr_t radii,
                uintptr_t in_clash, double scale, uintptr_t stream) {
  packflow::cuda::clash(crystal_view<Real>(positions, cell, atom_ptr, n_crystals), reinterpret_cast<const Real*>(radii),
                        scale, reinterpret_cast<uint8_t*>(in_clash), reinterpret_cast<void*>(stream));
}

template <class Real>
void bind(py::module_& m, const std::string& dtype) {
  const py::call_guard<py::gil_scoped_release> without_gil;
  m.def(("clash_cpu_" + dtype).c_str(), &clash_cpu<Real>, without_gil, py::arg("positions"), py::arg("cell"),
        py::arg("atom_ptr"), py::arg("n_crystals"), py::arg("radii"), py::arg("in_clash"), py::arg("scale"),
        py::arg("n_threads"), py::arg("instruction_set") = "");
  m.def(("clash_cuda_" + dtype).c_str(), &clash_cuda<Real>, without_gil, py::arg("positions"), py::arg("cell"),
        py::arg("atom_ptr"), py::arg("n_crystals"), py::arg("radii"), py::arg("in_clash"), py::arg("scale"),
        py::arg("stream"));
}

}  // namespace

void bind_clash(py::module_& m) {
  bind<float>(m, "float32");
  bind<double>(m, "float64");
}
