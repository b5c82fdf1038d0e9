#include "packflow/amd.h"

#include "launch.cuh"
#include "nearest.cuh"

namespace packflow::cuda {
namespace {

// So many blocks share a multiprocessor: 128 registers a thread, without which some would be spilled.
constexpr int kMinBlocks = 8;

/// One block per atom. `workspace` and `rows` [n_atoms][k] may be the same.
template <class Real, class Stored>
__global__ void __launch_bounds__(kNearestBlockSize, kMinBlocks)
    pdd_kernel(CrystalView<Real> crystals, int64_t k, double* workspace, Stored* rows) {
  __shared__ NearestShared shared;
  const Center<Real> center = make_center(crystals, blockIdx.x);
  rows += blockIdx.x * k;
  const double radius = find_enough(center, k, shared);
  double* nearest = shared.held;
  if (shared.n_found <= kMostHeld) {
    sort_ascending(nearest, shared.n_found);
  } else {
    nearest = workspace + blockIdx.x * k;
    select_nearest(center, radius, k, shared, nearest);
    sort_ascending(nearest, k);
  }
  for (int64_t place = threadIdx.x; place < k; place += kNearestBlockSize) {
    rows[place] = Stored(sqrt(nearest[place]));
  }
}

/// Mean of the rows of each crystal, summed in the order of the atoms. One block per crystal.
template <class Real>
__global__ void __launch_bounds__(kNearestBlockSize)
    mean_kernel(const int32_t* atom_ptr, int64_t k, const double* rows, Real* mean) {
  const int64_t first = atom_ptr[blockIdx.x], last = atom_ptr[blockIdx.x + 1];
  for (int64_t place = threadIdx.x; place < k; place += kNearestBlockSize) {
    double sum = 0.0;
    for (int64_t atom = first; atom < last; ++atom) sum += rows[atom * k + place];
    mean[blockIdx.x * k + place] = Real(sum / double(last - first));
  }
}

}  // namespace

template <class Real>
void pdd(const CrystalView<Real>& crystals, int64_t k, double* workspace, Real* rows, void* stream) {
  launch("pdd", pdd_kernel<Real, Real>, crystals.n_atoms, kNearestBlockSize, stream, crystals, k, workspace, rows);
}

template <class Real>
void amd(const CrystalView<Real>& crystals, int64_t k, double* workspace, Real* mean, void* stream) {
  launch("amd", pdd_kernel<Real, double>, crystals.n_atoms, kNearestBlockSize, stream, crystals, k, workspace,
         workspace);
  launch("amd", mean_kernel<Real>, crystals.n_crystals, kNearestBlockSize, stream, crystals.atom_ptr, k, workspace,
         mean);
}

template void pdd(const CrystalView<float>&, int64_t, double*, float*, void*);
template void pdd(const CrystalView<double>&, int64_t, double*, double*, void*);
template void amd(const CrystalView<float>&, int64_t, double*, float*, void*);
template void amd(const CrystalView<double>&, int64_t, double*, double*, void*);

}  // namespace packflow::cuda
