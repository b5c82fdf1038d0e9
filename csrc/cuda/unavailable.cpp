// Stands in for the .cu files where PackFlow is built without CUDA.
#include <stdexcept>

#include "packflow/clash.h"
#include "packflow/cuda_built.h"

namespace packflow::cuda {
namespace {

[[noreturn]] void unavailable() {
  throw std::runtime_error(
      "packflow was built without CUDA: no nvcc was found, or PACKFLOW_CUDA was OFF. Move the tensors to the CPU, or "
      "put nvcc on PATH and reinstall with pip install -C cmake.define.PACKFLOW_CUDA=ON .");
}

}  // namespace

bool built() { return false; }

template <class Real>
void clash(const CrystalView<Real>&, const Real*, double, uint8_t*, void*) {
  unavailable();
}

template void clash(const CrystalView<float>&, const float*, double, uint8_t*, void*);
template void clash(const CrystalView<double>&, const double*, double, uint8_t*, void*);

}  // namespace packflow::cuda
