// Rows of float or BFloat16 as vectors of floats. Included by bond_attention_kernel.inl.

#include "vector.inl"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

typedef uint16_t ShortVec __attribute__((vector_size(kBytes / 2)));
typedef uint16_t LooseShortVec __attribute__((vector_size(kBytes / 2), aligned(2), may_alias));

inline Vec widen(ShortVec bits) { return (Vec)(__builtin_convertvector(bits, UintVec) << 16); }

/// Round to nearest even; NaN stays NaN.
inline ShortVec narrow(Vec x) {
  const UintVec bits = (UintVec)x;
  const UintVec rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return __builtin_convertvector(x == x ? rounded : (bits >> 16) | 0x40u, ShortVec);
}

template <class T>
inline T* row(const Rows<T>& rows, int64_t atom) {
  return rows.data + atom * rows.stride;
}

// Rows of d_head elements, a multiple of 8, in vectors. The last may be half a vector of 16, the rest of it is then
// zero.

struct Whole {};
struct Half {};

/// Calls f(index of the first element, Whole or Half) for the vectors of a row.
template <class Function>
inline void for_each_vector(int d_head, Function f) {
  int d = 0;
  for (; d + kLanes <= d_head; d += kLanes) f(d, Whole{});
  if constexpr (kLanes > 8) {
    if (d < d_head) f(d, Half{});
  }
}

inline Vec load_row(const float* x, Whole) { return load(x); }

inline Vec load_row(const BFloat16* x, Whole) { return widen(*reinterpret_cast<const LooseShortVec*>(x)); }

inline Vec load_row(const float* x, Half) {
  Vec part{};
  __builtin_memcpy(&part, x, kBytes / 2);
  return part;
}

inline Vec load_row(const BFloat16* x, Half) {
  ShortVec part{};
  __builtin_memcpy(&part, x, kBytes / 4);
  return widen(part);
}

inline void store_row(float* x, Vec value, Whole) { store(x, value); }

inline void store_row(BFloat16* x, Vec value, Whole) { *reinterpret_cast<LooseShortVec*>(x) = narrow(value); }

inline void store_row(float* x, Vec value, Half) { __builtin_memcpy(x, &value, kBytes / 2); }

inline void store_row(BFloat16* x, Vec value, Half) {
  const ShortVec bits = narrow(value);
  __builtin_memcpy(x, &bits, kBytes / 4);
}

}  // namespace
}  // namespace packflow::cpu::PACKFLOW_ISA
