// near_bits for AVX-512. Included before search.inl; see near_bits.h.

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

}  // namespace
}  // namespace packflow::cpu::PACKFLOW_ISA
