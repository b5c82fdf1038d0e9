#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "bond_attention_kernel.h"

namespace packflow::cpu {
namespace {

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

void check_pointers(const char* name, const char* of, const int32_t* pointers, int64_t n, int64_t total) {
  int64_t last = 0;
  for (int64_t i = 0; i <= n; ++i) {
    const int64_t pointer = pointers[i];
    if (pointer < last || (i == 0 && pointer != 0) || (i == n && pointer != total)) {
      fail(std::string(name) + " must rise from 0 to the number of " + of + ", " + std::to_string(total) +
           ", without a step down, got " + std::to_string(pointer) + " at index " + std::to_string(i) + " after " +
           std::to_string(last));
    }
    last = pointer;
  }
}

template <class Storage>
struct Kernels {
  void (*attend)(const ForwardTask<Storage>&, AttentionScratch&);
  void (*differentiate)(const BackwardTask<Storage>&, AttentionScratch&);
};

template <class Storage>
Kernels<Storage> kernels(InstructionSet set) {
#ifdef PACKFLOW_X86_LEVELS
  if (set == InstructionSet::kAvx512) return {avx512::attend, avx512::differentiate};
  if (set == InstructionSet::kAvx2) return {avx2::attend, avx2::differentiate};
#endif
  (void)set;
  return {baseline::attend, baseline::differentiate};
}

/// Up to kBlock atoms of a crystal.
struct Block {
  int32_t crystal_first, crystal_last;
  int32_t first, last;  // counted from the crystal's first atom
};

std::vector<Block> blocks_of(const BondedBatch& batch) {
  std::vector<Block> blocks;
  for (int64_t c = 0; c < batch.n_crystals; ++c) {
    const int32_t first = batch.cu_seqlens[c], last = batch.cu_seqlens[c + 1];
    for (int32_t atom = 0; atom < last - first; atom += kBlock) {
      blocks.push_back({first, last, atom, std::min(atom + kBlock, last - first)});
    }
  }
  return blocks;
}

/// Rows of one head of a crystal.
template <class T>
Rows<T> rows_of(const BondedBatch& batch, HeadsView<T> x, const Block& block, int head) {
  const int64_t first = block.crystal_first, last = block.crystal_last;
  int64_t next = 0;
  if (head + 1 < batch.n_heads) {
    next = x.head_stride;
  } else if (2 * last - first <= batch.n_atoms) {
    next = (last - first) * x.atom_stride - head * x.head_stride;  // the first head of the next crystal
  }
  return {x.data + first * x.atom_stride + head * x.head_stride, x.atom_stride, next};
}

HeadBonds bonds_of(const BondedBatch& batch, int32_t atom, int head) {
  return {batch.row_ptr + atom, batch.column, batch.edge_bias + head, batch.n_heads, atom};
}

/// One per thread, kept for its next call: a training step makes many calls.
AttentionScratch& scratch() {
  thread_local AttentionScratch memory;
  return memory;
}

}  // namespace

void check_bonds(const BondedBatch& batch) {
  check_pointers("cu_seqlens", "atoms", batch.cu_seqlens, batch.n_crystals, batch.n_atoms);
  check_pointers("row_ptr of bonds", "bonds", batch.row_ptr, batch.n_atoms, batch.n_bonds);
  for (int64_t c = 0; c < batch.n_crystals; ++c) {
    const int32_t first = batch.cu_seqlens[c], last = batch.cu_seqlens[c + 1];
    for (int32_t edge = batch.row_ptr[first]; edge < batch.row_ptr[last]; ++edge) {
      if (batch.column[edge] < first || batch.column[edge] >= last) {
        fail("column of bonds must be atoms of the edge's own crystal, " + std::to_string(first) + " to " +
             std::to_string(last - 1) + ", got " + std::to_string(batch.column[edge]) + " for edge " +
             std::to_string(edge));
      }
    }
  }
}

template <class Storage>
void bond_attention_forward(const BondedBatch& batch, HeadsView<const Storage> q, HeadsView<const Storage> k,
                            HeadsView<const Storage> v, HeadsView<Storage> out, float* lse, int n_threads,
                            InstructionSet set) {
  check_bonds(batch);
  const auto attend = kernels<Storage>(set).attend;
  const std::vector<Block> blocks = blocks_of(batch);
  const int64_t n_tasks = int64_t(blocks.size()) * batch.n_heads;
#pragma omp parallel for schedule(dynamic) num_threads(n_threads)
  for (int64_t t = 0; t < n_tasks; ++t) {
    const Block& block = blocks[t / batch.n_heads];
    const int head = int(t % batch.n_heads);
    const int32_t atom = block.crystal_first;
    const ForwardTask<Storage> task = {rows_of(batch, q, block, head),
                                       rows_of(batch, k, block, head),
                                       rows_of(batch, v, block, head),
                                       bonds_of(batch, atom, head),
                                       rows_of(batch, out, block, head),
                                       lse + head * batch.n_atoms + atom,
                                       block.crystal_last - atom,
                                       batch.d_head,
                                       block.first,
                                       block.last};
    attend(task, scratch());
  }
}

template <class Storage>
void bond_attention_backward(const BondedBatch& batch, HeadsView<const Storage> q, HeadsView<const Storage> k,
                             HeadsView<const Storage> v, HeadsView<const Storage> out, const float* lse,
                             const BondAttentionGradients<Storage>& gradients, int n_threads, InstructionSet set) {
  check_bonds(batch);
  const auto differentiate = kernels<Storage>(set).differentiate;
  const std::vector<Block> blocks = blocks_of(batch);
  // The gradients of a crystal's queries and keys come from the same pairs. A crystal of one block makes both at once;
  // in a larger one, each block makes those of its queries in one task and those of its keys in the next.
  const int64_t n_tasks = 2 * int64_t(blocks.size()) * batch.n_heads;
#pragma omp parallel for schedule(dynamic) num_threads(n_threads)
  for (int64_t t = 0; t < n_tasks; ++t) {
    const Block& block = blocks[t / (2 * batch.n_heads)];
    const int head = int(t / 2 % batch.n_heads);
    const int32_t atom = block.crystal_first, n_atoms = block.crystal_last - atom;
    const bool whole = block.last - block.first == n_atoms, second = t % 2;
    if (whole && second) continue;
    const bool of_queries = whole || !second, of_keys = whole || second;
    const BackwardTask<Storage> task = {rows_of(batch, q, block, head),
                                        rows_of(batch, k, block, head),
                                        rows_of(batch, v, block, head),
                                        rows_of(batch, out, block, head),
                                        rows_of(batch, gradients.out, block, head),
                                        bonds_of(batch, atom, head),
                                        lse + head * batch.n_atoms + atom,
                                        rows_of(batch, gradients.q, block, head),
                                        rows_of(batch, gradients.k, block, head),
                                        rows_of(batch, gradients.v, block, head),
                                        gradients.edge_bias + head,
                                        batch.d_head,
                                        of_queries ? block.first : 0,
                                        of_queries ? block.last : n_atoms,
                                        of_keys ? block.first : 0,
                                        of_keys ? block.last : n_atoms,
                                        of_queries,
                                        of_keys};
    differentiate(task, scratch());
  }
}

#define PACKFLOW_INSTANTIATE(Storage)                                                                              \
  template void bond_attention_forward(const BondedBatch&, HeadsView<const Storage>, HeadsView<const Storage>,     \
                                       HeadsView<const Storage>, HeadsView<Storage>, float*, int, InstructionSet); \
  template void bond_attention_backward(const BondedBatch&, HeadsView<const Storage>, HeadsView<const Storage>,    \
                                        HeadsView<const Storage>, HeadsView<const Storage>, const float*,          \
                                        const BondAttentionGradients<Storage>&, int, InstructionSet);
PACKFLOW_INSTANTIATE(float)
PACKFLOW_INSTANTIATE(BFloat16)
#undef PACKFLOW_INSTANTIATE

}  // namespace packflow::cpu
