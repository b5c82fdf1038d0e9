#pragma once

#include <stdint.h>

#include "search.h"

namespace packflow::cpu {

/// Most atoms that are sorted into slabs: a slab of more holds too many. Larger crystals get a grid.
constexpr int kMostInSlabs = kMostWithoutGrid;
/// Atoms that one step of the search tests at once. The arrays that it reads must go on for as many past the end.
constexpr int kClashStep = 16;

/// One crystal of a batch.
template <class Real>
struct ClashCrystal {
  const Real* positions;  // [n_atoms][3]
  const Real* cell;       // [3][3]
  const Real* radii;      // [n_atoms]
  double scale;
  int n_atoms;
  uint8_t* in_clash;  // [n_atoms], output
};

/// Memory of one thread for crystals of up to n_atoms. "Unrolled" arrays hold the atoms slab by slab and go on around
/// the periodic boundary: element n_atoms + k is element k.
struct ClashScratch {
  WrappedAtom* wrapped;      // [n_atoms], in the caller's order
  int32_t* slab;             // [n_atoms], slab of each atom
  int32_t* slab_end;         // [n_atoms + 1], where the atoms of each slab end
  int32_t* order;            // [2 n_atoms + kClashStep], unrolled: the caller's index
  float *x, *y, *z, *share;  // [2 n_atoms + kClashStep], unrolled: fractional coordinates, share of the cutoff
  SearchMemory* memory;      // for the grid
};

// The same source compiled for each instruction set; see clash_kernel.inl.
#define PACKFLOW_DECLARE_CLASH(isa)                                                     \
  namespace isa {                                                                       \
  void clash_crystal(const ClashCrystal<float>& crystal, const ClashScratch& scratch);  \
  void clash_crystal(const ClashCrystal<double>& crystal, const ClashScratch& scratch); \
  }
PACKFLOW_DECLARE_CLASH(baseline)
PACKFLOW_DECLARE_CLASH(avx2)
PACKFLOW_DECLARE_CLASH(avx512)
#undef PACKFLOW_DECLARE_CLASH

}  // namespace packflow::cpu
