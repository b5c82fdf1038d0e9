#pragma once

#include <stdint.h>

#include "packflow/instruction_set.h"

namespace packflow {

// Attention within each crystal of a packed batch, with a bias at the bonded pairs (paper, eq. 6):
//
//   logit(i, j) = q_i . k_j / sqrt(d_head) + sum of the biases of all edges from i to j
//   out_i       = sum over the atoms j of i's crystal of softmax_j(logit(i, j)) v_j
//
// Numbers are stored as float32 or bfloat16 and computed in float32. Only the CPU version is C++: that for CUDA is
// Triton, kernels/bond_attention.py. Every output is written by one thread in a fixed order of operations, so results
// do not depend on the number of threads.

/// The upper half of a float32.
struct BFloat16 {
  uint16_t bits;
};

/// A tensor [n_atoms][n_heads][d_head]; strides count elements, d_head is contiguous.
template <class T>
struct HeadsView {
  T* data;
  int64_t atom_stride;
  int64_t head_stride;
};

/// Crystals and the directed edges of each source atom.
struct BondedBatch {
  const int32_t* cu_seqlens;  // [n_crystals + 1], crystal c owns the atoms cu_seqlens[c] ... cu_seqlens[c + 1] - 1
  const int32_t* row_ptr;     // [n_atoms + 1], atom i is the source of the edges row_ptr[i] ... row_ptr[i + 1] - 1
  const int32_t* column;      // [n_bonds], target atom of each edge
  const float* edge_bias;     // [n_bonds][n_heads]
  int64_t n_crystals;
  int64_t n_atoms;
  int64_t n_bonds;
  int n_heads;
  int d_head;  // a multiple of 8, at most 128
};

namespace cpu {

/// Throws std::invalid_argument if the pointers do not rise to n_atoms and n_bonds or an edge leaves its crystal.
void check_bonds(const BondedBatch& batch);

/// `lse` [n_heads][n_atoms] becomes the natural logarithm of the sum of exp(logit) of each row.
template <class Storage>
void bond_attention_forward(const BondedBatch& batch, HeadsView<const Storage> q, HeadsView<const Storage> k,
                            HeadsView<const Storage> v, HeadsView<Storage> out, float* lse, int n_threads,
                            InstructionSet set);

/// Gradients of q, k, v and edge_bias [n_bonds][n_heads], from that of `out`. All four are overwritten.
template <class Storage>
struct BondAttentionGradients {
  HeadsView<const Storage> out;
  HeadsView<Storage> q, k, v;
  float* edge_bias;
};

/// `out` and `lse` are what bond_attention_forward made of the same batch, q, k and v.
template <class Storage>
void bond_attention_backward(const BondedBatch& batch, HeadsView<const Storage> q, HeadsView<const Storage> k,
                             HeadsView<const Storage> v, HeadsView<const Storage> out, const float* lse,
                             const BondAttentionGradients<Storage>& gradients, int n_threads, InstructionSet set);

}  // namespace cpu

}  // namespace packflow
