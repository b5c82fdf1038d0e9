// Nonbonded terms of one structure. Included by one file per instruction set, which names it in PACKFLOW_ISA.

#include "nonbonded_kernel.h"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

constexpr int kBlock = 256;

/// Pairs of one atom i with others j, as arrays.
struct Block {
  alignas(64) double x[kBlock], y[kBlock], z[kBlock], distance2[kBlock];  // from i to j, Å
  alignas(64) double radius[kBlock], epsilon[kBlock], qq[kBlock];
  alignas(64) double force_x[kBlock], force_y[kBlock], force_z[kBlock];  // on i
  alignas(64) int32_t atom[kBlock];                                      // j
  alignas(64) int32_t table[kBlock];                                     // 0 where i and j are of one molecule
  int size = 0;
};

struct Sums {
  double van_der_waals = 0, coulomb = 0, xx = 0, xy = 0, xz = 0, yy = 0, yz = 0, zz = 0;
};

/// What the pairs of one structure are added to.
struct Work {
  const NonbondedInput& input;
  double* forces;
  bool periodic;
  Sums sums;
  double nearest2;
  Block block;
};

/// Parameters of the block's pairs, from the row of atom i.
void look_up(Work& w, int64_t i) {
  Block& b = w.block;
  const NonbondedInput& in = w.input;
  const int64_t n = in.n_types, row = in.types[i] * n, own_to_other = n * n;
  const double charge = in.coulomb * in.charges[i];
  for (int k = 0; k < b.size; ++k) {
    const int32_t j = b.atom[k];
    const int64_t place = row + in.types[j] + (b.table[k] ? own_to_other : 0);
    b.radius[k] = in.radius[place];
    b.epsilon[k] = in.epsilon[place];
    b.qq[k] = charge * in.charges[j];
  }
}

/// Adds up energies and strain of the block, and leaves the forces in it.
template <bool kPeriodic>
void evaluate(Block& b, double cutoff, double alpha, Sums& sums, double& nearest2) {
  double van_der_waals = 0, coulomb = 0, xx = 0, xy = 0, xz = 0, yy = 0, yz = 0, zz = 0, nearest = nearest2;
#pragma omp simd reduction(+ : van_der_waals, coulomb, xx, xy, xz, yy, yz, zz) reduction(min : nearest)
  for (int k = 0; k < b.size; ++k) {
    const PairTerms terms = kPeriodic ? crystal_terms(b.distance2[k], b.radius[k], b.epsilon[k], b.qq[k], cutoff, alpha)
                                      : vacuum_terms(b.distance2[k], b.radius[k], b.epsilon[k], b.qq[k], 1.0, 1.0);
    nearest = b.distance2[k] < nearest ? b.distance2[k] : nearest;
    van_der_waals += terms.van_der_waals;
    coulomb += terms.coulomb;
    const double x = b.x[k], y = b.y[k], z = b.z[k];
    const double fx = terms.slope * x, fy = terms.slope * y, fz = terms.slope * z;
    b.force_x[k] = fx;
    b.force_y[k] = fy;
    b.force_z[k] = fz;
    xx += fx * x;
    xy += fx * y;
    xz += fx * z;
    yy += fy * y;
    yz += fy * z;
    zz += fz * z;
  }
  sums.van_der_waals += van_der_waals;
  sums.coulomb += coulomb;
  sums.xx += xx;
  sums.xy += xy;
  sums.xz += xz;
  sums.yy += yy;
  sums.yz += yz;
  sums.zz += zz;
  nearest2 = nearest;
}

/// Evaluates the pairs of atom i in the block, and empties it.
void flush(Work& w, int64_t i) {
  Block& b = w.block;
  look_up(w, i);
  if (w.periodic) {
    evaluate<true>(b, w.input.cutoff, w.input.alpha, w.sums, w.nearest2);
  } else {
    evaluate<false>(b, w.input.cutoff, w.input.alpha, w.sums, w.nearest2);
  }
  double x = 0, y = 0, z = 0;
  for (int k = 0; k < b.size; ++k) {
    double* const force = w.forces + 3 * int64_t(b.atom[k]);
    force[0] -= b.force_x[k];
    force[1] -= b.force_y[k];
    force[2] -= b.force_z[k];
    x += b.force_x[k];
    y += b.force_y[k];
    z += b.force_z[k];
  }
  w.forces[3 * i] += x;
  w.forces[3 * i + 1] += y;
  w.forces[3 * i + 2] += z;
  b.size = 0;
}

/// Puts a pair into the block if it is `wanted`.
inline void append(Block& b, Vec3 d, double distance2, int32_t j, bool same, bool wanted) {
  b.x[b.size] = d.x;
  b.y[b.size] = d.y;
  b.z[b.size] = d.z;
  b.distance2[b.size] = distance2;
  b.atom[b.size] = j;
  b.table[b.size] = !same;
  b.size += wanted;
}

inline Vec3 position(const NonbondedInput& in, int64_t i) {
  return {in.positions[3 * i], in.positions[3 * i + 1], in.positions[3 * i + 2]};
}

/// The listed pairs of atom i of a crystal, but for the special ones.
void listed_pairs(Work& w, const PairList& pairs, const double* cell, int64_t i) {
  const NonbondedInput& in = w.input;
  const Vec3 from = position(in, i);
  const double cutoff2 = in.cutoff * in.cutoff;
  const int32_t molecule = in.molecule[i];
  for (int64_t p = pairs.pair_ptr[i]; p < pairs.pair_ptr[i + 1]; ++p) {
    const int32_t j = int32_t(pairs.pair_index[pairs.n_pairs + p]);
    const int32_t* const s = pairs.cell_shifts + 3 * p;
    const double a = s[0], b = s[1], c = s[2];
    const Vec3 shift = {a * cell[0] + b * cell[3] + c * cell[6], a * cell[1] + b * cell[4] + c * cell[7],
                        a * cell[2] + b * cell[5] + c * cell[8]};
    const Vec3 d = add(subtract(position(in, j), from), shift);
    const double distance2 = dot(d, d);
    const bool same = !(s[0] | s[1] | s[2]) && in.molecule[j] == molecule;
    append(w.block, d, distance2, j, same, distance2 < cutoff2 && !(same && is_special(in, i, j)));
    if (w.block.size == kBlock) flush(w, i);
  }
  flush(w, i);
}

/// The pairs of atom i with all later atoms in vacuum, but for the special ones.
void all_pairs(Work& w, int64_t i, int64_t last) {
  const NonbondedInput& in = w.input;
  const Vec3 from = position(in, i);
  for (int64_t j = i + 1; j < last; ++j) {
    const Vec3 d = subtract(position(in, j), from);
    const bool same = in.molecule[j] == in.molecule[i];
    append(w.block, d, dot(d, d), int32_t(j), same, !(same && is_special(in, i, int32_t(j))));
    if (w.block.size == kBlock) flush(w, i);
  }
  flush(w, i);
}

/// Adds a pair at distance d from i to j.
void add_pair(Work& w, int64_t i, int64_t j, Vec3 d, const PairTerms& terms) {
  const Vec3 f = scaled(d, terms.slope);
  double *const on_i = w.forces + 3 * i, *const on_j = w.forces + 3 * j;
  on_i[0] += f.x;
  on_i[1] += f.y;
  on_i[2] += f.z;
  on_j[0] -= f.x;
  on_j[1] -= f.y;
  on_j[2] -= f.z;
  Sums& s = w.sums;
  s.van_der_waals += terms.van_der_waals;
  s.coulomb += terms.coulomb;
  s.xx += f.x * d.x;
  s.xy += f.x * d.y;
  s.xz += f.x * d.z;
  s.yy += f.y * d.y;
  s.yz += f.y * d.z;
  s.zz += f.z * d.z;
}

/// The special pairs of atom i with later atoms.
void special_pairs(Work& w, int64_t i) {
  const NonbondedInput& in = w.input;
  const Vec3 from = position(in, i);
  for (int32_t k = in.special_ptr[i]; k < in.special_ptr[i + 1]; ++k) {
    const int64_t j = in.special_index[k];
    if (j <= i) continue;
    const int64_t place = in.types[i] * in.n_types + in.types[j];
    const double qq = in.coulomb * in.charges[i] * in.charges[j];
    const double* const scale = in.special_scale + 2 * int64_t(k);
    const Vec3 d = subtract(position(in, j), from);
    const double distance2 = fmax(dot(d, d), kSpecialNearest * kSpecialNearest);
    const double radius = in.radius[place], epsilon = in.epsilon[place];
    add_pair(w, i, j, d,
             w.periodic ? special_terms(distance2, radius, epsilon, qq, scale[0], scale[1], in.cutoff, in.alpha)
                        : vacuum_terms(distance2, radius, epsilon, qq, scale[0], scale[1]));
  }
}

}  // namespace

void nonbonded_structure(const NonbondedInput& input, const PairList& pairs, const NonbondedOutput& output,
                         int64_t structure) {
  Work w = {input, output.forces, input.periodic[structure] != 0, {}, 1e300, {}};
  const int64_t first = input.atom_ptr[structure], last = input.atom_ptr[structure + 1];
  for (int64_t i = first; i < last; ++i) {
    if (w.periodic) {
      listed_pairs(w, pairs, input.cell + 9 * structure, i);
    } else {
      all_pairs(w, i, last);
    }
    special_pairs(w, i);
  }
  const Sums& s = w.sums;
  output.energy[2 * structure] = s.van_der_waals;
  output.energy[2 * structure + 1] = s.coulomb;
  const double strain[9] = {s.xx, s.xy, s.xz, s.xy, s.yy, s.yz, s.xz, s.yz, s.zz};
  for (int k = 0; k < 9; ++k) output.strain[9 * structure + k] = strain[k];
  const double total = s.van_der_waals + s.coulomb;
  if (w.nearest2 < kNearestDistance * kNearestDistance) {
    output.problem[structure] |= kOverlap;
  } else if (total - total != 0) {
    output.problem[structure] |= kNotFinite;
  }
}

}  // namespace packflow::cpu::PACKFLOW_ISA
