// Attention of one crystal and head, and its gradients. Included by one file per instruction set, which names it in
// PACKFLOW_ISA and gives PACKFLOW_LANES, the floats of a vector, and PACKFLOW_TILE_ROWS, which depends on the number of
// registers. No templates or inline functions of the standard library here: the linker could pick this file's copy for
// all. Logits are kept in base 2, that is times log2(e), to use exp2.

#include <math.h>

#include "bond_attention_kernel.h"
#include "bond_attention_vector.inl"

#include "bond_attention_multiply.inl"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

constexpr float kLog2E = 1.44269504088896341f;
constexpr float kLn2 = 0.693147180559945309f;

int min(int a, int b) { return a < b ? a : b; }
int vectors_of(int n) { return (n + kLanes - 1) / kLanes; }

/// Copies rows, and a row of zeros behind an odd number of them, for the tiles of `multiply`.
template <class Storage>
void copy_rows(Rows<const Storage> from, int first, int n, int d_head, float* to) {
  for (int i = 0; i < n; ++i, to += kRowStride) {
    const Storage* x = row(from, first + i);
    for_each_vector(d_head, [&](int d, auto part) { store(to + d, load_row(x + d, part)); });
  }
  if (n % 2) {
    for (int d = 0; d < d_head; ++d) to[d] = 0.0f;
  }
}

/// kLanes rows; behind the last row of a panel, that row again.
template <class Storage>
struct RowGroup {
  RowGroup(Rows<const Storage> rows, int first, int n) {
    for (int i = 0; i < kLanes; ++i) at[i] = row(rows, first + min(i, n - 1));
  }
  const Storage* at[kLanes];
};

/// Copies the rows of a panel times `scale` as columns, and also as rows if `rows` is not null. Both are filled up to a
/// whole vector of rows with copies of the last, of which nobody reads the result.
template <class Storage>
void copy_panel(Rows<const Storage> from, int first, int n, int d_head, float scale, float* columns, float* rows) {
  for (int lane = 0; lane < n; lane += kLanes) {
    const RowGroup<Storage> group(from, first + lane, n - lane);
    for_each_vector(d_head, [&](int d, auto part) {
      Vec block[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) block[i] = load_row(group.at[i] + d, part) * scale;
      if (rows) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) store(rows + (lane + i) * kRowStride + d, block[i]);
      }
      transpose(block);
      // The columns behind d_head of a half vector are never read.
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) store(columns + (d + i) * kPanel + lane, block[i]);
    });
  }
}

/// to[i] = x_i . y_i for the rows of a panel, filled up as those are.
template <class Storage>
void row_products(Rows<const Storage> x, Rows<const Storage> y, int first, int n, int d_head, float* to) {
  for (int lane = 0; lane < n; lane += kLanes) {
    const RowGroup<Storage> xs(x, first + lane, n - lane), ys(y, first + lane, n - lane);
    Vec sums[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      Vec sum{};
      for_each_vector(d_head,
                      [&](int d, auto part) { sum += load_row(xs.at[i] + d, part) * load_row(ys.at[i] + d, part); });
      sums[i] = sum;
    }
    transpose(sums);
    for (int i = 1; i < kLanes; ++i) sums[0] += sums[i];
    store(to + lane, sums[0]);
  }
}

/// For the last terms of the sums that make these rows; before, nothing is written.
template <class Storage>
Output<Storage> output(bool last, Rows<Storage> to, int first, int n, int d_head, const float* factors,
                       int factor_step) {
  return {last ? row(to, first) : nullptr, to.stride, factors, factor_step, n, d_head};
}

/// Logits stay in scratch memory.
void multiply_logits(const float* rows, const float* columns, float* logits, int n_rows, int n_columns, int d_head,
                     Prefetch& ahead) {
  multiply<Product::kLogits>(rows, columns, logits, n_rows, vectors_of(n_columns), d_head, false, ahead,
                             Output<float>{});
}

/// Calls f(edge, index in a [key][query] panel) for the edges from the panel's queries to the block's keys.
template <class Function>
void for_each_edge(const HeadBonds& bonds, int first_query, int n_queries, int first_key, int n_keys, Function f) {
  for (int i = 0; i < n_queries; ++i) {
    for (int edge = bonds.row_ptr[first_query + i]; edge < bonds.row_ptr[first_query + i + 1]; ++edge) {
      const int key = bonds.column[edge] - bonds.first - first_key;
      if (key >= 0 && key < n_keys) f(edge, key * kPanel + i);
    }
  }
}

void add_bias(const HeadBonds& bonds, int first_query, int n_queries, int first_key, int n_keys, float* logits) {
  for_each_edge(bonds, first_query, n_queries, first_key, n_keys,
                [&](int edge, int index) { logits[index] += kLog2E * bonds.bias[edge * bonds.bias_stride]; });
}

/// Replaces logits by exp2(logit - largest so far). Updates `largest` and `total`, and rescales the panel's sums.
void softmax(float* logits, int n_keys, int n_queries, int d_head, bool first_block, float* largest, float* total,
             float* sums) {
  for (int lane = 0; lane < n_queries; lane += kLanes) {
    // Finite, so that a row of -inf gives no difference of infinities.
    Vec top[4] = {broadcast(-3e38f), broadcast(-3e38f), broadcast(-3e38f), broadcast(-3e38f)};
    int key = 0;
    for (; key + 4 <= n_keys; key += 4) {
      for (int k = 0; k < 4; ++k) top[k] = larger(top[k], load(logits + (key + k) * kPanel + lane));
    }
    for (; key < n_keys; ++key) top[0] = larger(top[0], load(logits + key * kPanel + lane));
    Vec new_largest = larger(larger(top[0], top[1]), larger(top[2], top[3]));
    Vec sum{};
    if (!first_block) {
      const Vec old = load(largest + lane);
      new_largest = larger(new_largest, old);
      const Vec shrink = exp2(old - new_largest);
      sum = load(total + lane) * shrink;
      for (int i = 0; i < min(kLanes, n_queries - lane); ++i) {
        float* sum_row = sums + (lane + i) * kRowStride;
        for (int d = 0; d < d_head; d += kLanes) store(sum_row + d, load(sum_row + d) * shrink[i]);
      }
    }
    for (key = 0; key < n_keys; ++key) {
      float* x = logits + key * kPanel + lane;
      const Vec p = exp2(load(x) - new_largest);
      store(x, p);
      sum += p;
    }
    store(largest + lane, new_largest);
    store(total + lane, sum);
  }
}

/// Makes 1 / total and the logarithm of the sum of exp(logit) of a panel's queries.
void finish_softmax(int n, const float* largest, const float* total, float* share, float* lse) {
  for (int lane = 0; lane < n; lane += kLanes) {
    const Vec x = load(total + lane), log_sum = (load(largest + lane) + log2(x)) * kLn2;
    store(share + lane, 1.0f / x);
    for (int i = 0; i < min(kLanes, n - lane); ++i) lse[lane + i] = log_sum[i];
  }
}

template <class Storage>
void attend_to_all(const ForwardTask<Storage>& task, AttentionScratch& s) {
  const int d_head = task.d_head, d_vectors = vectors_of(d_head);
  const float scale = kLog2E / sqrtf(float(d_head));
  for (int key = 0; key < task.n_atoms; key += kBlock) {
    const int n_keys = min(kBlock, task.n_atoms - key);
    copy_rows(task.k, key, n_keys, d_head, s.keys);
    copy_rows(task.v, key, n_keys, d_head, s.values);
    for (int query = task.first_query; query < task.last_query; query += kPanel) {
      const int local = query - task.first_query, n = min(kPanel, task.last_query - query);
      float *sums = s.query_sums + local * kRowStride, *largest = s.largest + local, *total = s.total + local;
      copy_panel(task.q, query, n, d_head, scale, s.query_columns, nullptr);
      Prefetch ahead(query, n, d_head * int(sizeof(Storage)));
      ahead.add(task.out, 0);
      ahead.add(task.q, task.q.next);
      ahead.add(task.k, task.k.next);
      ahead.add(task.v, task.v.next);
      multiply_logits(s.keys, s.query_columns, s.logits, n_keys, n, d_head, ahead);
      add_bias(task.bonds, query, n, key, n_keys, s.logits);
      softmax(s.logits, n_keys, n, d_head, key == 0, largest, total, sums);
      const bool last = key + n_keys == task.n_atoms;
      if (last) finish_softmax(n, largest, total, s.share, task.lse + query);
      multiply<Product::kQuerySums>(s.logits, s.values, sums, n, d_vectors, n_keys, key > 0, ahead,
                                    output(last, task.out, query, n, d_head, s.share, 1));
    }
  }
}

/// Replaces logits by weights, exp2(logit - lse), and gradients of weights by those of logits.
void differentiate_softmax(float* logits, float* grads, int n_keys, int n_queries, const float* lse,
                           const float* delta) {
  for (int lane = 0; lane < n_queries; lane += kLanes) {
    const Vec row_lse = load(lse + lane), row_delta = load(delta + lane);
    for (int key = 0; key < n_keys; ++key) {
      float *x = logits + key * kPanel + lane, *g = grads + key * kPanel + lane;
      const Vec weight = exp2(load(x) - row_lse);
      store(x, weight);
      store(g, weight * (load(g) - row_delta));
    }
  }
}

/// What will be written of these atoms, and read for the next task.
template <class Storage>
Prefetch ahead_of(const BackwardTask<Storage>& task, int first, int n) {
  Prefetch ahead(first, n, task.d_head * int(sizeof(Storage)));
  ahead.add(task.grad_q, 0);
  ahead.add(task.grad_k, 0);
  ahead.add(task.grad_v, 0);
  ahead.add(task.q, task.q.next);
  ahead.add(task.k, task.k.next);
  ahead.add(task.v, task.v.next);
  ahead.add(task.out, task.out.next);
  ahead.add(task.grad_out, task.grad_out.next);
  return ahead;
}

/// The pairs of one panel of queries with one block of keys, whose rows are in scratch.
template <class Storage>
void differentiate_panel(const BackwardTask<Storage>& task, int query, int n, int key, int n_keys,
                         AttentionScratch& s) {
  const int d_head = task.d_head, d_vectors = vectors_of(d_head);
  copy_panel(task.q, query, n, d_head, kLog2E / sqrtf(float(d_head)), s.query_columns,
             task.of_keys ? s.query_rows : nullptr);
  copy_panel(task.grad_out, query, n, d_head, 1.0f, s.grad_columns, task.of_keys ? s.grad_rows : nullptr);
  row_products(task.grad_out, task.out, query, n, d_head, s.delta);
  for (int i = 0; i < vectors_of(n) * kLanes; ++i) s.lse[i] = i < n ? kLog2E * task.lse[query + i] : 0.0f;

  Prefetch ahead = ahead_of(task, query, n);
  multiply_logits(s.keys, s.query_columns, s.logits, n_keys, n, d_head, ahead);
  add_bias(task.bonds, query, n, key, n_keys, s.logits);
  multiply_logits(s.values, s.grad_columns, s.grad_logits, n_keys, n, d_head, ahead);
  differentiate_softmax(s.logits, s.grad_logits, n_keys, n, s.lse, s.delta);

  if (task.of_queries) {
    for_each_edge(task.bonds, query, n, key, n_keys,
                  [&](int edge, int index) { task.grad_bias[edge * task.bonds.bias_stride] = s.grad_logits[index]; });
    float* sums = s.query_sums + (query - task.first_query) * kRowStride;
    const bool last = key + n_keys == task.last_key;
    const float scale = 1.0f / sqrtf(float(d_head));
    multiply<Product::kQuerySums>(s.grad_logits, s.keys, sums, n, d_vectors, n_keys, key > task.first_key, ahead,
                                  output(last, task.grad_q, query, n, d_head, &scale, 0));
  }
  if (task.of_keys) {
    const bool add = query > task.first_query, last = query + n == task.last_query;
    const float one = 1.0f, ln2 = kLn2;  // the rows of queries have the scale of the logits and log2(e)
    multiply<Product::kKeySums>(s.logits, s.grad_rows, s.value_sums, n_keys, d_vectors, n, add, ahead,
                                output(last, task.grad_v, key, n_keys, d_head, &one, 0));
    multiply<Product::kKeySums>(s.grad_logits, s.query_rows, s.key_sums, n_keys, d_vectors, n, add, ahead,
                                output(last, task.grad_k, key, n_keys, d_head, &ln2, 0));
  }
}

template <class Storage>
void differentiate_all(const BackwardTask<Storage>& task, AttentionScratch& s) {
  for (int key = task.first_key; key < task.last_key; key += kBlock) {
    const int n_keys = min(kBlock, task.last_key - key);
    copy_rows(task.k, key, n_keys, task.d_head, s.keys);
    copy_rows(task.v, key, n_keys, task.d_head, s.values);
    for (int query = task.first_query; query < task.last_query; query += kPanel) {
      differentiate_panel(task, query, min(kPanel, task.last_query - query), key, n_keys, s);
    }
  }
}

}  // namespace

void attend(const ForwardTask<float>& task, AttentionScratch& scratch) { attend_to_all(task, scratch); }

void attend(const ForwardTask<BFloat16>& task, AttentionScratch& scratch) { attend_to_all(task, scratch); }

void differentiate(const BackwardTask<float>& task, AttentionScratch& scratch) { differentiate_all(task, scratch); }

void differentiate(const BackwardTask<BFloat16>& task, AttentionScratch& scratch) { differentiate_all(task, scratch); }

}  // namespace packflow::cpu::PACKFLOW_ISA
