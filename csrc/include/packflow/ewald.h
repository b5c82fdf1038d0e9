#pragma once

#include <stdint.h>

#include "packflow/crystal_view.h"
#include "packflow/ewald_math.h"
#include "packflow/instruction_set.h"

namespace packflow {

// The smooth part of Ewald's sum of 1 / r - buffer / r2 for every crystal of a batch: the energy of
// erf(alpha r) / r - buffer (1 - exp(-alpha2 r2)) / r2 between all charges and their images, as a sum over reciprocal
// vectors 0 < |k| < k_cutoff (Allen and Tildesley, Computer Simulation of Liquids, eq. 6.4; Williams, Acta Cryst. A 27,
// 452, 1971, for other powers; conducting surroundings), less that of each charge with itself.
//
//   periodic  [n_crystals], 0 for one that is left out: its results are zero
//   charges   [n_atoms], e; those of a crystal add up to zero
//
// The caller has checked that positions and cells are finite and that every cell that is not left out has a volume.

struct EwaldInput {
  const double* positions;  // [n_atoms][3], Å
  const double* cell;       // [n_crystals][3][3], rows are the lattice vectors, Å
  const int32_t* atom_ptr;  // [n_crystals + 1]
  const uint8_t* periodic;
  const double* charges;
  int64_t n_crystals, n_atoms;
  double alpha, k_cutoff;  // 1/Å
  double coulomb;          // energy of two unit charges at unit distance, eV Å / e2
  double buffer;           // Å, may be zero
};

struct EwaldOutput {
  double* energy;  // [n_crystals], eV
  double* forces;  // [n_atoms][3], eV/Å
  double* strain;  // [n_crystals][3][3], dE/d(strain), eV
};

/// Where the GPU finds and keeps the reciprocal vectors of all crystals: those of the box, counted or not.
struct EwaldWaves {
  const int32_t* box;       // [n_crystals][3], numbers as wave_box gives them
  const int64_t* wave_ptr;  // [n_crystals + 1], sums of (box a + 1) (2 box b + 1) (2 box c + 1), of 0 where left out
  double* structure;        // [n_waves][3], working memory
  int64_t n_waves;
};

namespace cpu {

/// `n_threads` share the crystals of the batch, at least 1.
void ewald(const EwaldInput& input, const EwaldOutput& output, int n_threads, InstructionSet set);

}  // namespace cpu

namespace cuda {

/// Enqueued on `stream`, a cudaStream_t. Throws std::runtime_error if the launch fails or CUDA was not built.
void ewald(const EwaldInput& input, const EwaldOutput& output, const EwaldWaves& waves, void* stream);

}  // namespace cuda

/// The box of reciprocal vectors u a* + v b* + w c* that holds the sphere: |u| <= reach of a, likewise v and w.
struct WaveBox {
  int a, b, c;
};

PACKFLOW_INLINE WaveBox wave_box(const Lattice& l, double k_cutoff) {
  const double turns = k_cutoff / kTwoPi;
  return {int(turns * sqrt(dot(l.a, l.a))), int(turns * sqrt(dot(l.b, l.b))), int(turns * sqrt(dot(l.c, l.c)))};
}

/// u a* + v b* + w c* times 2 pi, 1/Å.
PACKFLOW_INLINE Vec3 wave_vector(const Lattice& l, int u, int v, int w) {
  return scaled(add(add(scaled(l.reciprocal_a, u), scaled(l.reciprocal_b, v)), scaled(l.reciprocal_c, w)), kTwoPi);
}

/// Whether of k and -k this is the one that is counted, twice.
PACKFLOW_INLINE bool is_counted_wave(int u, int v, int w) { return u > 0 || (u == 0 && (v > 0 || (v == 0 && w > 0))); }

/// Weight of |sum q exp(i k r)|2 in the energy, for k and -k together, and minus its derivative with respect to k over
/// k.
struct WaveWeight {
  double value, stretch;
};

/// `scale` is 4 pi coulomb / volume. The transform of what is smooth of 1 / r is 4 pi exp(-k2 / 4 alpha2) / k2, that of
/// 1 / r2 is 2 pi2 erfc(k / 2 alpha) / k.
PACKFLOW_INLINE WaveWeight wave_weight(double scale, double k2, double alpha, double buffer) {
  const double k = sqrt(k2), per_k = 1.0 / k, per_k2 = per_k * per_k, kappa = 0.5 * k / alpha;
  const double y = kappa > kErfcEnd ? kErfcEnd : kappa, gauss = scale * exp_negative(-kappa * kappa);
  const double screen = kHalfPi * buffer, complement = scaled_erfc((y - 3.0) / (y + 3.0)) * per_k;
  return {
      gauss * (per_k2 - screen * complement),
      gauss * per_k2 * (2.0 * per_k2 + 0.5 / (alpha * alpha) - screen * (0.5 * kTwoPerRootPi / alpha + complement))};
}

/// The energy of a unit charge with itself that is in the sum, over coulomb.
PACKFLOW_INLINE double self_energy(double alpha, double buffer) {
  return 0.5 * alpha * (kTwoPerRootPi - buffer * alpha);
}

/// 4 pi coulomb / volume.
PACKFLOW_INLINE double wave_scale(const Lattice& l, double coulomb) {
  return 2.0 * kTwoPi * coulomb / fabs(dot(l.a, cross(l.b, l.c)));
}

}  // namespace packflow
