#pragma once

namespace packflow::cuda {

/// Whether the CUDA kernels were compiled into this library. Says nothing of the machine it runs on.
bool built();

}  // namespace packflow::cuda
