#pragma once

#include <stdint.h>

#include "packflow/ewald_math.h"
#include "packflow/instruction_set.h"
#include "packflow/lattice.h"

namespace packflow {

// Van der Waals and Coulomb terms of MMFF94 between atoms that are near each other: all of a molecule in vacuum, and of
// a crystal what `ewald` and the tail leave. Atoms of one molecule interact within the positions as given, so their
// pair is the one without shift. In double throughout.

struct NonbondedInput {
  const double* positions;       // [n_atoms][3], Å
  const double* cell;            // [n_structures][3][3], rows are the lattice vectors, Å; not read in vacuum
  const int32_t* atom_ptr;       // [n_structures + 1]
  const uint8_t* periodic;       // [n_structures]
  const double* charges;         // [n_atoms], e
  const int32_t* types;          // [n_atoms], rows of the tables
  const double* radius;          // [2][n_types][n_types], Å: pairs of one molecule, all others
  const double* epsilon;         // [2][n_types][n_types], eV
  const int32_t* molecule;       // [n_atoms]
  const int32_t* special_ptr;    // [n_atoms + 1]
  const int32_t* special_index;  // [n_special], atoms of the same molecule, each pair at both of its atoms
  const double* special_scale;   // [n_special][2], factors on van der Waals and on Coulomb
  int64_t n_structures, n_atoms, n_types;
  double cutoff;   // Å
  double alpha;    // of Ewald's sum, 1/Å
  double coulomb;  // energy of two unit charges at unit distance, eV Å / e2
};

/// Pairs of atoms of one crystal: atom i owns pair_ptr[i] ... pair_ptr[i + 1] - 1. Eight bytes a pair, because reading
/// them takes about as long as adding them up.
struct NonbondedList {
  const int64_t* pair_ptr;  // [n_atoms + 1]
  const int32_t* atom;      // [n_pairs], j, of the batch
  const int32_t* shift;     // [n_pairs], S of d = r_j - r_i + S cell; see kShiftBits
};

struct NonbondedOutput {
  double* energy;    // [n_structures][2], van der Waals and Coulomb, eV
  double* forces;    // [n_atoms][3], eV/Å
  double* strain;    // [n_structures][3][3], dE/d(strain), eV
  uint8_t* problem;  // [n_structures]; one that is not 0 leaves the structure out, its results are zero; others are set
};

/// Bits of `problem` that are set here: energies that are not finite, atoms that are too close.
constexpr uint8_t kNotFinite = 1, kOverlap = 2;
constexpr double kNearestDistance = 0.3;  // Å
constexpr double kBuffer = 0.05;          // Å, added to the distance of charges
constexpr double kSwitchWidth = 1.0;      // Å before the cutoff
/// Å; special pairs may be nearer than other atoms, and at this distance are as good as one.
constexpr double kSpecialNearest = 1e-3;
constexpr int kNonbondedSums = 9;  // of an atom on the GPU

namespace cpu {

/// `pairs` is a half list of the crystals up to the cutoff or farther. `n_threads` share the structures, at least 1.
void nonbonded(const NonbondedInput& input, const NonbondedList& pairs, const NonbondedOutput& output, int n_threads,
               InstructionSet set);

}  // namespace cpu

namespace cuda {

/// `pairs` is a full list; `of_atoms` [n_atoms][kNonbondedSums] is working memory. Enqueued on `stream`, a
/// cudaStream_t. Throws std::runtime_error if the launch fails or CUDA was not built.
void nonbonded(const NonbondedInput& input, const NonbondedList& pairs, const NonbondedOutput& output, double* of_atoms,
               void* stream);

}  // namespace cuda

/// A shift of -512 ... 511 along each lattice vector as s + 512, ten bits each, that along a lowest.
constexpr int32_t kShiftBits = 10, kShiftMiddle = 1 << (kShiftBits - 1), kShiftMask = (1 << kShiftBits) - 1;
constexpr int32_t kNoShift = kShiftMiddle | kShiftMiddle << kShiftBits | kShiftMiddle << 2 * kShiftBits;

PACKFLOW_INLINE int32_t unpacked_shift(int32_t packed, int axis) {
  return (packed >> (axis * kShiftBits) & kShiftMask) - kShiftMiddle;
}

/// Whether atom j is listed as special at atom i.
PACKFLOW_INLINE bool is_special(const NonbondedInput& in, int64_t i, int32_t j) {
  for (int32_t k = in.special_ptr[i]; k < in.special_ptr[i + 1]; ++k) {
    if (in.special_index[k] == j) return true;
  }
  return false;
}

/// Energy of a pair in eV, and its derivative with respect to the distance over the distance, eV/Å2.
struct PairTerms {
  double van_der_waals, coulomb, slope;
};

/// Buffered 14-7 energy and its derivative (Halgren, J. Am. Chem. Soc. 114, 7827, 1992, eq. 10).
struct BufferedVdw {
  double energy, derivative;
};

PACKFLOW_INLINE BufferedVdw buffered_vdw(double r, double r2, double radius, double epsilon) {
  const double radius2 = radius * radius, radius4 = radius2 * radius2, r6 = r2 * r2 * r2;
  const double radius7 = radius4 * radius2 * radius;
  const double one = r + 0.07 * radius, other = r6 * r + 0.12 * radius7;
  const double inverse = 1.0 / (one * other);
  const double per_one = other * inverse, per_other = one * inverse;
  const double a = 1.07 * radius * per_one, a2 = a * a, a4 = a2 * a2;
  const double repulsion = epsilon * (a4 * a2 * a), b = 1.12 * radius7 * per_other;
  return {repulsion * (b - 2.0), -7.0 * repulsion * (per_one * (b - 2.0) + r6 * b * per_other)};
}

/// A pair in vacuum; `qq` is the product of the charges times coulomb, eV Å.
PACKFLOW_INLINE PairTerms vacuum_terms(double r2, double radius, double epsilon, double qq, double scale_vdw,
                                       double scale_coulomb) {
  const double r = sqrt(r2);
  const BufferedVdw vdw = buffered_vdw(r, r2, radius, epsilon);
  const double per_buffered = 1.0 / (r + kBuffer), charge = scale_coulomb * qq;
  return {scale_vdw * vdw.energy, charge * per_buffered,
          (scale_vdw * vdw.derivative - charge * per_buffered * per_buffered) / r};
}

/// A pair of a crystal within the cutoff.
PACKFLOW_INLINE PairTerms crystal_terms(double r2, double radius, double epsilon, double qq, double cutoff,
                                        double alpha) {
  const double r = sqrt(r2);
  const BufferedVdw vdw = buffered_vdw(r, r2, radius, epsilon);
  // The quintic that falls from 1 to 0 while t goes from 0 to 1.
  const double t0 = (r - cutoff) * (1.0 / kSwitchWidth) + 1.0, t1 = t0 < 0.0 ? 0.0 : t0, t = t1 > 1.0 ? 1.0 : t1;
  const double on = 1.0 - t * t * t * (10.0 - t * (15.0 - 6.0 * t));
  const double turning = -30.0 / kSwitchWidth * (t * t) * ((1.0 - t) * (1.0 - t));
  const double y0 = alpha * r, y = y0 > kErfcEnd ? kErfcEnd : y0, buffered = r + kBuffer, past = y + 3.0;
  const double inverse = 1.0 / (r * buffered * past);
  const double per_r = buffered * past * inverse, per_buffered = r * past * inverse, per_past = r * buffered * inverse;
  const double gauss = exp_negative(-y * y);
  const double screened = gauss * scaled_erfc((y - 3.0) * per_past) * per_r;
  // 1 / (r + b) is 1 / r - b / r2, which Ewald's sum takes care of, and what is left: b2 / (r2 (r + b)).
  const double per_r2 = per_r * per_r, rest = kBuffer * kBuffer * per_r2 * per_buffered;
  const double rest_slope = -rest * (2.0 * per_r + per_buffered);
  const double derivative = turning * (vdw.energy + qq * rest) + on * (vdw.derivative + qq * rest_slope) -
                            qq * (screened + kTwoPerRootPi * alpha * gauss) * per_r +
                            qq * (2.0 * kBuffer * gauss * per_r * (alpha * alpha + per_r2));
  return {on * vdw.energy, qq * (screened - kBuffer * gauss * per_r2 + on * rest), derivative * per_r};
}

/// What a pair of a crystal has too much in `ewald` where only a part of it counts.
PACKFLOW_INLINE PairTerms smooth_terms(double r2, double qq, double alpha) {
  const double r = sqrt(r2), y0 = alpha * r, y = y0 > kErfcEnd ? kErfcEnd : y0, per_r = 1.0 / r;
  const double gauss = exp_negative(-y * y);
  const double smooth = (1.0 - gauss * scaled_erfc((y - 3.0) / (y + 3.0))) * per_r;
  const double per_r2 = per_r * per_r, buffer = kBuffer * (1.0 - gauss) * per_r2;
  const double buffer_slope = 2.0 * (kBuffer * alpha * alpha * gauss - buffer) * per_r2;
  return {0.0, qq * (smooth - buffer), qq * ((kTwoPerRootPi * alpha * gauss - smooth) * per_r2 - buffer_slope)};
}

/// A special pair of a crystal, at any distance.
PACKFLOW_INLINE PairTerms special_terms(double r2, double radius, double epsilon, double qq, double scale_vdw,
                                        double scale_coulomb, double cutoff, double alpha) {
  const PairTerms smooth = smooth_terms(r2, (1.0 - scale_coulomb) * qq, alpha);
  if (!(r2 < cutoff * cutoff)) return {0.0, -smooth.coulomb, -smooth.slope};
  const PairTerms full = crystal_terms(r2, radius, scale_vdw * epsilon, scale_coulomb * qq, cutoff, alpha);
  return {full.van_der_waals, full.coulomb - smooth.coulomb, full.slope - smooth.slope};
}

}  // namespace packflow
