#pragma once

// The k nearest images around one atom, by one block. Nothing depends on the order of the threads: what they gather in
// any order is sorted, and of equal distances it does not matter which is taken.

#include "packflow/amd.h"
#include "search.cuh"
#include "sort.cuh"

namespace packflow::cuda {

constexpr int kNearestBlockSize = 64;
constexpr int kDigits = 256;
// Squared distances that are held in shared memory, 8 kB. The first radius finds about 1.4 k where atoms are evenly
// spread.
constexpr unsigned kMostHeld = 1024;

/// What the threads of a block share.
struct NearestShared {
  double held[kMostHeld];
  unsigned histogram[kDigits];
  unsigned n_found, n_ties;
};

/// Calls visit(distance2) for this thread's share of the images closer than `radius` to the center.
template <class Real, class Visit>
__device__ __forceinline__ void visit_near(const Center<Real>& center, double radius, Visit visit) {
  const double radius2 = radius * radius;
  for (int j = threadIdx.x; j < center.n_atoms; j += kNearestBlockSize) {
    const WrappedAtom other = wrap(center.lattice, center.positions + 3 * int64_t(j));
    visit_images(center, j, other, radius, [&](Vec3, double distance2) {
      if (distance2 < radius2) visit(distance2);
    });
  }
}

/// Enlarges the radius until at least k images are closer, and returns it; shared.n_found is their number, and
/// shared.held has them in any order if it has room for all.
template <class Real>
__device__ double find_enough(const Center<Real>& center, int64_t k, NearestShared& shared) {
  double radius = amd_first_radius(center.lattice, center.n_atoms, k);
  for (;; radius *= 1.25) {
    if (threadIdx.x == 0) shared.n_found = 0;
    __syncthreads();
    visit_near(center, radius, [&](double distance2) {
      const unsigned place = atomicAdd(&shared.n_found, 1u);
      if (place < kMostHeld) shared.held[place] = distance2;
    });
    __syncthreads();
    const unsigned n_found = shared.n_found;
    // Before the first thread sets it to zero again.
    __syncthreads();
    if (n_found >= k) return radius;
  }
}

/// Writes the k smallest squared distances, of more than k within the radius, in any order. A radix select: the bits
/// of numbers that are not negative order them, so the upper bits of the k-th are found eight at a time.
template <class Real>
__device__ void select_nearest(const Center<Real>& center, double radius, int64_t k, NearestShared& shared,
                               double* nearest) {
  uint64_t prefix = 0;  // upper bits of the k-th smallest
  int64_t n_below = 0;  // numbers whose upper bits are below the prefix; fewer than k
  int shift = 64;       // lower bits that are not in the prefix
  bool all = false;     // whether all numbers that share the prefix are among the k
  while (shift > 0 && !all) {
    shift -= 8;
    for (int digit = threadIdx.x; digit < kDigits; digit += kNearestBlockSize) shared.histogram[digit] = 0;
    __syncthreads();
    visit_near(center, radius, [&](double distance2) {
      const uint64_t upper = uint64_t(__double_as_longlong(distance2)) >> shift;
      if (upper >> 8 == prefix) atomicAdd(&shared.histogram[upper % kDigits], 1u);
    });
    __syncthreads();
    int digit = 0;
    while (n_below + shared.histogram[digit] < k) n_below += shared.histogram[digit++];
    all = n_below + shared.histogram[digit] == k;
    prefix = prefix << 8 | unsigned(digit);
    __syncthreads();
  }

  if (threadIdx.x == 0) shared.n_found = shared.n_ties = 0;
  __syncthreads();
  visit_near(center, radius, [&](double distance2) {
    const uint64_t upper = uint64_t(__double_as_longlong(distance2)) >> shift;
    if (upper > prefix) return;
    const int64_t place = upper < prefix ? atomicAdd(&shared.n_found, 1u) : n_below + atomicAdd(&shared.n_ties, 1u);
    if (place < k) nearest[place] = distance2;
  });
}

}  // namespace packflow::cuda
