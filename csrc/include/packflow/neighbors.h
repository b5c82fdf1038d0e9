#pragma once

#include <stdint.h>

#include "packflow/crystal_view.h"
#include "packflow/instruction_set.h"

namespace packflow {

// All pairs (i, j, S) of atoms of the same crystal with |r_j - r_i + S cell| < cutoff, r being the positions as given.
// An atom is no neighbor of itself, but its images are. A half list has, of (i, j, S) and (j, i, -S), the one with
// i < j, or with i = j and S > 0 in lexicographic order. Found in two passes: count, then write into memory of the
// exact size. Distances are computed in double, in the same order by every version: all give the same list.
//
//   cutoff       Å, positive
//   n_neighbors  [n_atoms], output: number of pairs whose first atom is i
//   pair_ptr     [n_atoms + 1]; atom i owns the pairs pair_ptr[i] ... pair_ptr[i + 1] - 1, as many as counted
//   pair_index   [2][n_pairs], output: i, then j; atoms of the batch. Sorted by i, then j, then S in lexicographic
//   order cell_shifts  [n_pairs][3], output: S
//
// The caller has checked that positions and cells are finite and that every cell has a volume.

/// Where the pairs go.
struct PairList {
  const int64_t* pair_ptr;
  int64_t* pair_index;
  int32_t* cell_shifts;
  int64_t n_pairs;
};

namespace cpu {

/// `n_threads` share the crystals of the batch, at least 1.
template <class Real>
void count_neighbors(const CrystalView<Real>& crystals, double cutoff, bool half, int64_t* n_neighbors, int n_threads,
                     InstructionSet set);
template <class Real>
void write_neighbors(const CrystalView<Real>& crystals, double cutoff, bool half, const PairList& pairs, int n_threads,
                     InstructionSet set);

}  // namespace cpu

namespace cuda {

/// Enqueued on `stream`, a cudaStream_t. Throw std::runtime_error if the launch fails or CUDA was not built.
template <class Real>
void count_neighbors(const CrystalView<Real>& crystals, double cutoff, bool half, int64_t* n_neighbors, void* stream);
template <class Real>
void write_neighbors(const CrystalView<Real>& crystals, double cutoff, bool half, const PairList& pairs, void* stream);

}  // namespace cuda

}  // namespace packflow
