#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#include <stdexcept>
#include <string>

namespace packflow::cuda {

/// Throws if the GPU refused what `op` asked of it.
inline void check(const char* op, cudaError_t error) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(op) + " could not start on the GPU: " + cudaGetErrorString(error));
  }
}

/// Enqueues a kernel with static shared memory only. Throws if the launch is refused; does not wait for the kernel.
template <class... Parameters, class... Arguments>
void launch(const char* op, void (*kernel)(Parameters...), int64_t n_blocks, int block_size, void* stream,
            Arguments... arguments) {
  if (n_blocks == 0) return;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(n_blocks));
  config.blockDim = dim3(block_size);
  config.stream = static_cast<cudaStream_t>(stream);
  check(op, cudaLaunchKernelEx(&config, kernel, arguments...));
}

/// Enqueues setting n numbers to zero.
template <class T>
void clear(const char* op, T* x, int64_t n, void* stream) {
  if (n == 0) return;
  check(op, cudaMemsetAsync(x, 0, size_t(n) * sizeof(T), static_cast<cudaStream_t>(stream)));
}

}  // namespace packflow::cuda
