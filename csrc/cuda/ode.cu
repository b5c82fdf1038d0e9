#include "packflow/ode.h"

#include "launch.cuh"

namespace packflow::cuda {
namespace {

/// One block per crystal, one thread per partial sum of its coordinates.
template <class Real>
__global__ void __launch_bounds__(kOdeSums) ode_kernel(OdeBatch<Real> batch, bool center) {
  __shared__ double sums[kOdeSums];
  const int thread = threadIdx.x;
  const int64_t crystal = blockIdx.x;
  const int64_t first = 3 * int64_t(batch.atom_ptr[crystal]), last = 3 * int64_t(batch.atom_ptr[crystal + 1]);

  bool finite = true;
  if (thread < kOdeWidth) {
    const OdeCoefficients<Real> coefficients = ode_coefficients(batch, crystal, 1);
    finite = ode_finite(ode_update(batch.lattice, coefficients, kOdeWidth * crystal + thread));
  }
  const OdeCoefficients<Real> coefficients = ode_coefficients(batch, crystal, 0);
  double sum = 0;
  for (int64_t k = first + thread; k < last; k += kOdeSums) {
    const Real x = ode_update(batch.positions, coefficients, k);
    sum += double(x);
    finite = finite && ode_finite(x);
  }

  if (center) {
    sums[thread] = sum;
    __syncthreads();
    for (int half = kOdeSums / 2; half >= 3; half /= 2) {
      if (thread < half) sums[thread] += sums[thread + half];
      __syncthreads();
    }
    const double mean = sums[thread % 3] / double((last - first) / 3);
    // Each thread reads what it has written itself.
    for (int64_t k = first + thread; k < last; k += kOdeSums) {
      const Real x = Real(double(batch.positions.state[k]) - mean);
      batch.positions.state[k] = x;
      finite = finite && ode_finite(x);
    }
  }
  // Whoever writes writes the same.
  if (!finite) batch.finite[crystal] = 0;
}

}  // namespace

template <class Real>
void ode(const OdeBatch<Real>& batch, bool center, void* stream) {
  launch("ode", ode_kernel<Real>, batch.n_crystals, kOdeSums, stream, batch, center);
}

template void ode(const OdeBatch<float>&, bool, void*);
template void ode(const OdeBatch<double>&, bool, void*);

}  // namespace packflow::cuda
