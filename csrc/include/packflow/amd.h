#pragma once

#include <stdint.h>

#include "packflow/crystal_view.h"
#include "packflow/instruction_set.h"
#include "packflow/lattice.h"

namespace packflow {

// Distances from each atom to its k nearest atoms, whatever their element, periodic images and its own included:
// one row per atom is the pointwise distance distribution (PDD; Widdowson and Kurlin, NeurIPS 2022), before equal rows
// are merged; the mean of the rows of a crystal is its average minimum distances (AMD; Widdowson et al., MATCH 2022;
// paper, eq. 27). Rows ascend. Computed in double, stored as Real.
//
//   k     at least 1
//   rows  [n_atoms][k], output, Å
//   mean  [n_crystals][k], output, Å; NaN for a crystal without atoms
//
// The caller has checked that positions and cells are finite and that every cell has a volume.

/// A radius in Å around an atom that holds k others where atoms are evenly spread; too small where they are not.
PACKFLOW_INLINE double amd_first_radius(const Lattice& l, int n_atoms, int64_t k) {
  const double volume = fabs(dot(l.a, cross(l.b, l.c)));
  // 4/3 pi r^3 n_atoms / volume = k, and a twentieth more.
  return 1.05 * cbrt(0.238732414637843 * double(k) * volume / double(n_atoms));
}

namespace cpu {

/// `n_threads` share the crystals of the batch, at least 1.
template <class Real>
void pdd(const CrystalView<Real>& crystals, int64_t k, Real* rows, int n_threads, InstructionSet set);
template <class Real>
void amd(const CrystalView<Real>& crystals, int64_t k, Real* mean, int n_threads, InstructionSet set);

}  // namespace cpu

namespace cuda {

/// Enqueued on `stream`, a cudaStream_t. Throw std::runtime_error if the launch fails or CUDA was not built.
/// `workspace` is [n_atoms][k].
template <class Real>
void pdd(const CrystalView<Real>& crystals, int64_t k, double* workspace, Real* rows, void* stream);
template <class Real>
void amd(const CrystalView<Real>& crystals, int64_t k, double* workspace, Real* mean, void* stream);

}  // namespace cuda

}  // namespace packflow
