#include "packflow/min_image.h"

#include "launch.cuh"
#include "packflow/images.h"

namespace packflow::cuda {
namespace {

constexpr int kBlockSize = 128;

/// One thread per pair.
template <class Real>
__global__ void __launch_bounds__(kBlockSize)
    min_image_kernel(CrystalView<Real> crystals, const int64_t* pair_index, int64_t n_pairs, Real* distances) {
  const int64_t pair = int64_t(blockIdx.x) * kBlockSize + threadIdx.x;
  if (pair >= n_pairs) return;
  const int64_t i = pair_index[pair], j = pair_index[n_pairs + pair];
  const Lattice lattice = make_lattice(crystals.cell + 9 * crystal_of(crystals, i));
  const WrappedAtom atom = wrap(lattice, crystals.positions + 3 * i);
  const WrappedAtom other = wrap(lattice, crystals.positions + 3 * j);
  distances[pair] = Real(sqrt(nearest_image_distance2(lattice, atom, other)));
}

}  // namespace

template <class Real>
void min_image(const CrystalView<Real>& crystals, const int64_t* pair_index, int64_t n_pairs, Real* distances,
               void* stream) {
  launch("min_image", min_image_kernel<Real>, (n_pairs + kBlockSize - 1) / kBlockSize, kBlockSize, stream, crystals,
         pair_index, n_pairs, distances);
}

template void min_image(const CrystalView<float>&, const int64_t*, int64_t, float*, void*);
template void min_image(const CrystalView<double>&, const int64_t*, int64_t, double*, void*);

}  // namespace packflow::cuda
