#pragma once

#include "packflow/neighbors.h"
#include "search.h"

namespace packflow::cpu {

/// One crystal of a batch.
template <class Real>
struct NeighborsTask {
  const Real* positions;  // [n_atoms][3]
  const Real* cell;       // [3][3]
  int64_t first_atom;     // of the crystal, in the batch
  int n_atoms;            // at least 1
  double cutoff;
  bool half;
};

// The same source compiled for each instruction set; see neighbors_kernel.inl.
#define PACKFLOW_DECLARE_NEIGHBORS(isa)                                                                 \
  namespace isa {                                                                                       \
  void count_neighbors(const NeighborsTask<float>& task, int64_t* n_neighbors, SearchMemory& memory);   \
  void count_neighbors(const NeighborsTask<double>& task, int64_t* n_neighbors, SearchMemory& memory);  \
  void write_neighbors(const NeighborsTask<float>& task, const PairList& pairs, SearchMemory& memory);  \
  void write_neighbors(const NeighborsTask<double>& task, const PairList& pairs, SearchMemory& memory); \
  }
PACKFLOW_DECLARE_NEIGHBORS(baseline)
PACKFLOW_DECLARE_NEIGHBORS(avx2)
PACKFLOW_DECLARE_NEIGHBORS(avx512)
#undef PACKFLOW_DECLARE_NEIGHBORS

}  // namespace packflow::cpu
