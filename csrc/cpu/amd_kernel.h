#pragma once

#include "packflow/amd.h"
#include "search.h"

namespace packflow::cpu {

/// One crystal of a batch.
template <class Real>
struct AmdTask {
  const Real* positions;  // [n_atoms][3]
  const Real* cell;       // [3][3]
  int n_atoms;            // at least 1
  int64_t k;
  Real* rows;    // [n_atoms][k], or null
  double* sums;  // [k], zero, or null: sums of the rows
};

/// Memory of one thread.
class AmdMemory;

SearchMemory& search_memory(AmdMemory& memory);
/// Room for n numbers, and for their copy while they are sorted.
double* reserve_distances(AmdMemory& memory, int64_t n);
/// Room for n counters.
int32_t* reserve_counters(AmdMemory& memory, int64_t n);

// The same source compiled for each instruction set; see amd_kernel.inl.
#define PACKFLOW_DECLARE_AMD(isa)                                   \
  namespace isa {                                                   \
  void amd_crystal(const AmdTask<float>& task, AmdMemory& memory);  \
  void amd_crystal(const AmdTask<double>& task, AmdMemory& memory); \
  }
PACKFLOW_DECLARE_AMD(baseline)
PACKFLOW_DECLARE_AMD(avx2)
PACKFLOW_DECLARE_AMD(avx512)
#undef PACKFLOW_DECLARE_AMD

}  // namespace packflow::cpu
