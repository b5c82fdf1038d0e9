#include "packflow/rdf.h"

#include <string>

#include "module.h"

namespace py = pybind11;

namespace {

template <class Real>
void bind(py::module_& m, const std::string& dtype) {
  const py::call_guard<py::gil_scoped_release> without_gil;
  m.def(("rdf_cpu_" + dtype).c_str(),
        [](const Crystals& crystals, double r_max, int n_bins, uintptr_t counts, int n_threads,
           const std::string& instruction_set) {
          packflow::cpu::rdf(crystal_view<Real>(crystals), r_max, n_bins, at<int64_t>(counts), n_threads,
                             packflow::cpu::instruction_set(instruction_set));
        },
        without_gil, py::arg("crystals"), py::arg("r_max"), py::arg("n_bins"), py::arg("counts"), py::arg("n_threads"),
        py::arg("instruction_set") = "");
  m.def(("rdf_cuda_" + dtype).c_str(),
        [](const Crystals& crystals, double r_max, int n_bins, uintptr_t counts, uintptr_t stream) {
          packflow::cuda::rdf(crystal_view<Real>(crystals), r_max, n_bins, at<int64_t>(counts), at<void>(stream));
        },
        without_gil, py::arg("crystals"), py::arg("r_max"), py::arg("n_bins"), py::arg("counts"), py::arg("stream"));
}

}  // namespace

void bind_rdf(py::module_& m) {
  bind<float>(m, "float32");
  bind<double>(m, "float64");
}
