#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

namespace packflow::cuda {

constexpr int kLanes = 32;

/// Sum over the lanes of a warp, the same in every lane and on every run.
__device__ __forceinline__ double sum_of_lanes(double x) {
  for (int distance = kLanes / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffffu, x, distance);
  return x;
}

/// Least value of the lanes of a warp.
__device__ __forceinline__ double least_of_lanes(double x) {
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    const double other = __shfl_xor_sync(0xffffffffu, x, distance);
    x = other < x ? other : x;
  }
  return x;
}

}  // namespace packflow::cuda
