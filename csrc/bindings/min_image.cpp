#include "packflow/min_image.h"

#include <string>

#include "module.h"

namespace py = pybind11;

namespace {

template <class Real>
void bind(py::module_& m, const std::string& dtype) {
  const py::call_guard<py::gil_scoped_release> without_gil;
  m.def(("min_image_cpu_" + dtype).c_str(),
        [](const Crystals& crystals, uintptr_t pair_index, int64_t n_pairs, uintptr_t distances, int n_threads,
           const std::string& instruction_set) {
          packflow::cpu::min_image(crystal_view<Real>(crystals), at<const int64_t>(pair_index), n_pairs,
                                   at<Real>(distances), n_threads, packflow::cpu::instruction_set(instruction_set));
        },
        without_gil, py::arg("crystals"), py::arg("pair_index"), py::arg("n_pairs"), py::arg("distances"),
        py::arg("n_threads"), py::arg("instruction_set") = "");
  m.def(("min_image_cuda_" + dtype).c_str(),
        [](const Crystals& crystals, uintptr_t pair_index, int64_t n_pairs, uintptr_t distances, uintptr_t stream) {
          packflow::cuda::min_image(crystal_view<Real>(crystals), at<const int64_t>(pair_index), n_pairs,
                                    at<Real>(distances), at<void>(stream));
        },
        without_gil, py::arg("crystals"), py::arg("pair_index"), py::arg("n_pairs"), py::arg("distances"),
        py::arg("stream"));
}

}  // namespace

void bind_min_image(py::module_& m) {
  bind<float>(m, "float32");
  bind<double>(m, "float64");
}
