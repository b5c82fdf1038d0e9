#pragma once

#include "packflow/pair_refinement.h"

namespace packflow::cpu {

/// Pairs that go through the network together: tiles of 6 and vectors of 16 divide it, and its numbers and the weights
/// fit the first-level cache.
constexpr int kBlockPairs = 48;

/// RefinementWeights with matrices as [in][out], so that vectors run along what is made.
struct alignas(64) TransposedWeights {
  float pair[kRefinementFeatures][kRefinementWidth];
  float mix[kRefinementWidth][kRefinementWidth];
  float mix_bias[kRefinementWidth];
  float step[kRefinementWidth];
  float centers[kRefinementCenters];
  float step_bias, width, softening;
};

/// Memory of one thread for one block. Behind the last pair of a batch, a block is filled up with copies of that pair.
struct alignas(64) RefinementScratch {
  int64_t source[kBlockPairs], target[kBlockPairs];
  float features[kRefinementFeatures][kBlockPairs];
  float direction[3][kBlockPairs];
  float distance[kBlockPairs];
  float hidden[kBlockPairs][kRefinementWidth];
  float sums[kBlockPairs][16];  // of each pair's step, in as many parts as a vector has floats
};

// The same source compiled for each instruction set; see pair_refinement_kernel.inl. Writes the moves [n_pairs][3] of
// the pairs first ... last - 1, at most kBlockPairs.
#define PACKFLOW_DECLARE_PAIR_REFINEMENT(isa)                                                              \
  namespace isa {                                                                                          \
  void refine_block(const PairBatch& batch, const TransposedWeights& weights, int64_t first, int64_t last, \
                    RefinementScratch& scratch, float* moves);                                             \
  }
PACKFLOW_DECLARE_PAIR_REFINEMENT(baseline)
PACKFLOW_DECLARE_PAIR_REFINEMENT(avx2)
PACKFLOW_DECLARE_PAIR_REFINEMENT(avx512)
#undef PACKFLOW_DECLARE_PAIR_REFINEMENT

}  // namespace packflow::cpu
