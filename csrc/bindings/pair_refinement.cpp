#include "packflow/pair_refinement.h"

#include <string>
#include <tuple>

#include "module.h"

namespace py = pybind11;

namespace {

// positions, source_state, target_state, source, target, known, n_atoms, n_pairs.
using Batch = std::tuple<uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, int64_t, int64_t>;
// pair, mix, mix_bias, step, step_bias, centers, width, softening.
using Weights = std::tuple<uintptr_t, uintptr_t, uintptr_t, uintptr_t, float, uintptr_t, float, float>;

packflow::PairBatch view(const Batch& x) {
  const auto [positions, source_state, target_state, source, target, known, n_atoms, n_pairs] = x;
  return {at<const float>(positions),
          at<const float>(source_state),
          at<const float>(target_state),
          at<const int64_t>(source),
          at<const int64_t>(target),
          at<const float>(known),
          n_atoms,
          n_pairs};
}

packflow::RefinementWeights view(const Weights& x) {
  const auto [pair, mix, mix_bias, step, step_bias, centers, width, softening] = x;
  return {at<const float>(pair),
          at<const float>(mix),
          at<const float>(mix_bias),
          at<const float>(step),
          step_bias,
          at<const float>(centers),
          width,
          softening};
}

}  // namespace

void bind_pair_refinement(py::module_& m) {
  m.def(
      "pair_refinement_cpu",
      [](const Batch& batch, const Weights& weights, uintptr_t moved, int n_threads,
         const std::string& instruction_set) {
        packflow::cpu::pair_refinement(view(batch), view(weights), at<float>(moved), n_threads,
                                       packflow::cpu::instruction_set(instruction_set));
      },
      py::call_guard<py::gil_scoped_release>(), py::arg("batch"), py::arg("weights"), py::arg("moved"),
      py::arg("n_threads"), py::arg("instruction_set") = "");
}
