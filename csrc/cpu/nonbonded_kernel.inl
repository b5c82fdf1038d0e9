// Nonbonded terms of one structure. Included by one file per instruction set, which names it in PACKFLOW_ISA.

#include "nonbonded_kernel.h"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

constexpr int kBlock = 256;
constexpr double kNoCutoff2 = 1e300;  // Å2

/// Pairs of one atom i with others j, as arrays.
struct Block {
  alignas(64) double x[kBlock], y[kBlock], z[kBlock], distance2[kBlock];  // from i to j, Å
  alignas(64) double radius[kBlock], epsilon[kBlock], qq[kBlock];
  alignas(64) double force_x[kBlock], force_y[kBlock], force_z[kBlock];  // on i
  alignas(64) int32_t atom[kBlock], home[kBlock];                        // j, and whether the pair has no shift
  alignas(64) int32_t entry[kBlock], left_out[kBlock];  // place in the tables from the row of i, and whether special
  int size;
};

struct Sums {
  double van_der_waals, coulomb, xx, xy, xz, yy, yz, zz;
};

/// One structure while its pairs are added up.
struct Work {
  const NonbondedInput& input;
  const NonbondedWork& atoms;
  int64_t first;  // atom of the structure
  bool periodic;
  double nearest2;
  Sums sums;
  Block block;
};

/// What one atom is to its pairs.
struct From {
  double x, y, z, charge;
  const double *radius, *epsilon;  // rows of the tables for atoms of its molecule
  int32_t other;                   // from there to those for all others
  int32_t molecule, place;         // place in the structure
};

From from_atom(const Work& w, int64_t i) {
  const NonbondedInput& in = w.input;
  const int32_t own_to_other = int32_t(in.n_types * in.n_types);
  const int64_t row = in.types[w.first + i] * in.n_types;
  return {w.atoms.x[i],    w.atoms.y[i],     w.atoms.z[i], in.coulomb * w.atoms.charge[i],
          in.radius + row, in.epsilon + row, own_to_other, w.atoms.molecule[i],
          int32_t(i)};
}

/// Keeps the pairs nearer than the cutoff that are not special.
void leave_out(Block& b, const NonbondedWork& atoms, const From& from, double cutoff2) {
  const int32_t *const type = atoms.type, *const molecule = atoms.molecule, *const special = atoms.special;
  const int32_t other = from.other, own_molecule = from.molecule, place = from.place;
#pragma omp simd
  for (int k = 0; k < b.size; ++k) {
    const int32_t j = b.atom[k];
    const int32_t own = molecule[j] == own_molecule ? b.home[k] : 0;
    b.entry[k] = type[j] + (own ? 0 : other);
    b.left_out[k] = special[j] == place ? own : 0;
  }
  int n = 0;
  for (int k = 0; k < b.size; ++k) {
    const double x = b.x[k], y = b.y[k], z = b.z[k], distance2 = x * x + y * y + z * z;
    b.x[n] = x;
    b.y[n] = y;
    b.z[n] = z;
    b.distance2[n] = distance2;
    b.atom[n] = b.atom[k];
    b.entry[n] = b.entry[k];
    n += (distance2 < cutoff2) & !b.left_out[k];
  }
  b.size = n;
}

/// Parameters of the block's pairs.
void look_up(Block& b, const NonbondedWork& atoms, const From& from) {
  const double *const charge = atoms.charge, *const radius = from.radius, *const epsilon = from.epsilon;
  const double of_atom = from.charge;
#pragma omp simd
  for (int k = 0; k < b.size; ++k) {
    b.radius[k] = radius[b.entry[k]];
    b.epsilon[k] = epsilon[b.entry[k]];
    b.qq[k] = of_atom * charge[b.atom[k]];
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

/// Evaluates the pairs in the block of atom i.
void finish(Work& w, int64_t i) {
  Block& b = w.block;
  if (w.periodic) {
    evaluate<true>(b, w.input.cutoff, w.input.alpha, w.sums, w.nearest2);
  } else {
    evaluate<false>(b, w.input.cutoff, w.input.alpha, w.sums, w.nearest2);
  }
  double x = 0, y = 0, z = 0;
  for (int k = 0; k < b.size; ++k) {
    double* const force = w.atoms.force + 4 * int64_t(b.atom[k]);
    force[0] -= b.force_x[k];
    force[1] -= b.force_y[k];
    force[2] -= b.force_z[k];
    x += b.force_x[k];
    y += b.force_y[k];
    z += b.force_z[k];
  }
  double* const force = w.atoms.force + 4 * i;
  force[0] += x;
  force[1] += y;
  force[2] += z;
}

/// Fills the block with the differences of `size` listed pairs.
void list_block(Block& b, const NonbondedWork& atoms, const From& from, const double* cell, int32_t first,
                const int32_t* other, const int32_t* shift, int size) {
  const double *const at_x = atoms.x, *const at_y = atoms.y, *const at_z = atoms.z;
  const double x = from.x, y = from.y, z = from.z;
  const double ax = cell[0], ay = cell[1], az = cell[2], bx = cell[3], by = cell[4], bz = cell[5], cx = cell[6],
               cy = cell[7], cz = cell[8];
  b.size = size;
#pragma omp simd
  for (int k = 0; k < size; ++k) {
    const int32_t j = other[k] - first, packed = shift[k];
    const double s = unpacked_shift(packed, 0), t = unpacked_shift(packed, 1), u = unpacked_shift(packed, 2);
    b.atom[k] = j;
    b.home[k] = packed == kNoShift;
    b.x[k] = at_x[j] - x + (s * ax + t * bx + u * cx);
    b.y[k] = at_y[j] - y + (s * ay + t * by + u * cy);
    b.z[k] = at_z[j] - z + (s * az + t * bz + u * cz);
  }
}

/// The listed pairs of atom i of a crystal, but for the special ones.
void listed_pairs(Work& w, const NonbondedList& pairs, const double* cell, int64_t i) {
  const From from = from_atom(w, i);
  const int64_t last = pairs.pair_ptr[w.first + i + 1];
  for (int64_t p = pairs.pair_ptr[w.first + i]; p < last; p += kBlock) {
    const int size = int(last - p < kBlock ? last - p : kBlock);
    list_block(w.block, w.atoms, from, cell, int32_t(w.first), pairs.atom + p, pairs.shift + p, size);
    leave_out(w.block, w.atoms, from, w.input.cutoff * w.input.cutoff);
    look_up(w.block, w.atoms, from);
    finish(w, i);
  }
}

/// The pairs of atom i with all later atoms in vacuum, but for the special ones.
void all_pairs(Work& w, int64_t i, int64_t n_atoms) {
  const From from = from_atom(w, i);
  const NonbondedWork& atoms = w.atoms;
  Block& b = w.block;
  for (int64_t first = i + 1; first < n_atoms; first += kBlock) {
    b.size = int(n_atoms - first < kBlock ? n_atoms - first : kBlock);
    for (int k = 0; k < b.size; ++k) {
      const int64_t j = first + k;
      b.atom[k] = int32_t(j);
      b.home[k] = 1;
      b.x[k] = atoms.x[j] - from.x;
      b.y[k] = atoms.y[j] - from.y;
      b.z[k] = atoms.z[j] - from.z;
    }
    leave_out(b, atoms, from, kNoCutoff2);
    look_up(b, atoms, from);
    finish(w, i);
  }
}

/// Adds a pair at distance d from i to j.
void add_pair(Work& w, int64_t i, int64_t j, Vec3 d, const PairTerms& terms) {
  const Vec3 f = scaled(d, terms.slope);
  double *const on_i = w.atoms.force + 4 * i, *const on_j = w.atoms.force + 4 * j;
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

/// The special pairs of atom i with later atoms; marks all of them, so that they are left out elsewhere.
void special_pairs(Work& w, int64_t i) {
  const NonbondedInput& in = w.input;
  const From from = from_atom(w, i);
  for (int32_t k = in.special_ptr[w.first + i]; k < in.special_ptr[w.first + i + 1]; ++k) {
    const int64_t j = in.special_index[k] - w.first;
    w.atoms.special[j] = from.place;
    if (j <= i) continue;
    const double* const scale = in.special_scale + 2 * int64_t(k);
    const double qq = from.charge * w.atoms.charge[j];
    const Vec3 d = {w.atoms.x[j] - from.x, w.atoms.y[j] - from.y, w.atoms.z[j] - from.z};
    const double distance2 = fmax(dot(d, d), kSpecialNearest * kSpecialNearest);
    const double radius = from.radius[w.atoms.type[j]], epsilon = from.epsilon[w.atoms.type[j]];
    add_pair(w, i, j, d,
             w.periodic ? special_terms(distance2, radius, epsilon, qq, scale[0], scale[1], in.cutoff, in.alpha)
                        : vacuum_terms(distance2, radius, epsilon, qq, scale[0], scale[1]));
  }
}

/// Copies what is needed of the atoms, and clears the forces.
void lay_out(const NonbondedInput& in, int64_t first, int64_t n_atoms, const NonbondedWork& w) {
  for (int64_t i = 0; i < n_atoms; ++i) {
    const double* const r = in.positions + 3 * (first + i);
    w.x[i] = r[0];
    w.y[i] = r[1];
    w.z[i] = r[2];
    w.charge[i] = in.charges[first + i];
    w.type[i] = in.types[first + i];
    w.molecule[i] = in.molecule[first + i];
    w.special[i] = -1;
    for (int k = 0; k < 4; ++k) w.force[4 * i + k] = 0.0;
  }
}

}  // namespace

void nonbonded_structure(const NonbondedInput& input, const NonbondedList& pairs, const NonbondedOutput& output,
                         int64_t structure, const NonbondedWork& atoms) {
  const int64_t first = input.atom_ptr[structure], n_atoms = input.atom_ptr[structure + 1] - first;
  Work w = {input, atoms, first, input.periodic[structure] != 0, 1e300, {}, {}};
  lay_out(input, first, n_atoms, atoms);
  for (int64_t i = 0; i < n_atoms; ++i) {
    special_pairs(w, i);
    if (w.periodic) {
      listed_pairs(w, pairs, input.cell + 9 * structure, i);
    } else {
      all_pairs(w, i, n_atoms);
    }
  }
  const Sums& s = w.sums;
  output.energy[2 * structure] = s.van_der_waals;
  output.energy[2 * structure + 1] = s.coulomb;
  const double strain[9] = {s.xx, s.xy, s.xz, s.xy, s.yy, s.yz, s.xz, s.yz, s.zz};
  for (int k = 0; k < 9; ++k) output.strain[9 * structure + k] = strain[k];
  for (int64_t i = 0; i < n_atoms; ++i) {
    for (int k = 0; k < 3; ++k) output.forces[3 * (first + i) + k] = atoms.force[4 * i + k];
  }
  const double total = s.van_der_waals + s.coulomb;
  if (w.nearest2 < kNearestDistance * kNearestDistance) {
    output.problem[structure] |= kOverlap;
  } else if (total - total != 0) {
    output.problem[structure] |= kNotFinite;
  }
}

}  // namespace packflow::cpu::PACKFLOW_ISA
