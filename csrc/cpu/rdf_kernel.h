#pragma once

#include "packflow/rdf.h"
#include "search.h"

namespace packflow::cpu {

/// One crystal of a batch.
template <class Real>
struct RdfTask {
  const Real* positions;  // [n_atoms][3]
  const Real* cell;       // [3][3]
  int n_atoms;            // at least 1
  double r_max;
  int n_bins;
  int64_t* counts;  // [n_bins], zero
};

/// Memory of one thread.
class RdfMemory;

SearchMemory& search_memory(RdfMemory& memory);
/// Room for n bins.
int32_t* reserve_bins(RdfMemory& memory, int64_t n);

// The same source compiled for each instruction set; see rdf_kernel.inl.
#define PACKFLOW_DECLARE_RDF(isa)                                   \
  namespace isa {                                                   \
  void rdf_crystal(const RdfTask<float>& task, RdfMemory& memory);  \
  void rdf_crystal(const RdfTask<double>& task, RdfMemory& memory); \
  }
PACKFLOW_DECLARE_RDF(baseline)
PACKFLOW_DECLARE_RDF(avx2)
PACKFLOW_DECLARE_RDF(avx512)
#undef PACKFLOW_DECLARE_RDF

}  // namespace packflow::cpu
