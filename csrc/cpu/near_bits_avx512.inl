// Comparing points for AVX-512. Included before search.inl; see near_bits.h.

#include <immintrin.h>

#include "near_bits.h"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

inline NearBits near_bits(const float* x, const float* y, const float* z, float x0, float y0, float z0, float surely2,
                          float maybe2) {
  const __m512 dx = _mm512_sub_ps(_mm512_loadu_ps(x), _mm512_set1_ps(x0));
  const __m512 dy = _mm512_sub_ps(_mm512_loadu_ps(y), _mm512_set1_ps(y0));
  const __m512 dz = _mm512_sub_ps(_mm512_loadu_ps(z), _mm512_set1_ps(z0));
  const __m512 distance2 = _mm512_fmadd_ps(dz, dz, _mm512_fmadd_ps(dy, dy, _mm512_mul_ps(dx, dx)));
  return {_mm512_cmp_ps_mask(distance2, _mm512_set1_ps(surely2), _CMP_LT_OQ),
          _mm512_cmp_ps_mask(distance2, _mm512_set1_ps(maybe2), _CMP_LT_OQ)};
}

inline uint32_t after_bits(const int32_t* x, int32_t y) {
  return _mm512_cmpgt_epi32_mask(_mm512_loadu_si512(x), _mm512_set1_epi32(y));
}

inline int append_places(int32_t* to, int place, uint32_t bits) {
  const __m512i steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i places = _mm512_add_epi32(steps, _mm512_set1_epi32(place));
  // All lanes are stored: to memory, storing the selected ones only is far slower.
  _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(__mmask16(bits), places));
  return __builtin_popcount(bits);
}

}  // namespace
}  // namespace packflow::cpu::PACKFLOW_ISA
