#include "packflow/ewald.h"

#include <array>
#include <string>

#include "module.h"

namespace py = pybind11;

namespace {

/// Addresses in the order of EwaldInput, n_crystals and n_atoms, then its numbers.
using Input = std::tuple<std::array<uintptr_t, 5>, std::array<int64_t, 2>, std::array<double, 4>>;
/// Addresses of box, wave_ptr and structure, and n_waves.
using Waves = std::tuple<uintptr_t, uintptr_t, uintptr_t, int64_t>;
using Output = std::array<uintptr_t, 3>;

packflow::EwaldInput input_of(const Input& x) {
  const auto& [p, n, numbers] = x;
  return {at<const double>(p[0]),
          at<const double>(p[1]),
          at<const int32_t>(p[2]),
          at<const uint8_t>(p[3]),
          at<const double>(p[4]),
          n[0],
          n[1],
          numbers[0],
          numbers[1],
          numbers[2],
          numbers[3]};
}

packflow::EwaldOutput output_of(const Output& p) { return {at<double>(p[0]), at<double>(p[1]), at<double>(p[2])}; }

}  // namespace

void bind_ewald(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> without_gil;
  m.def(
      "ewald_cpu",
      [](const Input& input, const Output& output, int n_threads, const std::string& instruction_set) {
        packflow::cpu::ewald(input_of(input), output_of(output), n_threads,
                             packflow::cpu::instruction_set(instruction_set));
      },
      without_gil, py::arg("input"), py::arg("output"), py::arg("n_threads"), py::arg("instruction_set") = "");
  m.def(
      "ewald_cuda",
      [](const Input& input, const Output& output, const Waves& waves, uintptr_t stream) {
        const auto [box, wave_ptr, structure, n_waves] = waves;
        packflow::cuda::ewald(input_of(input), output_of(output),
                              {at<const int32_t>(box), at<const int64_t>(wave_ptr), at<double>(structure), n_waves},
                              at<void>(stream));
      },
      without_gil, py::arg("input"), py::arg("output"), py::arg("waves"), py::arg("stream"));
}
