#include "packflow/neighbors.h"

#include <string>

#include "module.h"

namespace py = pybind11;

namespace {

packflow::PairList pair_list(uintptr_t pair_ptr, uintptr_t pair_index, uintptr_t cell_shifts, int64_t n_pairs) {
  return {at<const int64_t>(pair_ptr), at<int64_t>(pair_index), at<int32_t>(cell_shifts), n_pairs};
}

template <class Real>
void bind(py::module_& m, const std::string& dtype) {
  const py::call_guard<py::gil_scoped_release> without_gil;
  m.def(("count_neighbors_cpu_" + dtype).c_str(),
        [](const Crystals& crystals, double cutoff, bool half, uintptr_t n_neighbors, int n_threads,
           const std::string& instruction_set) {
          packflow::cpu::count_neighbors(crystal_view<Real>(crystals), cutoff, half, at<int64_t>(n_neighbors),
                                         n_threads, packflow::cpu::instruction_set(instruction_set));
        },
        without_gil, py::arg("crystals"), py::arg("cutoff"), py::arg("half"), py::arg("n_neighbors"),
        py::arg("n_threads"), py::arg("instruction_set") = "");
  m.def(("write_neighbors_cpu_" + dtype).c_str(),
        [](const Crystals& crystals, double cutoff, bool half, uintptr_t pair_ptr, uintptr_t pair_index,
           uintptr_t cell_shifts, int64_t n_pairs, int n_threads, const std::string& instruction_set) {
          packflow::cpu::write_neighbors(crystal_view<Real>(crystals), cutoff, half,
                                         pair_list(pair_ptr, pair_index, cell_shifts, n_pairs), n_threads,
                                         packflow::cpu::instruction_set(instruction_set));
        },
        without_gil, py::arg("crystals"), py::arg("cutoff"), py::arg("half"), py::arg("pair_ptr"),
        py::arg("pair_index"), py::arg("cell_shifts"), py::arg("n_pairs"), py::arg("n_threads"),
        py::arg("instruction_set") = "");
  m.def(("count_neighbors_cuda_" + dtype).c_str(),
        [](const Crystals& crystals, double cutoff, bool half, uintptr_t n_neighbors, uintptr_t stream) {
          packflow::cuda::count_neighbors(crystal_view<Real>(crystals), cutoff, half, at<int64_t>(n_neighbors),
                                          at<void>(stream));
        },
        without_gil, py::arg("crystals"), py::arg("cutoff"), py::arg("half"), py::arg("n_neighbors"),
        py::arg("stream"));
  m.def(("write_neighbors_cuda_" + dtype).c_str(),
        [](const Crystals& crystals, double cutoff, bool half, uintptr_t pair_ptr, uintptr_t pair_index,
           uintptr_t cell_shifts, int64_t n_pairs, uintptr_t stream) {
          packflow::cuda::write_neighbors(crystal_view<Real>(crystals), cutoff, half,
                                          pair_list(pair_ptr, pair_index, cell_shifts, n_pairs), at<void>(stream));
        },
        without_gil, py::arg("crystals"), py::arg("cutoff"), py::arg("half"), py::arg("pair_ptr"),
        py::arg("pair_index"), py::arg("cell_shifts"), py::arg("n_pairs"), py::arg("stream"));
}

}  // namespace

void bind_neighbors(py::module_& m) {
  bind<float>(m, "float32");
  bind<double>(m, "float64");
}
