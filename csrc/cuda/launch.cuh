#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#include <stdexcept>
#include <string>

namespace packflow::cuda {

/// Enqueues a kernel with static shared memory only. Throws if the launch is refused; does not wait for the kernel.
template <class... Parameters, class... Arguments>
void launch(const char* op, void (*kernel)(Parameters...), int64_t n_blocks, int block_size, void* stream,
            Arguments... arguments) {
  if (n_blocks == 0) return;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(n_blocks));
  config.blockDim = dim3(block_size);
  config.stream = static_cast<cudaStream_t>(stream);
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, arguments...);
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(op) + " could not start on the GPU: " + cudaGetErrorString(error));
  }
}

}  // namespace packflow::cuda
