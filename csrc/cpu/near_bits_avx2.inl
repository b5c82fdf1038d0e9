// Comparing points for AVX2. Included before search.inl; see near_bits.h.

#include <immintrin.h>

#include "near_bits.h"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

inline NearBits near_bits(const float* x, const float* y, const float* z, float x0, float y0, float z0, float surely2,
                          float maybe2) {
  const __m256 px = _mm256_set1_ps(x0), py = _mm256_set1_ps(y0), pz = _mm256_set1_ps(z0);
  const __m256 surely = _mm256_set1_ps(surely2), maybe = _mm256_set1_ps(maybe2);
  NearBits near = {0, 0};
  for (int k = 0; k < 16; k += 8) {
    const __m256 dx = _mm256_sub_ps(_mm256_loadu_ps(x + k), px), dy = _mm256_sub_ps(_mm256_loadu_ps(y + k), py),
                 dz = _mm256_sub_ps(_mm256_loadu_ps(z + k), pz);
    const __m256 distance2 = _mm256_fmadd_ps(dz, dz, _mm256_fmadd_ps(dy, dy, _mm256_mul_ps(dx, dx)));
    near.surely |= uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(distance2, surely, _CMP_LT_OQ))) << k;
    near.maybe |= uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(distance2, maybe, _CMP_LT_OQ))) << k;
  }
  return near;
}

inline uint32_t after_bits(const int32_t* x, int32_t y) {
  const __m256i limit = _mm256_set1_epi32(y);
  uint32_t bits = 0;
  for (int k = 0; k < 16; k += 8) {
    const __m256i values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + k));
    bits |= uint32_t(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(values, limit)))) << k;
  }
  return bits;
}

inline int append_places(int32_t* to, int place, uint32_t bits) {
  int n = 0;
  for (; bits; bits &= bits - 1) to[n++] = place + __builtin_ctz(bits);
  return n;
}

}  // namespace
}  // namespace packflow::cpu::PACKFLOW_ISA
