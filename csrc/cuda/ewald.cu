#include "packflow/ewald.h"

#include "launch.cuh"
#include "nonbonded_warp.cuh"

namespace packflow::cuda {
namespace {

constexpr int kWarpsPerBlock = 4;
constexpr int kBlockSize = kLanes * kWarpsPerBlock;

/// A reciprocal vector as whole numbers, and as what it is in 1/Å.
struct Wave {
  int u, v, w;
  Vec3 k;
  double k2;
};

/// Number `n` of the box of a crystal.
__device__ __forceinline__ Wave wave_of(const Lattice& l, const int32_t* box, int64_t n) {
  const int64_t n_w = 2 * int64_t(box[2]) + 1, n_v = 2 * int64_t(box[1]) + 1;
  Wave wave;
  wave.w = int(n % n_w) - box[2];
  wave.v = int(n / n_w % n_v) - box[1];
  wave.u = int(n / n_w / n_v);
  wave.k = wave_vector(l, wave.u, wave.v, wave.w);
  wave.k2 = dot(wave.k, wave.k);
  return wave;
}

__device__ __forceinline__ bool is_counted(const EwaldInput& in, const Wave& wave) {
  return is_counted_wave(wave.u, wave.v, wave.w) && wave.k2 < in.k_cutoff * in.k_cutoff;
}

__device__ __forceinline__ Vec3 position(const EwaldInput& in, int64_t i) {
  return {in.positions[3 * i], in.positions[3 * i + 1], in.positions[3 * i + 2]};
}

__device__ __forceinline__ Phase phase_of(const Wave& wave, Vec3 fractional) {
  return phase_of_turns(wave.u * fractional.x + wave.v * fractional.y + wave.w * fractional.z);
}

/// The crystal that owns a wave.
__device__ __forceinline__ int64_t crystal_of_wave(const int64_t* wave_ptr, int64_t n_crystals, int64_t wave) {
  int64_t first = 0, last = n_crystals;  // first <= answer < last
  while (last - first > 1) {
    const int64_t middle = first + (last - first) / 2;
    if (wave_ptr[middle] <= wave) {
      first = middle;
    } else {
      last = middle;
    }
  }
  return first;
}

/// One thread per wave: the structure factor times twice its weight, and its square; zero if it is not counted.
__global__ void __launch_bounds__(kBlockSize) waves_kernel(EwaldInput in, EwaldWaves waves) {
  const int64_t n = int64_t(blockIdx.x) * kBlockSize + threadIdx.x;
  if (n >= waves.n_waves) return;
  const int64_t crystal = crystal_of_wave(waves.wave_ptr, in.n_crystals, n);
  const Lattice lattice = make_lattice(in.cell + 9 * crystal);
  const Wave wave = wave_of(lattice, waves.box + 3 * crystal, n - waves.wave_ptr[crystal]);
  double re = 0, im = 0, structure2 = 0;
  if (is_counted(in, wave)) {
    for (int64_t i = in.atom_ptr[crystal]; i < in.atom_ptr[crystal + 1]; ++i) {
      const Phase phase = phase_of(wave, to_fractional(lattice, position(in, i)));
      re += in.charges[i] * phase.cosine;
      im += in.charges[i] * phase.sine;
    }
    const double weight = wave_weight(wave_scale(lattice, in.coulomb), wave.k2, in.alpha, in.buffer).value;
    structure2 = re * re + im * im;
    re *= 2.0 * weight;
    im *= 2.0 * weight;
  }
  waves.structure[3 * n] = re;
  waves.structure[3 * n + 1] = im;
  waves.structure[3 * n + 2] = structure2;
}

/// One warp per atom; lanes take the waves in turn.
__global__ void __launch_bounds__(kBlockSize) forces_kernel(EwaldInput in, EwaldOutput out, EwaldWaves waves) {
  const int64_t i = int64_t(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kLanes;
  if (i >= in.n_atoms) return;
  const int lane = threadIdx.x % kLanes;
  const CrystalView<double> crystals = {in.positions, in.cell, in.atom_ptr, in.n_crystals, in.n_atoms};
  const int64_t crystal = crystal_of(crystals, i);
  Vec3 force = {0, 0, 0};
  if (in.periodic[crystal]) {
    const Lattice lattice = make_lattice(in.cell + 9 * crystal);
    const Vec3 fractional = to_fractional(lattice, position(in, i));
    const int64_t first = waves.wave_ptr[crystal];
    for (int64_t n = first + lane; n < waves.wave_ptr[crystal + 1]; n += kLanes) {
      const double re = waves.structure[3 * n], im = waves.structure[3 * n + 1];
      if (re == 0 && im == 0) continue;
      const Wave wave = wave_of(lattice, waves.box + 3 * crystal, n - first);
      const Phase phase = phase_of(wave, fractional);
      force = add(force, scaled(wave.k, in.charges[i] * (re * phase.sine - im * phase.cosine)));
    }
  }
  const double x = sum_of_lanes(force.x), y = sum_of_lanes(force.y), z = sum_of_lanes(force.z);
  if (lane != 0) return;
  out.forces[3 * i] = x;
  out.forces[3 * i + 1] = y;
  out.forces[3 * i + 2] = z;
}

/// One warp per crystal: energy and strain of its waves, and the energy of its charges with themselves.
__global__ void __launch_bounds__(kBlockSize) crystals_kernel(EwaldInput in, EwaldOutput out, EwaldWaves waves) {
  const int64_t crystal = int64_t(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kLanes;
  if (crystal >= in.n_crystals) return;
  const int lane = threadIdx.x % kLanes;
  double energy = 0, self = 0, xx = 0, xy = 0, xz = 0, yy = 0, yz = 0, zz = 0;
  if (in.periodic[crystal]) {
    const Lattice lattice = make_lattice(in.cell + 9 * crystal);
    const double scale = wave_scale(lattice, in.coulomb);
    const int64_t first = waves.wave_ptr[crystal];
    for (int64_t n = first + lane; n < waves.wave_ptr[crystal + 1]; n += kLanes) {
      const double structure2 = waves.structure[3 * n + 2];
      if (structure2 == 0) continue;
      const Wave wave = wave_of(lattice, waves.box + 3 * crystal, n - first);
      const WaveWeight weight = wave_weight(scale, wave.k2, in.alpha, in.buffer);
      const double of_wave = weight.value * structure2, stretch = weight.stretch * structure2;
      const Vec3 k = wave.k;
      energy += of_wave;
      xx += stretch * k.x * k.x - of_wave;
      xy += stretch * k.x * k.y;
      xz += stretch * k.x * k.z;
      yy += stretch * k.y * k.y - of_wave;
      yz += stretch * k.y * k.z;
      zz += stretch * k.z * k.z - of_wave;
    }
    for (int64_t i = int64_t(in.atom_ptr[crystal]) + lane; i < in.atom_ptr[crystal + 1]; i += kLanes) {
      self += in.charges[i] * in.charges[i];
    }
  }
  energy = sum_of_lanes(energy - in.coulomb * self_energy(in.alpha, in.buffer) * self);
  xx = sum_of_lanes(xx);
  xy = sum_of_lanes(xy);
  xz = sum_of_lanes(xz);
  yy = sum_of_lanes(yy);
  yz = sum_of_lanes(yz);
  zz = sum_of_lanes(zz);
  if (lane != 0) return;
  out.energy[crystal] = energy;
  double* const strain = out.strain + 9 * crystal;
  strain[0] = xx;
  strain[1] = strain[3] = xy;
  strain[2] = strain[6] = xz;
  strain[4] = yy;
  strain[5] = strain[7] = yz;
  strain[8] = zz;
}

int64_t n_blocks(int64_t n, int of_block) { return (n + of_block - 1) / of_block; }

}  // namespace

void ewald(const EwaldInput& input, const EwaldOutput& output, const EwaldWaves& waves, void* stream) {
  launch("ewald", waves_kernel, n_blocks(waves.n_waves, kBlockSize), kBlockSize, stream, input, waves);
  launch("ewald", forces_kernel, n_blocks(input.n_atoms, kWarpsPerBlock), kBlockSize, stream, input, output, waves);
  launch("ewald", crystals_kernel, n_blocks(input.n_crystals, kWarpsPerBlock), kBlockSize, stream, input, output,
         waves);
}

}  // namespace packflow::cuda
