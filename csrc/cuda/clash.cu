#include "packflow/clash.h"

#include "launch.cuh"
#include "packflow/slabs.h"

namespace packflow::cuda {
namespace {

// Crystals have some 50 to 250 atoms: two warps leave few threads idle.
constexpr int kBlockSize = 64;

/// What the search reads of the other atoms, tile by tile.
struct Tile {
  float x[kBlockSize], y[kBlockSize], z[kBlockSize];  // fractional coordinates
  float share[kBlockSize];                            // of the filter's cutoff, Å
};

/// Whether atom i has a neighbor among the n atoms of the tile, which begins with atom `start`.
template <class Real>
__device__ bool clash_in_tile(const Tile& tile, int start, int n, const Lattice& lattice, const NearFilter& filter,
                              const Real* positions, const Real* radii, double scale, int i, const WrappedAtom& atom) {
  const float x = float(atom.fractional.x), y = float(atom.fractional.y), z = float(atom.fractional.z);
  const float share = near_share(filter, scale * double(radii[i]));
  for (int k = 0; k < n; ++k) {
    const int j = start + k;
    const double cutoff = scale * (double(radii[i]) + double(radii[j]));
    if (nearest_image_suffices(lattice, cutoff)) {
      const float near_cutoff = tile.share[k] + share;
      if (i == j || !maybe_near(filter, tile.x[k] - x, tile.y[k] - y, tile.z[k] - z, near_cutoff)) continue;
    }
    if (any_image_within(lattice, atom, wrap(lattice, positions + 3 * j), i == j, cutoff)) return true;
  }
  return false;
}

/// One block per crystal, one thread per atom; every thread goes through all atoms of the crystal.
template <class Real>
__global__ void __launch_bounds__(kBlockSize)
    clash_kernel(CrystalView<Real> crystals, const Real* radii, double scale, uint8_t* in_clash) {
  __shared__ Tile tile;
  const int64_t first = crystals.atom_ptr[blockIdx.x];
  const int n_atoms = crystals.atom_ptr[blockIdx.x + 1] - crystals.atom_ptr[blockIdx.x];
  const Real* positions = crystals.positions + 3 * first;
  radii += first;
  in_clash += first;
  const Lattice lattice = make_lattice(crystals.cell + 9 * int64_t(blockIdx.x));
  const NearFilter filter = make_near_filter(lattice);
  const int thread = threadIdx.x;

  for (int row = 0; row < n_atoms; row += kBlockSize) {
    const int i = row + thread;
    const bool active = i < n_atoms;
    const WrappedAtom atom = wrap(lattice, positions + 3 * (active ? i : 0));
    bool found = false;
    for (int start = 0; start < n_atoms; start += kBlockSize) {
      const int n = n_atoms - start < kBlockSize ? n_atoms - start : kBlockSize;
      if (thread < n) {
        const Vec3 f = wrap(lattice, positions + 3 * (start + thread)).fractional;
        tile.x[thread] = float(f.x);
        tile.y[thread] = float(f.y);
        tile.z[thread] = float(f.z);
        tile.share[thread] = near_share(filter, scale * double(radii[start + thread]));
      }
      __syncthreads();
      if (active && !found) {
        found = clash_in_tile(tile, start, n, lattice, filter, positions, radii, scale, i, atom);
      }
      __syncthreads();
    }
    if (active) in_clash[i] = found;
  }
}

}  // namespace

template <class Real>
void clash(const CrystalView<Real>& crystals, const Real* radii, double scale, uint8_t* in_clash, void* stream) {
  launch("clash", clash_kernel<Real>, crystals.n_crystals, kBlockSize, stream, crystals, radii, scale, in_clash);
}

template void clash(const CrystalView<float>&, const float*, double, uint8_t*, void*);
template void clash(const CrystalView<double>&, const double*, double, uint8_t*, void*);

}  // namespace packflow::cuda
