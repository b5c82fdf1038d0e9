#include "packflow/rdf.h"

#include "launch.cuh"
#include "search.cuh"

namespace packflow::cuda {
namespace {

constexpr int kBlockSize = 64;
// So many blocks share a multiprocessor: 128 registers a thread, without which some would be spilled.
constexpr int kMinBlocks = 8;
// Histograms of at most so many bins are gathered in shared memory, 8 kB.
constexpr int kSharedBins = 2048;

using Count = unsigned long long;  // an int64_t for atomicAdd

/// One block per atom; its threads take the atoms of the crystal from its own on in turn, so that each pair is visited
/// once: the distances of both directions are the same to the bit.
template <class Real>
__global__ void __launch_bounds__(kBlockSize, kMinBlocks)
    rdf_kernel(CrystalView<Real> crystals, double r_max, int n_bins, Count* counts) {
  __shared__ unsigned histogram[kSharedBins];
  const int thread = threadIdx.x;
  const Center<Real> center = make_center(crystals, blockIdx.x);
  counts += center.crystal * n_bins;
  const bool in_shared = n_bins <= kSharedBins;
  if (in_shared) {
    for (int bin = thread; bin < n_bins; bin += kBlockSize) histogram[bin] = 0;
    __syncthreads();
  }

  const double per_bin = n_bins / r_max;
  // Spares most images the root; the bin alone decides at the end of the last one.
  const double beyond2 = r_max * r_max * (1.0 + 1e-9);
  for (int j = center.self + thread; j < center.n_atoms; j += kBlockSize) {
    const unsigned weight = j == center.self ? 1 : 2;
    const WrappedAtom other = wrap(center.lattice, center.positions + 3 * int64_t(j));
    visit_images(center, j, other, r_max, [&](Vec3, double distance2) {
      if (distance2 > beyond2) return;
      const int bin = rdf_bin(distance2, per_bin);
      if (bin >= n_bins) return;
      if (in_shared) {
        atomicAdd(&histogram[bin], weight);
      } else {
        atomicAdd(&counts[bin], Count(weight));
      }
    });
  }

  if (in_shared) {
    __syncthreads();
    for (int bin = thread; bin < n_bins; bin += kBlockSize) {
      if (histogram[bin] > 0) atomicAdd(&counts[bin], Count(histogram[bin]));
    }
  }
}

}  // namespace

template <class Real>
void rdf(const CrystalView<Real>& crystals, double r_max, int n_bins, int64_t* counts, void* stream) {
  clear("rdf", counts, crystals.n_crystals * n_bins, stream);
  launch("rdf", rdf_kernel<Real>, crystals.n_atoms, kBlockSize, stream, crystals, r_max, n_bins,
         reinterpret_cast<Count*>(counts));
}

template void rdf(const CrystalView<float>&, double, int, int64_t*, void*);
template void rdf(const CrystalView<double>&, double, int, int64_t*, void*);

}  // namespace packflow::cuda
