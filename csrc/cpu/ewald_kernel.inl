// The reciprocal sum of one crystal. Included by one file per instruction set, which names it in PACKFLOW_ISA.

#include "ewald_kernel.h"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

/// Fills cosines and sines of 0, 1, ... n times a phase: the first from `turns`, the others by multiplication.
void fill_powers(double* table, int n, const double* turns, int64_t stride) {
  for (int64_t i = 0; i < stride; ++i) {
    table[i] = 1.0;
    table[stride + i] = 0.0;
  }
  if (n == 0) return;
  double* const first = table + 2 * stride;
#pragma omp simd
  for (int64_t i = 0; i < stride; ++i) {
    const Phase phase = phase_of_turns(turns[i]);
    first[i] = phase.cosine;
    first[stride + i] = phase.sine;
  }
  for (int k = 2; k <= n; ++k) {
    const double* const before = table + 2 * (k - 1) * stride;
    double* const now = table + 2 * k * stride;
#pragma omp simd
    for (int64_t i = 0; i < stride; ++i) {
      now[i] = before[i] * first[i] - before[stride + i] * first[stride + i];
      now[stride + i] = before[i] * first[stride + i] + before[stride + i] * first[i];
    }
  }
}

/// out = one times other, the latter conjugated for sign = -1; [2][stride] each.
void multiply(const double* one, const double* other, double sign, int64_t stride, double* out) {
#pragma omp simd
  for (int64_t i = 0; i < stride; ++i) {
    const double re = other[i], im = sign * other[stride + i];
    out[i] = one[i] * re - one[stride + i] * im;
    out[stride + i] = one[i] * im + one[stride + i] * re;
  }
}

/// The same, added up: the structure factor.
Phase multiply_and_sum(const double* one, const double* other, double sign, int64_t stride, double* out) {
  double sum_re = 0, sum_im = 0;
#pragma omp simd reduction(+ : sum_re, sum_im)
  for (int64_t i = 0; i < stride; ++i) {
    const double re = other[i], im = sign * other[stride + i];
    const double x = one[i] * re - one[stride + i] * im, y = one[i] * im + one[stride + i] * re;
    out[i] = x;
    out[stride + i] = y;
    sum_re += x;
    sum_im += y;
  }
  return {sum_re, sum_im};
}

/// row += f, along += n f for f = re im(wave) - im re(wave), which is the force along k over |k|.
void add_forces(const double* wave, double re, double im, double n, int64_t stride, double* row, double* along) {
#pragma omp simd
  for (int64_t i = 0; i < stride; ++i) {
    const double f = re * wave[stride + i] - im * wave[i];
    row[i] += f;
    along[i] += n * f;
  }
}

void add_multiple(double n, const double* x, int64_t stride, double* sum) {
#pragma omp simd
  for (int64_t i = 0; i < stride; ++i) sum[i] += n * x[i];
}

void clear(double* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = 0.0;
}

struct Sums {
  double energy = 0, xx = 0, xy = 0, xz = 0, yy = 0, yz = 0, zz = 0;
};

/// One crystal while its sum is taken.
struct Crystal {
  const EwaldInput& input;
  const EwaldWork& w;
  Lattice lattice;
  double scale;  // 4 pi coulomb / volume
  Sums sums;
};

/// Adds the waves u, v, first_w ... to energy, strain and forces.
void add_row(Crystal& x, int u, int v, int first_w) {
  const EwaldWork& w = x.w;
  const double k_cutoff2 = x.input.k_cutoff * x.input.k_cutoff, alpha = x.input.alpha;
  for (int n = first_w; n <= w.box.c; ++n) {
    const Vec3 k = wave_vector(x.lattice, u, v, n);
    const double k2 = dot(k, k);
    if (!(k2 < k_cutoff2)) continue;
    const double* const phase = w.c + 2 * (n < 0 ? -n : n) * w.stride;
    const Phase structure = multiply_and_sum(w.row, phase, n < 0 ? -1.0 : 1.0, w.stride, w.wave);
    const WaveWeight weight = wave_weight(x.scale, k2, alpha, x.input.buffer);
    const double structure2 = structure.cosine * structure.cosine + structure.sine * structure.sine;
    const double energy = weight.value * structure2, stretch = weight.stretch * structure2;
    x.sums.energy += energy;
    x.sums.xx += stretch * k.x * k.x - energy;
    x.sums.xy += stretch * k.x * k.y;
    x.sums.xz += stretch * k.x * k.z;
    x.sums.yy += stretch * k.y * k.y - energy;
    x.sums.yz += stretch * k.y * k.z;
    x.sums.zz += stretch * k.z * k.z - energy;
    add_forces(w.wave, 2.0 * weight.value * structure.cosine, 2.0 * weight.value * structure.sine, n, w.stride, w.sums,
               w.sums + 3 * w.stride);
  }
}

/// All waves that are counted, row by row along c.
void add_waves(Crystal& x, const double* charges) {
  const EwaldWork& w = x.w;
  for (int u = 0; u <= w.box.a; ++u) {
    for (int v = u == 0 ? 0 : -w.box.b; v <= w.box.b; ++v) {
      multiply(w.a + 2 * u * w.stride, w.b + 2 * (v < 0 ? -v : v) * w.stride, v < 0 ? -1.0 : 1.0, w.stride, w.row);
      for (int64_t i = 0; i < w.stride; ++i) {
        w.row[i] *= charges[i];
        w.row[w.stride + i] *= charges[i];
      }
      clear(w.sums, w.stride);
      add_row(x, u, v, u == 0 && v == 0 ? 1 : -w.box.c);
      add_multiple(u, w.sums, w.stride, w.sums + w.stride);
      add_multiple(v, w.sums, w.stride, w.sums + 2 * w.stride);
    }
  }
}

}  // namespace

void ewald_crystal(const EwaldInput& input, const EwaldOutput& output, int64_t crystal, const EwaldWork& w) {
  const int64_t first = input.atom_ptr[crystal], n_atoms = input.atom_ptr[crystal + 1] - first, stride = w.stride;
  Crystal x = {input, w, make_lattice(input.cell + 9 * crystal), 0.0, {}};
  x.scale = wave_scale(x.lattice, input.coulomb);
  // The arrays for the forces are still free: turns along a, b, c, then the charges.
  clear(w.sums, 4 * stride);
  double self = 0;
  for (int64_t i = 0; i < n_atoms; ++i) {
    const double* const r = input.positions + 3 * (first + i);
    const Vec3 f = to_fractional(x.lattice, {r[0], r[1], r[2]});
    w.sums[i] = f.x;
    w.sums[stride + i] = f.y;
    w.sums[2 * stride + i] = f.z;
    self += input.charges[first + i] * input.charges[first + i];
  }
  fill_powers(w.a, w.box.a, w.sums, stride);
  fill_powers(w.b, w.box.b, w.sums + stride, stride);
  fill_powers(w.c, w.box.c, w.sums + 2 * stride, stride);
  clear(w.sums, 4 * stride);
  double* const charges = w.sums + 4 * stride;
  for (int64_t i = 0; i < stride; ++i) charges[i] = i < n_atoms ? input.charges[first + i] : 0.0;
  add_waves(x, charges);

  const Sums& s = x.sums;
  output.energy[crystal] = s.energy - input.coulomb * self_energy(input.alpha, input.buffer) * self;
  const double strain[9] = {s.xx, s.xy, s.xz, s.xy, s.yy, s.yz, s.xz, s.yz, s.zz};
  for (int k = 0; k < 9; ++k) output.strain[9 * crystal + k] = strain[k];
  for (int64_t i = 0; i < n_atoms; ++i) {
    const Vec3 f = add(
        add(scaled(x.lattice.reciprocal_a, w.sums[stride + i]), scaled(x.lattice.reciprocal_b, w.sums[2 * stride + i])),
        scaled(x.lattice.reciprocal_c, w.sums[3 * stride + i]));
    double* const force = output.forces + 3 * (first + i);
    force[0] = kTwoPi * f.x;
    force[1] = kTwoPi * f.y;
    force[2] = kTwoPi * f.z;
  }
}

}  // namespace packflow::cpu::PACKFLOW_ISA
