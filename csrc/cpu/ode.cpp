#include "packflow/ode.h"

#include <algorithm>

namespace packflow::cpu {
namespace {

/// Numbers first ... last - 1 of a channel. Copies of what does not change can stay in registers.
template <class Real>
void update(const OdeChannel<Real> channel, const OdeCoefficients<Real> coefficients, int64_t first, int64_t last) {
#pragma omp simd
  for (int64_t k = first; k < last; ++k) ode_update(channel, coefficients, k);
}

/// Subtracts the mean of n numbers that are coordinates of n / 3 atoms.
template <class Real>
void subtract_mean(Real* x, int64_t n) {
  double sums[kOdeSums] = {};
  for (int64_t first = 0; first < n; first += kOdeSums) {
    const int64_t count = std::min<int64_t>(kOdeSums, n - first);
#pragma omp simd
    for (int64_t k = 0; k < count; ++k) sums[k] += double(x[first + k]);
  }
  for (int half = kOdeSums / 2; half >= 3; half /= 2) {
#pragma omp simd
    for (int k = 0; k < half; ++k) sums[k] += sums[k + half];
  }
  const double n_atoms = double(n / 3);
  const double mean[3] = {sums[0] / n_atoms, sums[1] / n_atoms, sums[2] / n_atoms};
  for (int64_t k = 0; k < n; k += 3) {
    for (int axis = 0; axis < 3; ++axis) x[k + axis] = Real(double(x[k + axis]) - mean[axis]);
  }
}

template <class Real>
bool all_finite(const Real* x, int64_t n) {
  int finite = 1;
#pragma omp simd reduction(& : finite)
  for (int64_t k = 0; k < n; ++k) finite &= ode_finite(x[k]);
  return finite;
}

template <class Real>
void update_crystal(const OdeBatch<Real>& batch, bool center, int64_t crystal) {
  const int64_t first = 3 * int64_t(batch.atom_ptr[crystal]), last = 3 * int64_t(batch.atom_ptr[crystal + 1]);
  update(batch.positions, ode_coefficients(batch, crystal, 0), first, last);
  update(batch.lattice, ode_coefficients(batch, crystal, 1), kOdeWidth * crystal, kOdeWidth * (crystal + 1));
  Real* const positions = batch.positions.state + first;
  if (center && last > first) subtract_mean(positions, last - first);
  if (!all_finite(positions, last - first) || !all_finite(batch.lattice.state + kOdeWidth * crystal, kOdeWidth)) {
    batch.finite[crystal] = 0;
  }
}

}  // namespace

template <class Real>
void ode(const OdeBatch<Real>& batch, bool center, int n_threads) {
  n_threads = int(std::clamp<int64_t>(batch.n_crystals, 1, n_threads));
#pragma omp parallel for schedule(dynamic, 4) num_threads(n_threads)
  for (int64_t crystal = 0; crystal < batch.n_crystals; ++crystal) update_crystal(batch, center, crystal);
}

template void ode(const OdeBatch<float>&, bool, int);
template void ode(const OdeBatch<double>&, bool, int);

}  // namespace packflow::cpu
