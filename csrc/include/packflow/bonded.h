#pragma once

#include <stdint.h>

#include "packflow/lattice.h"

namespace packflow {

// Energy, forces and virial of the bonded terms of a force field for all structures of a packed batch. Molecules are
// whole: no term knows of the cell. What each kind of term means is written once, in python/packflow/ops/bonded.py.
//
// A structure's result does not depend on the rest of the batch or the number of threads. Forces on an atom are added
// up in the order of the terms on the CPU and the GPU alike; energies and virials in kBondedSums partial sums, where
// term k belongs to sum k modulo it. Differences between the two come from their mathematical libraries alone.

enum BondedKind : uint8_t { kStretch, kBend, kCosineBend, kStretchBend, kOutOfPlane, kTorsion };

struct BondedBatch {
  const double* positions;   // [n_atoms][3], Å
  const int32_t* atom_ptr;   // [n_structures + 1]
  const uint8_t* kind;       // [n_terms], of BondedKind
  const int32_t* atoms;      // [n_terms][4], rows of the atom axis
  const double* parameters;  // [n_terms][5], eV, Å, degrees
  const int32_t* term_ptr;   // [n_structures + 1]
  int64_t n_structures;
  double* energy;  // [n_structures], eV
  double* forces;  // [n_atoms][3], eV/Å
  double* virial;  // [n_structures][3][3], eV
};

/// What the GPU needs to add up forces in a fixed order.
struct BondedGather {
  const int32_t*
      pointers;           // [n_atoms_with_terms + 1]; atom a is in places[pointers[a]] ... places[pointers[a + 1] - 1]
  int64_t n_atoms;        // atoms from here on have no terms
  const int32_t* places;  // 4 term + place, ascending for each atom
  double* gradients;      // [n_terms][4][3], written and read
};

namespace cpu {

/// `n_threads` share the structures, at least 1.
void bonded(const BondedBatch& batch, int n_threads);

}  // namespace cpu

namespace cuda {

/// Enqueued on `stream`, a cudaStream_t. Throws std::runtime_error if the launch fails or CUDA was not built.
void bonded(const BondedBatch& batch, const BondedGather& gather, void* stream);

}  // namespace cuda

constexpr int kBondedSums = 64;
constexpr int kBondedTotals = 7;  // energy; xx, yy, zz, yz, xz and xy of the virial

PACKFLOW_INLINE int bonded_n_atoms(uint8_t kind) { return kind == kStretch ? 2 : kind <= kStretchBend ? 3 : 4; }

/// Energy of a term and its derivatives by the positions of its atoms i, j, k and l.
struct BondedTerm {
  double energy;
  Vec3 i, j, k, l;
};

PACKFLOW_INLINE double length(Vec3 u) { return sqrt(dot(u, u)); }

PACKFLOW_INLINE Vec3 negative(Vec3 u) { return {-u.x, -u.y, -u.z}; }

/// Keeps divisions finite where a direction is undefined.
PACKFLOW_INLINE double not_zero(double x) { return fmax(x, 1e-12); }

constexpr double kRadians = 0.017453292519943295;  // per degree

PACKFLOW_INLINE BondedTerm stretch_term(Vec3 i, Vec3 j, const double* p) {
  const Vec3 u = subtract(i, j);
  const double r = length(u), d = r - p[1];
  const double slope = p[0] * d * (1 - 3 * d + 14.0 / 3 * d * d);
  const Vec3 g = scaled(u, slope / r);
  return {p[0] / 2 * d * d * (1 - 2 * d + 7.0 / 3 * d * d), g, negative(g), {}, {}};
}

/// An angle u, v and its derivatives by both.
struct Angle {
  double value;
  Vec3 by_u, by_v;
};

PACKFLOW_INLINE Angle angle_between(Vec3 u, Vec3 v) {
  const Vec3 n = cross(u, v);
  const double sine = length(n);
  const double per_u = 1 / (dot(u, u) * not_zero(sine)), per_v = 1 / (dot(v, v) * not_zero(sine));
  return {atan2(sine, dot(u, v)), scaled(cross(u, n), per_u), scaled(cross(n, v), per_v)};
}

PACKFLOW_INLINE BondedTerm bend_term(Vec3 i, Vec3 j, Vec3 k, const double* p) {
  const Angle a = angle_between(subtract(i, j), subtract(k, j));
  const double d = a.value - kRadians * p[1];
  const double slope = p[0] * d * (1 - 0.6 * d);
  const Vec3 gi = scaled(a.by_u, slope), gk = scaled(a.by_v, slope);
  return {p[0] / 2 * d * d * (1 - 0.4 * d), gi, negative(add(gi, gk)), gk, {}};
}

PACKFLOW_INLINE BondedTerm cosine_bend_term(Vec3 i, Vec3 j, Vec3 k, const double* p) {
  const Vec3 u = subtract(i, j), v = subtract(k, j);
  const double ru = length(u), rv = length(v), c = dot(u, v) / (ru * rv), c2 = c * c;
  const bool four = p[1] > 2;
  const double multiple = four ? 8 * c2 * c2 - 8 * c2 + 1 : c, slope = four ? 32 * c2 * c - 16 * c : 1;
  const double strength = p[0] / (p[1] * p[1]), by_c = -strength * p[2] * slope;
  const Vec3 gi = scaled(subtract(scaled(v, 1 / rv), scaled(u, c / ru)), by_c / ru);
  const Vec3 gk = scaled(subtract(scaled(u, 1 / ru), scaled(v, c / rv)), by_c / rv);
  return {strength * (1 - p[2] * multiple), gi, negative(add(gi, gk)), gk, {}};
}

PACKFLOW_INLINE BondedTerm stretch_bend_term(Vec3 i, Vec3 j, Vec3 k, const double* p) {
  const Vec3 u = subtract(i, j), v = subtract(k, j);
  const double ru = length(u), rv = length(v);
  const Angle a = angle_between(u, v);
  const double stretch = p[0] * (ru - p[2]) + p[1] * (rv - p[3]), d = a.value - kRadians * p[4];
  const Vec3 gi = add(scaled(u, p[0] * d / ru), scaled(a.by_u, stretch));
  const Vec3 gk = add(scaled(v, p[1] * d / rv), scaled(a.by_v, stretch));
  return {stretch * d, gi, negative(add(gi, gk)), gk, {}};
}

PACKFLOW_INLINE BondedTerm out_of_plane_term(Vec3 i, Vec3 j, Vec3 k, Vec3 l, const double* p) {
  const Vec3 u = subtract(i, j), v = subtract(k, j), w = subtract(l, j);
  const Vec3 n = cross(u, v);
  const double area = not_zero(length(n)), r = length(w), s = dot(n, w) / (area * r);
  const double cosine = length(cross(n, w)) / (area * r), x = atan2(s, cosine);
  const double by_s = p[0] * x / not_zero(cosine);
  const Vec3 by_n = scaled(subtract(scaled(w, 1 / r), scaled(n, s / area)), by_s / area);
  const Vec3 gi = cross(v, by_n), gk = cross(by_n, u);
  const Vec3 gl = scaled(subtract(scaled(n, 1 / area), scaled(w, s / r)), by_s / r);
  return {p[0] / 2 * x * x, gi, negative(add(add(gi, gk), gl)), gk, gl};
}

PACKFLOW_INLINE BondedTerm torsion_term(Vec3 i, Vec3 j, Vec3 k, Vec3 l, const double* p) {
  const Vec3 a = subtract(j, i), b = subtract(k, j), c = subtract(l, k);
  const Vec3 m = cross(a, b), n = cross(b, c);
  const double rm = not_zero(length(m)), rn = not_zero(length(n)), t = dot(m, n) / (rm * rn);
  const double by_t = (p[0] - 4 * p[1] * t + p[2] * (12 * t * t - 3)) / 2;
  const Vec3 by_m = scaled(subtract(scaled(n, 1 / rn), scaled(m, t / rm)), by_t / rm);
  const Vec3 by_n = scaled(subtract(scaled(m, 1 / rm), scaled(n, t / rn)), by_t / rn);
  const Vec3 ga = cross(b, by_m), gb = add(cross(by_m, a), cross(c, by_n)), gc = cross(by_n, b);
  const double energy = (p[0] * (1 + t) + p[1] * (2 - 2 * t * t) + p[2] * (1 + t * (4 * t * t - 3))) / 2;
  return {energy, negative(ga), subtract(ga, gb), subtract(gb, gc), gc};
}

PACKFLOW_INLINE Vec3 bonded_position(const BondedBatch& batch, int64_t term, int place) {
  const double* const x = batch.positions + 3 * int64_t(batch.atoms[4 * term + place]);
  return {x[0], x[1], x[2]};
}

/// A term of the batch, its derivatives, and what it adds to the totals.
PACKFLOW_INLINE BondedTerm bonded_term(const BondedBatch& batch, int64_t term, double* totals) {
  const uint8_t kind = batch.kind[term];
  const double* const p = batch.parameters + 5 * term;
  const Vec3 i = bonded_position(batch, term, 0), j = bonded_position(batch, term, 1);
  const Vec3 k = bonded_position(batch, term, 2), l = bonded_position(batch, term, 3);
  BondedTerm out;
  switch (kind) {
    case kStretch:
      out = stretch_term(i, j, p);
      break;
    case kBend:
      out = bend_term(i, j, k, p);
      break;
    case kCosineBend:
      out = cosine_bend_term(i, j, k, p);
      break;
    case kStretchBend:
      out = stretch_bend_term(i, j, k, p);
      break;
    case kOutOfPlane:
      out = out_of_plane_term(i, j, k, l, p);
      break;
    default:
      out = torsion_term(i, j, k, l, p);
  }
  // The derivatives add up to zero, so that any origin will do; unused ones are zero.
  const Vec3 u = subtract(i, j), v = subtract(k, j), w = subtract(l, j);
  totals[0] += out.energy;
  totals[1] += u.x * out.i.x + v.x * out.k.x + w.x * out.l.x;
  totals[2] += u.y * out.i.y + v.y * out.k.y + w.y * out.l.y;
  totals[3] += u.z * out.i.z + v.z * out.k.z + w.z * out.l.z;
  totals[4] += u.y * out.i.z + v.y * out.k.z + w.y * out.l.z;
  totals[5] += u.x * out.i.z + v.x * out.k.z + w.x * out.l.z;
  totals[6] += u.x * out.i.y + v.x * out.k.y + w.x * out.l.y;
  return out;
}

/// Where a total goes to in the virial, once or twice.
PACKFLOW_INLINE void write_total(const BondedBatch& batch, int64_t structure, int total, double sum) {
  const int first[kBondedTotals] = {0, 0, 4, 8, 5, 2, 1}, second[kBondedTotals] = {0, 0, 4, 8, 7, 6, 3};
  if (total == 0) {
    batch.energy[structure] = sum;
  } else {
    batch.virial[9 * structure + first[total]] = sum;
    batch.virial[9 * structure + second[total]] = sum;
  }
}

}  // namespace packflow
