#include "packflow/clash.h"

#include <string>

#include "module.h"

namespace py = pybind11;

namespace {

template <class Real>
void bind(py::module_& m, const std::string& dtype) {
  const py::call_guard<py::gil_scoped_release> without_gil;
  m.def(("clash_cpu_" + dtype).c_str(),
        [](const Crystals& crystals, uintptr_t radii, double scale, uintptr_t in_clash, int n_threads,
           const std::string& instruction_set) {
          packflow::cpu::clash(crystal_view<Real>(crystals), at<const Real>(radii), scale, at<uint8_t>(in_clash),
                               n_threads, packflow::cpu::instruction_set(instruction_set));
        },
        without_gil, py::arg("crystals"), py::arg("radii"), py::arg("scale"), py::arg("in_clash"), py::arg("n_threads"),
        py::arg("instruction_set") = "");
  m.def(("clash_cuda_" + dtype).c_str(),
        [](const Crystals& crystals, uintptr_t radii, double scale, uintptr_t in_clash, uintptr_t stream) {
          packflow::cuda::clash(crystal_view<Real>(crystals), at<const Real>(radii), scale, at<uint8_t>(in_clash),
                                at<void>(stream));
        },
        without_gil, py::arg("crystals"), py::arg("radii"), py::arg("scale"), py::arg("in_clash"), py::arg("stream"));
}

}  // namespace

void bind_clash(py::module_& m) {
  bind<float>(m, "float32");
  bind<double>(m, "float64");
}
