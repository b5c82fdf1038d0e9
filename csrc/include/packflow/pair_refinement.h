#pragma once

#include <stdint.h>

#include "packflow/instruction_set.h"

namespace packflow {

// Positions moved along the directions to near atoms, as far as a small network says (PairRefinement of
// python/packflow/model/pairs.py). For a pair of a target t and a source s, with silu(x) = x / (1 + exp(-x)):
//
//   apart     = positions[s] - positions[t],  distance = sqrt(|apart|^2 + softening^2)
//   features  = known, exp(-((distance - centers) / width)^2), distance - smallest, distance - largest, distance / 3
//   message   = silu(mix silu(source_state[s] + target_state[t] + pair features) + mix_bias)
//   moved[t] += (step . message + step_bias) apart / distance
//
// Numbers are float32. Only the CPU version is C++: on the GPU torch computes this. The pairs of a target are added in
// the order of the pairs by one thread, so results do not depend on the number of threads; what a pair adds does not
// depend on the other pairs.

constexpr int kRefinementWidth = 64;
constexpr int kRefinementKnown = 5;  // bonds apart as one of three, smallest and largest usual distance in Å
constexpr int kRefinementCenters = 12;
constexpr int kRefinementFeatures = kRefinementKnown + kRefinementCenters + 3;

/// The network of all pairs; matrices are [out][in], as torch has them.
struct RefinementWeights {
  const float* pair;      // [kRefinementWidth][kRefinementFeatures]
  const float* mix;       // [kRefinementWidth][kRefinementWidth]
  const float* mix_bias;  // [kRefinementWidth]
  const float* step;      // [kRefinementWidth]
  float step_bias;
  const float* centers;  // [kRefinementCenters], Å
  float width;           // Å
  float softening;       // Å
};

/// Atoms and their near pairs.
struct PairBatch {
  const float* positions;     // [n_atoms][3], Å
  const float* source_state;  // [n_atoms][kRefinementWidth]
  const float* target_state;  // [n_atoms][kRefinementWidth]
  const int64_t* source;      // [n_pairs], the atom that tells
  const int64_t* target;      // [n_pairs], the atom that is told
  const float* known;         // [n_pairs][kRefinementKnown]
  int64_t n_atoms;
  int64_t n_pairs;
};

namespace cpu {

/// `moved` [n_atoms][3] becomes the positions with the moves of all pairs added. Throws std::invalid_argument if a pair
/// has an atom that is not in the batch. `n_threads` share the pairs, at least 1.
void pair_refinement(const PairBatch& batch, const RefinementWeights& weights, float* moved, int n_threads,
                     InstructionSet set);

}  // namespace cpu

}  // namespace packflow
