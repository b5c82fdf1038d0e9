#pragma once

#include <stdint.h>

#include "packflow/crystal_view.h"
#include "packflow/instruction_set.h"
#include "packflow/lattice.h"

namespace packflow {

// Histogram of the periodic distances of each crystal (paper, eq. 28, before normalisation): counts[c][b] is the number
// of pairs (i, j, S), both directions counted, an atom's own images included, with distance in bin b, that is in
// [b, b + 1) * r_max / n_bins. Distances and bins are computed in double, in the same order by every version: all give
// the same counts. No list of pairs is made.
//
//   r_max   Å, positive
//   counts  [n_crystals][n_bins], output
//
// The caller has checked that positions and cells are finite and that every cell has a volume.

/// Bin of a squared distance in Å2; n_bins or more at or beyond r_max. `per_bin` is n_bins / r_max.
PACKFLOW_INLINE int rdf_bin(double distance2, double per_bin) { return int(sqrt(distance2) * per_bin); }

namespace cpu {

/// `n_threads` share the crystals of the batch, at least 1.
template <class Real>
void rdf(const CrystalView<Real>& crystals, double r_max, int n_bins, int64_t* counts, int n_threads,
         InstructionSet set);

}  // namespace cpu

namespace cuda {

/// Enqueued on `stream`, a cudaStream_t. Throws std::runtime_error if the launch fails or CUDA was not built.
/// `counts` is overwritten.
template <class Real>
void rdf(const CrystalView<Real>& crystals, double r_max, int n_bins, int64_t* counts, void* stream);

}  // namespace cuda

}  // namespace packflow
