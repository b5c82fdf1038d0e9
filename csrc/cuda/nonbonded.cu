#include "packflow/nonbonded.h"

#include "launch.cuh"
#include "nonbonded_warp.cuh"
#include "packflow/crystal_view.h"

namespace packflow::cuda {
namespace {

constexpr int kWarpsPerBlock = 4;
constexpr int kBlockSize = kLanes * kWarpsPerBlock;
constexpr int kMinBlocks = 3;  // 168 registers a thread

/// What one atom feels, of which each lane has a part.
struct Sums {
  double van_der_waals = 0, coulomb = 0, x = 0, y = 0, z = 0, xx = 0, xy = 0, xz = 0, yy = 0, yz = 0, zz = 0;
  double nearest2 = 1e300;
};

__device__ __forceinline__ void add_pair(Sums& s, Vec3 d, const PairTerms& terms) {
  const Vec3 f = scaled(d, terms.slope);
  s.van_der_waals += terms.van_der_waals;
  s.coulomb += terms.coulomb;
  s.x += f.x;
  s.y += f.y;
  s.z += f.z;
  s.xx += f.x * d.x;
  s.xy += f.x * d.y;
  s.xz += f.x * d.z;
  s.yy += f.y * d.y;
  s.yz += f.y * d.z;
  s.zz += f.z * d.z;
}

__device__ __forceinline__ Vec3 position(const NonbondedInput& in, int64_t i) {
  return {in.positions[3 * i], in.positions[3 * i + 1], in.positions[3 * i + 2]};
}

/// Parameters of a pair.
struct Parameters {
  double radius, epsilon, qq;
};

__device__ __forceinline__ Parameters parameters(const NonbondedInput& in, int64_t i, int64_t j, bool same) {
  const int64_t place = (int64_t(same ? 0 : in.n_types) + in.types[i]) * in.n_types + in.types[j];
  return {in.radius[place], in.epsilon[place], in.coulomb * in.charges[i] * in.charges[j]};
}

/// The listed pairs of atom i of a crystal, but for the special ones; lanes take them in turn.
__device__ __forceinline__ void listed_pairs(const NonbondedInput& in, const NonbondedList& pairs, const double* cell,
                                             int64_t i, int lane, Sums& sums) {
  const Vec3 from = position(in, i);
  for (int64_t p = pairs.pair_ptr[i] + lane; p < pairs.pair_ptr[i + 1]; p += kLanes) {
    const int64_t j = pairs.atom[p];
    const int32_t packed = pairs.shift[p];
    const double a = unpacked_shift(packed, 0), b = unpacked_shift(packed, 1), c = unpacked_shift(packed, 2);
    const Vec3 shift = {a * cell[0] + b * cell[3] + c * cell[6], a * cell[1] + b * cell[4] + c * cell[7],
                        a * cell[2] + b * cell[5] + c * cell[8]};
    const Vec3 d = add(subtract(position(in, j), from), shift);
    const double distance2 = dot(d, d);
    const bool same = packed == kNoShift && in.molecule[j] == in.molecule[i];
    if (!(distance2 < in.cutoff * in.cutoff) || (same && is_special(in, i, int32_t(j)))) continue;
    const Parameters of = parameters(in, i, j, same);
    sums.nearest2 = distance2 < sums.nearest2 ? distance2 : sums.nearest2;
    add_pair(sums, d, crystal_terms(distance2, of.radius, of.epsilon, of.qq, in.cutoff, in.alpha));
  }
}

/// The pairs of atom i with all others in vacuum, but for the special ones.
__device__ __forceinline__ void all_pairs(const NonbondedInput& in, int64_t i, int64_t first, int64_t last, int lane,
                                          Sums& sums) {
  const Vec3 from = position(in, i);
  for (int64_t j = first + lane; j < last; j += kLanes) {
    const bool same = in.molecule[j] == in.molecule[i];
    if (j == i || (same && is_special(in, i, int32_t(j)))) continue;
    const Vec3 d = subtract(position(in, j), from);
    const double distance2 = dot(d, d);
    const Parameters of = parameters(in, i, j, same);
    sums.nearest2 = distance2 < sums.nearest2 ? distance2 : sums.nearest2;
    add_pair(sums, d, vacuum_terms(distance2, of.radius, of.epsilon, of.qq, 1.0, 1.0));
  }
}

__device__ __forceinline__ void special_pairs(const NonbondedInput& in, int64_t i, bool periodic, int lane,
                                              Sums& sums) {
  const Vec3 from = position(in, i);
  for (int32_t k = in.special_ptr[i] + lane; k < in.special_ptr[i + 1]; k += kLanes) {
    const int64_t j = in.special_index[k];
    if (j == i) continue;
    const double* const scale = in.special_scale + 2 * int64_t(k);
    const Vec3 d = subtract(position(in, j), from);
    const double distance2 = fmax(dot(d, d), kSpecialNearest * kSpecialNearest);
    const Parameters of = parameters(in, i, j, true);
    add_pair(sums, d,
             periodic ? special_terms(distance2, of.radius, of.epsilon, of.qq, scale[0], scale[1], in.cutoff, in.alpha)
                      : vacuum_terms(distance2, of.radius, of.epsilon, of.qq, scale[0], scale[1]));
  }
}

/// One warp per atom: its force, and what it adds to its structure. Every pair is met at both of its atoms.
__global__ void __launch_bounds__(kBlockSize, kMinBlocks)
    atoms_kernel(NonbondedInput in, NonbondedList pairs, NonbondedOutput out, double* of_atoms) {
  const int64_t i = int64_t(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kLanes;
  if (i >= in.n_atoms) return;
  const int lane = threadIdx.x % kLanes;
  const CrystalView<double> structures = {in.positions, in.cell, in.atom_ptr, in.n_structures, in.n_atoms};
  const int64_t structure = crystal_of(structures, i);
  Sums s;
  if (out.problem[structure] == 0) {
    if (in.periodic[structure]) {
      listed_pairs(in, pairs, in.cell + 9 * structure, i, lane, s);
    } else {
      all_pairs(in, i, in.atom_ptr[structure], in.atom_ptr[structure + 1], lane, s);
    }
    special_pairs(in, i, in.periodic[structure], lane, s);
  }
  const double x = sum_of_lanes(s.x), y = sum_of_lanes(s.y), z = sum_of_lanes(s.z);
  const double van_der_waals = sum_of_lanes(s.van_der_waals), coulomb = sum_of_lanes(s.coulomb);
  const double xx = sum_of_lanes(s.xx), xy = sum_of_lanes(s.xy), xz = sum_of_lanes(s.xz);
  const double yy = sum_of_lanes(s.yy), yz = sum_of_lanes(s.yz), zz = sum_of_lanes(s.zz);
  const double nearest2 = least_of_lanes(s.nearest2);
  if (lane != 0) return;
  out.forces[3 * i] = x;
  out.forces[3 * i + 1] = y;
  out.forces[3 * i + 2] = z;
  double* const sums = of_atoms + kNonbondedSums * i;
  sums[0] = 0.5 * van_der_waals;
  sums[1] = 0.5 * coulomb;
  sums[2] = 0.5 * xx;
  sums[3] = 0.5 * xy;
  sums[4] = 0.5 * xz;
  sums[5] = 0.5 * yy;
  sums[6] = 0.5 * yz;
  sums[7] = 0.5 * zz;
  sums[8] = nearest2;
}

/// One warp per structure: adds up its atoms.
__global__ void __launch_bounds__(kBlockSize)
    structures_kernel(NonbondedInput in, NonbondedOutput out, const double* of_atoms) {
  const int64_t structure = int64_t(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kLanes;
  if (structure >= in.n_structures) return;
  const int lane = threadIdx.x % kLanes;
  double van_der_waals = 0, coulomb = 0, xx = 0, xy = 0, xz = 0, yy = 0, yz = 0, zz = 0, nearest2 = 1e300;
  for (int64_t i = int64_t(in.atom_ptr[structure]) + lane; i < in.atom_ptr[structure + 1]; i += kLanes) {
    const double* const sums = of_atoms + kNonbondedSums * i;
    van_der_waals += sums[0];
    coulomb += sums[1];
    xx += sums[2];
    xy += sums[3];
    xz += sums[4];
    yy += sums[5];
    yz += sums[6];
    zz += sums[7];
    nearest2 = sums[8] < nearest2 ? sums[8] : nearest2;
  }
  van_der_waals = sum_of_lanes(van_der_waals);
  coulomb = sum_of_lanes(coulomb);
  xx = sum_of_lanes(xx);
  xy = sum_of_lanes(xy);
  xz = sum_of_lanes(xz);
  yy = sum_of_lanes(yy);
  yz = sum_of_lanes(yz);
  zz = sum_of_lanes(zz);
  nearest2 = least_of_lanes(nearest2);
  if (lane != 0) return;
  out.energy[2 * structure] = van_der_waals;
  out.energy[2 * structure + 1] = coulomb;
  double* const strain = out.strain + 9 * structure;
  strain[0] = xx;
  strain[1] = strain[3] = xy;
  strain[2] = strain[6] = xz;
  strain[4] = yy;
  strain[5] = strain[7] = yz;
  strain[8] = zz;
  const double total = van_der_waals + coulomb;
  if (nearest2 < kNearestDistance * kNearestDistance) {
    out.problem[structure] |= kOverlap;
  } else if (total - total != 0) {
    out.problem[structure] |= kNotFinite;
  }
}

int64_t n_blocks(int64_t n_warps) { return (n_warps + kWarpsPerBlock - 1) / kWarpsPerBlock; }

}  // namespace

void nonbonded(const NonbondedInput& input, const NonbondedList& pairs, const NonbondedOutput& output, double* of_atoms,
               void* stream) {
  launch("nonbonded", atoms_kernel, n_blocks(input.n_atoms), kBlockSize, stream, input, pairs, output, of_atoms);
  launch("nonbonded", structures_kernel, n_blocks(input.n_structures), kBlockSize, stream, input, output, of_atoms);
}

}  // namespace packflow::cuda
