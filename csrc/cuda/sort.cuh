#pragma once

#include <stdint.h>

namespace packflow::cuda {

/// Sorts x[0] ... x[n - 1] in shared or global memory; every thread of the block calls it. A bitonic network all of
/// whose comparisons put the smaller number first: numbers that are missing to a power of two would stay at its end,
/// so any n works. Waits for what other threads wrote to x before, and ends with a barrier.
__device__ __forceinline__ void sort_ascending(double* x, int64_t n) {
  for (int64_t sorted = 1; sorted < n; sorted *= 2) {  // length of the runs that are sorted
    for (int64_t step = sorted; step > 0; step /= 2) {
      // The first step compares a run with the next one reversed.
      const int64_t partner = step == sorted ? 2 * sorted - 1 : step;
      __syncthreads();
      for (int64_t pair = threadIdx.x;; pair += blockDim.x) {
        const int64_t lower = 2 * pair - (pair & (step - 1)), upper = lower ^ partner;
        if (lower >= n) break;
        if (upper >= n || !(x[upper] < x[lower])) continue;
        const double smaller = x[upper];
        x[upper] = x[lower];
        x[lower] = smaller;
      }
    }
  }
  __syncthreads();
}

}  // namespace packflow::cuda
