// Vectors of PACKFLOW_LANES floats, by the vector extension of GCC and Clang, for kernels that are compiled once per
// instruction set.

#include <stdint.h>

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

constexpr int kLanes = PACKFLOW_LANES;
constexpr int kBytes = 4 * kLanes;

typedef float Vec __attribute__((vector_size(kBytes)));
typedef int32_t IntVec __attribute__((vector_size(kBytes)));
typedef uint32_t UintVec __attribute__((vector_size(kBytes)));
typedef float LooseVec __attribute__((vector_size(kBytes), aligned(4), may_alias));

inline Vec load(const float* x) { return *reinterpret_cast<const LooseVec*>(x); }
inline void store(float* x, Vec value) { *reinterpret_cast<LooseVec*>(x) = value; }
inline Vec broadcast(float x) { return x - Vec{}; }
inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }

/// 2^x for x < 128, relative error below 2e-7; exactly 0 below -100, so that no product of it is subnormal.
inline Vec exp2(Vec x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const Vec shifted = x + kRound;
  const Vec f = x - (shifted - kRound);
  // Minimax polynomial on [-0.5, 0.5] with 1 at 0.
  Vec p = broadcast(0.001326472731307149f);
  p = p * f + 0.009671512991189957f;
  p = p * f + 0.05550733581185341f;
  p = p * f + 0.24022242426872253f;
  p = p * f + 0.6931470036506653f;
  p = p * f + 1.0f;
  const Vec result = (Vec)((UintVec)p + ((UintVec)shifted << 23));
  return x < -100.0f ? Vec{} : result;
}

/// Base 2, for normal x > 0, by two steps of Newton's method on 2^y = x.
inline Vec log2(Vec x) {
  // The bits of a float are nearly its logarithm, within 0.05 after the shift.
  Vec y = __builtin_convertvector((IntVec)x, Vec) * (1.0f / (1 << 23)) - 126.957f;
  for (int step = 0; step < 2; ++step) {
    const Vec ratio = x * exp2(-y);
    // y += log2(ratio) with the series of the logarithm up to the second power
    const Vec error = ratio - 1.0f;
    y += error * (1.442695041f - 0.7213475204f * error);
  }
  return y;
}

template <int... kLane>
struct Lanes {};
template <int n, int... kLane>
struct FirstLanes : FirstLanes<n - 1, n - 1, kLane...> {};
template <int... kLane>
struct FirstLanes<0, kLane...> {
  using type = Lanes<kLane...>;
};
using AllLanes = FirstLanes<kLanes>::type;

/// Swaps, in all pairs of rows kStep apart, the lanes that a transposition has on the other side.
template <int kStep, int... kLane>
inline void transpose_step(Vec* rows, Lanes<kLane...>) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & kStep) continue;
    const Vec a = rows[i], b = rows[i + kStep];
    rows[i] = __builtin_shufflevector(a, b, (kLane & kStep ? kLanes + kLane - kStep : kLane)...);
    rows[i + kStep] = __builtin_shufflevector(a, b, (kLane & kStep ? kLanes + kLane : kLane + kStep)...);
  }
}

/// Transposes kLanes rows.
inline void transpose(Vec* rows) {
  transpose_step<1>(rows, AllLanes{});
  transpose_step<2>(rows, AllLanes{});
  if constexpr (kLanes >= 8) transpose_step<4>(rows, AllLanes{});
  if constexpr (kLanes >= 16) transpose_step<8>(rows, AllLanes{});
}

}  // namespace
}  // namespace packflow::cpu::PACKFLOW_ISA
