#pragma once

#include "packflow/nonbonded.h"

namespace packflow::cpu {

/// Arrays of one structure, a place per atom.
struct NonbondedWork {
  double *x, *y, *z, *charge;
  double* force;  // [n][4], the last of no use
  int32_t *type, *molecule;
  int32_t* special;  // the last atom at which the atom was special
};

// The same source compiled for each instruction set; see nonbonded_kernel.inl. One structure that has atoms.
#define PACKFLOW_DECLARE_NONBONDED(isa)                                                                            \
  namespace isa {                                                                                                  \
  void nonbonded_structure(const NonbondedInput& input, const NonbondedList& pairs, const NonbondedOutput& output, \
                           int64_t structure, const NonbondedWork& atoms);                                         \
  }
PACKFLOW_DECLARE_NONBONDED(baseline)
PACKFLOW_DECLARE_NONBONDED(avx2)
PACKFLOW_DECLARE_NONBONDED(avx512)
#undef PACKFLOW_DECLARE_NONBONDED

}  // namespace packflow::cpu
