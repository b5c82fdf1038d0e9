// The CUDA kernels of clash behind C names, for ctypes.
#include "cuda/clash.cu"

template <class Real>
static void run(const Real* positions, const Real* cell, const int32_t* atom_ptr, int64_t n_crystals, const Real* radii,
                double scale, uint8_t* in_clash, int order) {
  emulation::order = static_cast<emulation::Order>(order);
  packflow::cuda::clash<Real>({positions, cell, atom_ptr, n_crystals, atom_ptr[n_crystals]}, radii, scale, in_clash,
                              nullptr);
}

extern "C" void clash_float32(const float* positions, const float* cell, const int32_t* atom_ptr, int64_t n_crystals,
                              const float* radii, double scale, uint8_t* in_clash, int order) {
  run(positions, cell, atom_ptr, n_crystals, radii, scale, in_clash, order);
}

extern "C" void clash_float64(const double* positions, const double* cell, const int32_t* atom_ptr, int64_t n_crystals,
                              const double* radii, double scale, uint8_t* in_clash, int order) {
  run(positions, cell, atom_ptr, n_crystals, radii, scale, in_clash, order);
}
