// Compiled beside the .cu files; unavailable.cpp takes the place of all of them where there is no nvcc.
#include "packflow/cuda_built.h"

namespace packflow::cuda {

bool built() { return true; }

}  // namespace packflow::cuda
