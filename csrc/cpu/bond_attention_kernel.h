#pragma once

#include <stdint.h>

#include "packflow/bond_attention.h"

namespace packflow::cpu {

// The work is cut into blocks of keys and panels of queries, so that what a thread needs does not grow with the
// crystal.

/// Most keys whose rows are held at once, and most queries whose sums over the keys are. A training crystal is one
/// block.
constexpr int kBlock = 256;
/// Queries that go through the keys together: logits lie as [key][query], and the softmax runs along vectors.
constexpr int kPanel = 64;
constexpr int kMostDims = 128;
/// From one atom's row to the next. Not a power of two: rows of many atoms would share few sets of the first-level
/// cache.
constexpr int kRowStride = kMostDims + 16;

/// Rows [atom][d_head] of one head, from the crystal's first atom on. No member functions: they would be inline
/// functions that the files of all instruction sets define.
template <class T>
struct Rows {
  T* data;
  int64_t stride;
  int64_t next;  // from these rows to as many that the next task will read; 0 for the last
};

/// Edges of one crystal and biases of one head.
struct HeadBonds {
  const int32_t* row_ptr;  // from the crystal's first atom on; counts edges of the batch
  const int32_t* column;   // [n_bonds of the batch]
  const float* bias;       // the head's of edge 0
  int64_t bias_stride;     // from one edge to the next
  int32_t first;           // the crystal's first atom
};

/// The outputs of queries first_query ... last_query - 1, at most kBlock, of one crystal and head.
template <class Storage>
struct ForwardTask {
  Rows<const Storage> q, k, v;
  HeadBonds bonds;
  Rows<Storage> out;
  float* lse;
  int n_atoms, d_head;
  int first_query, last_query;
};

/// Gradients of one crystal and head that come from the pairs of a range of queries and a range of keys. One of the
/// ranges is the whole crystal; the gradients belong to the other, at most kBlock atoms, or to both.
template <class Storage>
struct BackwardTask {
  Rows<const Storage> q, k, v, out, grad_out;
  HeadBonds bonds;
  const float* lse;
  Rows<Storage> grad_q, grad_k, grad_v;
  float* grad_bias;  // the head's of edge 0
  int d_head;
  int first_query, last_query, first_key, last_key;
  bool of_queries, of_keys;  // whether to write grad_q and grad_bias, grad_k and grad_v
};

/// Memory of one thread.
struct alignas(64) AttentionScratch {
  // rows of the block's keys
  float keys[kBlock * kRowStride];
  float values[kBlock * kRowStride];
  // sums over the keys or queries seen so far
  float query_sums[kBlock * kRowStride];
  float key_sums[kBlock * kRowStride];
  float value_sums[kBlock * kRowStride];
  float largest[kBlock];  // logit of each query
  float total[kBlock];    // of exp2(logit - largest)
  // one panel of queries; *_columns are [d_head][kPanel], *_rows [kPanel][kRowStride]
  float query_columns[kMostDims * kPanel];
  float query_rows[kPanel * kRowStride];
  float grad_columns[kMostDims * kPanel];
  float grad_rows[kPanel * kRowStride];
  float share[kPanel];  // 1 / total
  float lse[kPanel];
  float delta[kPanel];
  // [kBlock][kPanel]
  float logits[kBlock * kPanel];
  float grad_logits[kBlock * kPanel];
};

// The same source compiled for each instruction set; see bond_attention_kernel.inl.
#define PACKFLOW_DECLARE_BOND_ATTENTION(isa)                                         \
  namespace isa {                                                                    \
  void attend(const ForwardTask<float>& task, AttentionScratch& scratch);            \
  void attend(const ForwardTask<BFloat16>& task, AttentionScratch& scratch);         \
  void differentiate(const BackwardTask<float>& task, AttentionScratch& scratch);    \
  void differentiate(const BackwardTask<BFloat16>& task, AttentionScratch& scratch); \
  }
PACKFLOW_DECLARE_BOND_ATTENTION(baseline)
PACKFLOW_DECLARE_BOND_ATTENTION(avx2)
PACKFLOW_DECLARE_BOND_ATTENTION(avx512)
#undef PACKFLOW_DECLARE_BOND_ATTENTION

}  // namespace packflow::cpu
