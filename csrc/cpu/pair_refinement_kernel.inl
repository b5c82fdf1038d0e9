// Moves of one block of pairs. Included by one file per instruction set, which names it in PACKFLOW_ISA and gives
// PACKFLOW_LANES, the floats of a vector, and PACKFLOW_TILE_VECTORS, which depends on the number of registers. No
// templates or inline functions of the standard library here: the linker could pick this file's copy for all.

#include <math.h>

#include "pair_refinement_kernel.h"
#include "vector.inl"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

constexpr int kWidth = kRefinementWidth, kKnown = kRefinementKnown, kCenters = kRefinementCenters;
constexpr float kLog2E = 1.44269504088896341f;

/// Pairs and vectors of one tile of a product. Its sums, one row of weights and one number fill the registers.
constexpr int kTilePairs = 6;
constexpr int kTileVectors = PACKFLOW_TILE_VECTORS;
constexpr int kTileWidth = kTileVectors * kLanes;
static_assert(kBlockPairs % kTilePairs == 0 && kBlockPairs % kLanes == 0 && kWidth % kTileWidth == 0);

inline Vec silu(Vec x) {
  // exp(-x) up to 2^126, which a float holds: beyond, the result is as good as zero.
  const Vec power = x * -kLog2E;
  return x / (1.0f + exp2(power < 126.0f ? power : broadcast(126.0f)));
}

/// Collects the atoms of the pairs, what is known of them and the vectors between them.
void gather(const PairBatch& batch, int64_t first, int64_t last, RefinementScratch& s) {
  for (int i = 0; i < kBlockPairs; ++i) {
    const int64_t p = first + i < last ? first + i : last - 1;
    s.source[i] = batch.source[p];
    s.target[i] = batch.target[p];
    const float *from = batch.positions + 3 * s.target[i], *to = batch.positions + 3 * s.source[i];
    for (int d = 0; d < 3; ++d) s.direction[d][i] = to[d] - from[d];
    for (int k = 0; k < kKnown; ++k) s.features[k][i] = batch.known[kKnown * p + k];
  }
}

/// Makes features and directions of what `gather` left there.
void measure(const TransposedWeights& weights, RefinementScratch& s) {
  const float softening2 = weights.softening * weights.softening;
  for (int i = 0; i < kBlockPairs; ++i) {
    const float x = s.direction[0][i], y = s.direction[1][i], z = s.direction[2][i];
    s.distance[i] = sqrtf(x * x + y * y + z * z + softening2);
  }
  for (int i = 0; i < kBlockPairs; i += kLanes) {
    const Vec distance = load(s.distance + i);
    for (int d = 0; d < 3; ++d) store(s.direction[d] + i, load(s.direction[d] + i) / distance);
    float (*feature)[kBlockPairs] = s.features + kKnown;
    for (int c = 0; c < kCenters; ++c) {
      const Vec x = (distance - weights.centers[c]) / weights.width;
      store(*feature++ + i, exp2(x * x * -kLog2E));
    }
    store(*feature++ + i, distance - load(s.features[kKnown - 2] + i));
    store(*feature++ + i, distance - load(s.features[kKnown - 1] + i));
    store(*feature++ + i, distance / 3.0f);
  }
}

/// sums[pair][v] += the terms of `depth` inputs. Input k of pair r of the tile is a[k * a_depth + r * a_pair].
template <int depth, int a_depth, int a_pair>
inline void multiply_tile(const float* a, const float (*b)[kWidth], int column, Vec (*sums)[kTileVectors]) {
  for (int k = 0; k < depth; ++k) {
    Vec row[kTileVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) row[v] = load(b[k] + column + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kTilePairs; ++r) {
      const Vec x = broadcast(a[k * a_depth + r * a_pair]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) sums[r][v] += x * row[v];
    }
  }
}

/// hidden = silu(source_state + target_state + pair features)
void first_layer(const PairBatch& batch, const TransposedWeights& weights, int pair, RefinementScratch& s) {
  for (int column = 0; column < kWidth; column += kTileWidth) {
    Vec sums[kTilePairs][kTileVectors];
#pragma GCC unroll 6
    for (int r = 0; r < kTilePairs; ++r) {
      const float* source = batch.source_state + kWidth * s.source[pair + r] + column;
      const float* target = batch.target_state + kWidth * s.target[pair + r] + column;
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) sums[r][v] = load(source + v * kLanes) + load(target + v * kLanes);
    }
    multiply_tile<kRefinementFeatures, kBlockPairs, 1>(s.features[0] + pair, weights.pair, column, sums);
#pragma GCC unroll 6
    for (int r = 0; r < kTilePairs; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) store(s.hidden[pair + r] + column + v * kLanes, silu(sums[r][v]));
    }
  }
}

/// sums = the parts of step . silu(mix hidden + mix_bias)
void second_layer(const TransposedWeights& weights, int pair, RefinementScratch& s) {
  for (int column = 0; column < kWidth; column += kTileWidth) {
    Vec sums[kTilePairs][kTileVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) {
      const Vec bias = load(weights.mix_bias + column + v * kLanes);
#pragma GCC unroll 6
      for (int r = 0; r < kTilePairs; ++r) sums[r][v] = bias;
    }
    multiply_tile<kWidth, 1, kWidth>(s.hidden[pair], weights.mix, column, sums);
#pragma GCC unroll 6
    for (int r = 0; r < kTilePairs; ++r) {
      Vec sum = column ? load(s.sums[pair + r]) : Vec{};
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) sum += silu(sums[r][v]) * load(weights.step + column + v * kLanes);
      store(s.sums[pair + r], sum);
    }
  }
}

/// Writes the moves of n pairs.
void move(const RefinementScratch& s, float step_bias, int n, float* moves) {
  for (int pair = 0; pair < n; pair += kLanes) {
    Vec parts[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) parts[i] = load(s.sums[pair + i]);
    transpose(parts);
    for (int i = 1; i < kLanes; ++i) parts[0] += parts[i];
    const Vec step = parts[0] + step_bias;
    for (int i = 0; i < kLanes && pair + i < n; ++i) {
      for (int d = 0; d < 3; ++d) moves[3 * (pair + i) + d] = step[i] * s.direction[d][pair + i];
    }
  }
}

}  // namespace

void refine_block(const PairBatch& batch, const TransposedWeights& weights, int64_t first, int64_t last,
                  RefinementScratch& scratch, float* moves) {
  gather(batch, first, last, scratch);
  measure(weights, scratch);
  for (int pair = 0; pair < kBlockPairs; pair += kTilePairs) {
    first_layer(batch, weights, pair, scratch);
    second_layer(weights, pair, scratch);
  }
  move(scratch, weights.step_bias, int(last - first), moves + 3 * first);
}

}  // namespace packflow::cpu::PACKFLOW_ISA
