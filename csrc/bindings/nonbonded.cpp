#include "packflow/nonbonded.h"

#include <array>
#include <string>

#include "module.h"

namespace py = pybind11;

namespace {

/// Addresses in the order of NonbondedInput, then its counts, then its numbers.
using Addresses = std::array<uintptr_t, 12>;
using Input = std::tuple<Addresses, std::array<int64_t, 3>, std::array<double, 3>>;
/// Addresses in the order of NonbondedList.
using Pairs = std::array<uintptr_t, 3>;
using Output = std::array<uintptr_t, 4>;

packflow::NonbondedInput input_of(const Input& x) {
  const auto& [p, n, numbers] = x;
  return {at<const double>(p[0]),
          at<const double>(p[1]),
          at<const int32_t>(p[2]),
          at<const uint8_t>(p[3]),
          at<const double>(p[4]),
          at<const int32_t>(p[5]),
          at<const double>(p[6]),
          at<const double>(p[7]),
          at<const int32_t>(p[8]),
          at<const int32_t>(p[9]),
          at<const int32_t>(p[10]),
          at<const double>(p[11]),
          n[0],
          n[1],
          n[2],
          numbers[0],
          numbers[1],
          numbers[2]};
}

packflow::NonbondedList pairs_of(const Pairs& p) {
  return {at<const int64_t>(p[0]), at<const int32_t>(p[1]), at<const int32_t>(p[2])};
}

packflow::NonbondedOutput output_of(const Output& p) {
  return {at<double>(p[0]), at<double>(p[1]), at<double>(p[2]), at<uint8_t>(p[3])};
}

}  // namespace

void bind_nonbonded(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> without_gil;
  m.def(
      "nonbonded_cpu",
      [](const Input& input, const Pairs& pairs, const Output& output, int n_threads,
         const std::string& instruction_set) {
        packflow::cpu::nonbonded(input_of(input), pairs_of(pairs), output_of(output), n_threads,
                                 packflow::cpu::instruction_set(instruction_set));
      },
      without_gil, py::arg("input"), py::arg("pairs"), py::arg("output"), py::arg("n_threads"),
      py::arg("instruction_set") = "");
  m.def(
      "nonbonded_cuda",
      [](const Input& input, const Pairs& pairs, const Output& output, uintptr_t of_atoms, uintptr_t stream) {
        packflow::cuda::nonbonded(input_of(input), pairs_of(pairs), output_of(output), at<double>(of_atoms),
                                  at<void>(stream));
      },
      without_gil, py::arg("input"), py::arg("pairs"), py::arg("output"), py::arg("of_atoms"), py::arg("stream"));
}
