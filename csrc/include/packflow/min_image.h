#pragma once

#include <stdint.h>

#include "packflow/crystal_view.h"
#include "packflow/instruction_set.h"

namespace packflow {

// Distance between the atoms of given pairs at their nearest images (paper, eq. 38): the smallest |r_j - r_i + S cell|
// over all S, in a skewed cell too, where rounding fractional differences finds a longer one. Computed in double by
// every version, stored as Real.
//
//   pair_index  [2][n_pairs], i, then j: atoms of the batch, both of the same crystal
//   distances   [n_pairs], output, Å; 0 for an atom and itself
//
// The caller has checked that positions and cells are finite, that every cell has a volume, and the pairs.

namespace cpu {

/// `n_threads` share the pairs, at least 1.
template <class Real>
void min_image(const CrystalView<Real>& crystals, const int64_t* pair_index, int64_t n_pairs, Real* distances,
               int n_threads, InstructionSet set);

}  // namespace cpu

namespace cuda {

/// Enqueued on `stream`, a cudaStream_t. Throws std::runtime_error if the launch fails or CUDA was not built.
template <class Real>
void min_image(const CrystalView<Real>& crystals, const int64_t* pair_index, int64_t n_pairs, Real* distances,
               void* stream);

}  // namespace cuda

}  // namespace packflow
