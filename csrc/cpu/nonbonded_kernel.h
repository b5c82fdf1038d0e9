#pragma once

#include "packflow/nonbonded.h"

namespace packflow::cpu {

// The same source compiled for each instruction set; see nonbonded_kernel.inl. One structure that has atoms.
#define PACKFLOW_DECLARE_NONBONDED(isa)                                                                       \
  namespace isa {                                                                                             \
  void nonbonded_structure(const NonbondedInput& input, const PairList& pairs, const NonbondedOutput& output, \
                           int64_t structure);                                                                \
  }
PACKFLOW_DECLARE_NONBONDED(baseline)
PACKFLOW_DECLARE_NONBONDED(avx2)
PACKFLOW_DECLARE_NONBONDED(avx512)
#undef PACKFLOW_DECLARE_NONBONDED

}  // namespace packflow::cpu
