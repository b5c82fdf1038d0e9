#pragma once

#include <stdint.h>

#include "packflow/crystal_view.h"
#include "packflow/instruction_set.h"

namespace packflow {

// Atoms in clash (paper, eq. 25 and 26): in_clash[i] is 1 where some atom j of the same crystal, in any periodic image
// and bonded to i or not, has 0 <= d_ij < scale * (radii[i] + radii[j]), else 0. An atom is no neighbor of itself, but
// its images are. Distances are computed in double, in the same order by every version: all give the same flags.
//
//   radii     [n_atoms], covalent radii, Å, finite and not negative
//   scale     positive, no unit
//   in_clash  [n_atoms], output
//
// The caller has checked that positions and cells are finite and that every cell has a volume.

namespace cpu {

/// `n_threads` share the crystals of the batch, at least 1.
template <class Real>
void clash(const CrystalView<Real>& crystals, const Real* radii, double scale, uint8_t* in_clash, int n_threads,
           InstructionSet set);

}  // namespace cpu

namespace cuda {

/// Enqueued on `stream`, a cudaStream_t. Throws std::runtime_error if the launch fails or CUDA was not built.
template <class Real>
void clash(const CrystalView<Real>& crystals, const Real* radii, double scale, uint8_t* in_clash, void* stream);

}  // namespace cuda

}  // namespace packflow
