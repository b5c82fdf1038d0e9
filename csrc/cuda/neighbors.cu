#include "packflow/neighbors.h"

#include "launch.cuh"
#include "search.cuh"

namespace packflow::cuda {
namespace {

constexpr int kWarpSize = 32;
constexpr int kWarpsPerBlock = 4;
constexpr int kBlockSize = kWarpSize * kWarpsPerBlock;
// So many blocks share a multiprocessor: 168 registers a thread, without which some would be spilled.
constexpr int kMinBlocks = 3;
constexpr unsigned kAllLanes = 0xffffffffu;

/// Sum of the values of this lane and those below it.
__device__ int inclusive_sum(int value) {
  const int lane = threadIdx.x % kWarpSize;
  for (int delta = 1; delta < kWarpSize; delta *= 2) {
    const int below = __shfl_up_sync(kAllLanes, value, delta);
    if (lane >= delta) value += below;
  }
  return value;
}

/// Calls take(S) for the neighbors of the center that are images of its crystal's atom j, S in lexicographic order.
template <class Real, class Take>
__device__ __forceinline__ void visit_neighbors(const Center<Real>& center, int j, double cutoff, bool half,
                                                Take take) {
  if (j >= center.n_atoms || (half && j < center.self)) return;
  const WrappedAtom other = wrap(center.lattice, center.positions + 3 * int64_t(j));
  // From shifts of the wrapped atoms to those of the atoms as given.
  const Vec3 given = subtract(center.atom.shift, other.shift);
  const double cutoff2 = cutoff * cutoff;
  visit_images(center, j, other, cutoff, [&](Vec3 shift, double distance2) {
    if (!(distance2 < cutoff2)) return;
    const Vec3 s = add(shift, given);
    const bool positive = s.x > 0 || (s.x == 0 && (s.y > 0 || (s.y == 0 && s.z > 0)));
    if (!half || j != center.self || positive) take(s);
  });
}

/// The atom of this warp; beyond the last one in the warps that are left over.
__device__ int64_t atom_of_warp() { return int64_t(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kWarpSize; }

/// One warp per atom; its lanes take the atoms of the crystal in turn.
template <class Real>
__global__ void __launch_bounds__(kBlockSize, kMinBlocks)
    count_kernel(CrystalView<Real> crystals, double cutoff, bool half, int64_t* n_neighbors) {
  const int64_t atom = atom_of_warp();
  if (atom >= crystals.n_atoms) return;
  const Center<Real> center = make_center(crystals, atom);
  const int lane = threadIdx.x % kWarpSize;
  int count = 0;
  for (int j = lane; j < center.n_atoms; j += kWarpSize) {
    visit_neighbors(center, j, cutoff, half, [&](Vec3) { ++count; });
  }
  count = inclusive_sum(count);
  if (lane == kWarpSize - 1) n_neighbors[atom] = count;
}

/// Likewise. A lane's pairs follow those of the lanes below it, so the list comes out sorted.
template <class Real>
__global__ void __launch_bounds__(kBlockSize, kMinBlocks)
    write_kernel(CrystalView<Real> crystals, double cutoff, bool half, PairList pairs) {
  const int64_t atom = atom_of_warp();
  if (atom >= crystals.n_atoms) return;
  const Center<Real> center = make_center(crystals, atom);
  const int lane = threadIdx.x % kWarpSize;
  int64_t first = pairs.pair_ptr[atom];
  for (int start = 0; start < center.n_atoms; start += kWarpSize) {
    const int j = start + lane;
    int count = 0;
    visit_neighbors(center, j, cutoff, half, [&](Vec3) { ++count; });
    const int sum = inclusive_sum(count);
    int64_t pair = first + sum - count;
    visit_neighbors(center, j, cutoff, half, [&](Vec3 s) {
      pairs.pair_index[pair] = atom;
      pairs.pair_index[pairs.n_pairs + pair] = int64_t(center.first) + j;
      pairs.cell_shifts[3 * pair] = int32_t(s.x);
      pairs.cell_shifts[3 * pair + 1] = int32_t(s.y);
      pairs.cell_shifts[3 * pair + 2] = int32_t(s.z);
      ++pair;
    });
    first += __shfl_sync(kAllLanes, sum, kWarpSize - 1);
  }
}

int64_t n_blocks(int64_t n_atoms) { return (n_atoms + kWarpsPerBlock - 1) / kWarpsPerBlock; }

}  // namespace

template <class Real>
void count_neighbors(const CrystalView<Real>& crystals, double cutoff, bool half, int64_t* n_neighbors, void* stream) {
  launch("neighbors", count_kernel<Real>, n_blocks(crystals.n_atoms), kBlockSize, stream, crystals, cutoff, half,
         n_neighbors);
}

template <class Real>
void write_neighbors(const CrystalView<Real>& crystals, double cutoff, bool half, const PairList& pairs, void* stream) {
  launch("neighbors", write_kernel<Real>, n_blocks(crystals.n_atoms), kBlockSize, stream, crystals, cutoff, half,
         pairs);
}

template void count_neighbors(const CrystalView<float>&, double, bool, int64_t*, void*);
template void count_neighbors(const CrystalView<double>&, double, bool, int64_t*, void*);
template void write_neighbors(const CrystalView<float>&, double, bool, const PairList&, void*);
template void write_neighbors(const CrystalView<double>&, double, bool, const PairList&, void*);

}  // namespace packflow::cuda
