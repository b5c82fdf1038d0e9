#include "packflow/amd.h"

#include <string>

#include "module.h"

namespace py = pybind11;

namespace {

template <class Real>
void bind(py::module_& m, const std::string& dtype) {
  const py::call_guard<py::gil_scoped_release> without_gil;
  m.def(("pdd_cpu_" + dtype).c_str(),
        [](const Crystals& crystals, int64_t k, uintptr_t rows, int n_threads, const std::string& instruction_set) {
          packflow::cpu::pdd(crystal_view<Real>(crystals), k, at<Real>(rows), n_threads,
                             packflow::cpu::instruction_set(instruction_set));
        },
        without_gil, py::arg("crystals"), py::arg("k"), py::arg("rows"), py::arg("n_threads"),
        py::arg("instruction_set") = "");
  m.def(("amd_cpu_" + dtype).c_str(),
        [](const Crystals& crystals, int64_t k, uintptr_t mean, int n_threads, const std::string& instruction_set) {
          packflow::cpu::amd(crystal_view<Real>(crystals), k, at<Real>(mean), n_threads,
                             packflow::cpu::instruction_set(instruction_set));
        },
        without_gil, py::arg("crystals"), py::arg("k"), py::arg("mean"), py::arg("n_threads"),
        py::arg("instruction_set") = "");
  m.def(("pdd_cuda_" + dtype).c_str(),
        [](const Crystals& crystals, int64_t k, uintptr_t workspace, uintptr_t rows, uintptr_t stream) {
          packflow::cuda::pdd(crystal_view<Real>(crystals), k, at<double>(workspace), at<Real>(rows), at<void>(stream));
        },
        without_gil, py::arg("crystals"), py::arg("k"), py::arg("workspace"), py::arg("rows"), py::arg("stream"));
  m.def(("amd_cuda_" + dtype).c_str(),
        [](const Crystals& crystals, int64_t k, uintptr_t workspace, uintptr_t mean, uintptr_t stream) {
          packflow::cuda::amd(crystal_view<Real>(crystals), k, at<double>(workspace), at<Real>(mean), at<void>(stream));
        },
        without_gil, py::arg("crystals"), py::arg("k"), py::arg("workspace"), py::arg("mean"), py::arg("stream"));
}

}  // namespace

void bind_amd(py::module_& m) {
  bind<float>(m, "float32");
  bind<double>(m, "float64");
}
