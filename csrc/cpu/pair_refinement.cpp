#include "packflow/pair_refinement.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "pair_refinement_kernel.h"

namespace packflow::cpu {
namespace {

using Kernel = void (*)(const PairBatch&, const TransposedWeights&, int64_t, int64_t, RefinementScratch&, float*);

Kernel kernel(InstructionSet set) {
#ifdef PACKFLOW_X86_LEVELS
  if (set == InstructionSet::kAvx512) return avx512::refine_block;
  if (set == InstructionSet::kAvx2) return avx2::refine_block;
#endif
  (void)set;
  return baseline::refine_block;
}

void check_atoms(const char* name, const int64_t* atoms, const PairBatch& batch) {
  for (int64_t p = 0; p < batch.n_pairs; ++p) {
    if (atoms[p] < 0 || atoms[p] >= batch.n_atoms) {
      throw std::invalid_argument(std::string(name) + " must be atoms from 0 to " + std::to_string(batch.n_atoms - 1) +
                                  ", got " + std::to_string(atoms[p]) + " for pair " + std::to_string(p));
    }
  }
}

TransposedWeights transposed(const RefinementWeights& from) {
  TransposedWeights to;
  for (int out = 0; out < kRefinementWidth; ++out) {
    for (int in = 0; in < kRefinementFeatures; ++in) to.pair[in][out] = from.pair[kRefinementFeatures * out + in];
    for (int in = 0; in < kRefinementWidth; ++in) to.mix[in][out] = from.mix[kRefinementWidth * out + in];
  }
  std::copy_n(from.mix_bias, kRefinementWidth, to.mix_bias);
  std::copy_n(from.step, kRefinementWidth, to.step);
  std::copy_n(from.centers, kRefinementCenters, to.centers);
  to.step_bias = from.step_bias;
  to.width = from.width;
  to.softening = from.softening;
  return to;
}

}  // namespace

void pair_refinement(const PairBatch& batch, const RefinementWeights& weights, float* moved, int n_threads,
                     InstructionSet set) {
  check_atoms("source", batch.source, batch);
  check_atoms("target", batch.target, batch);
  const Kernel refine_block = kernel(set);
  const TransposedWeights by_input = transposed(weights);
  std::vector<float> moves(3 * batch.n_pairs);
#pragma omp parallel num_threads(n_threads)
  {
    RefinementScratch scratch;
#pragma omp for schedule(dynamic)
    for (int64_t first = 0; first < batch.n_pairs; first += kBlockPairs) {
      refine_block(batch, by_input, first, std::min(first + kBlockPairs, batch.n_pairs), scratch, moves.data());
    }
  }
  std::copy_n(batch.positions, 3 * batch.n_atoms, moved);
  for (int64_t p = 0; p < batch.n_pairs; ++p) {
    for (int d = 0; d < 3; ++d) moved[3 * batch.target[p] + d] += moves[3 * p + d];
  }
}

}  // namespace packflow::cpu
