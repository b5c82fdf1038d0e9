// Comparing points in plain C++. Included before search.inl; see near_bits.h.

#include "near_bits.h"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

inline NearBits near_bits(const float* x, const float* y, const float* z, float x0, float y0, float z0, float surely2,
                          float maybe2) {
  float distance2[16];
#pragma omp simd
  for (int k = 0; k < 16; ++k) {
    const float dx = x[k] - x0, dy = y[k] - y0, dz = z[k] - z0;
    distance2[k] = dx * dx + dy * dy + dz * dz;
  }
  NearBits near = {0, 0};
  for (int k = 0; k < 16; ++k) {
    near.surely |= uint32_t(distance2[k] < surely2) << k;
    near.maybe |= uint32_t(distance2[k] < maybe2) << k;
  }
  return near;
}

inline uint32_t after_bits(const int32_t* x, int32_t y) {
  uint32_t bits = 0;
  for (int k = 0; k < 16; ++k) bits |= uint32_t(x[k] > y) << k;
  return bits;
}

inline int append_places(int32_t* to, int place, uint32_t bits) {
  int n = 0;
  for (; bits; bits &= bits - 1) to[n++] = place + __builtin_ctz(bits);
  return n;
}

}  // namespace
}  // namespace packflow::cpu::PACKFLOW_ISA
