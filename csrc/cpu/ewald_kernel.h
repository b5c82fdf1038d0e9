#pragma once

#include "packflow/ewald.h"

namespace packflow::cpu {

/// Arrays of one crystal, each of `stride` numbers: atoms, rounded up to whole vectors.
struct EwaldWork {
  int64_t stride;
  WaveBox box;
  double* a;     // cosines and sines of 0, 1, ... box.a turns of each atom along a: [box.a + 1][2][stride]
  double* b;     // likewise
  double* c;     // likewise
  double* row;   // charge times the phase of u a* + v b*: [2][stride]
  double* wave;  // the same of the whole vector
  double* sums;  // what the forces are made of: of one row, then along a, b, c; then the charges: [5][stride]
};

constexpr int64_t kEwaldStep = 8;  // the stride is a multiple

// The same source compiled for each instruction set; see ewald_kernel.inl. One crystal that has atoms.
#define PACKFLOW_DECLARE_EWALD(isa)                                                                            \
  namespace isa {                                                                                              \
  void ewald_crystal(const EwaldInput& input, const EwaldOutput& output, int64_t crystal, const EwaldWork& w); \
  }
PACKFLOW_DECLARE_EWALD(baseline)
PACKFLOW_DECLARE_EWALD(avx2)
PACKFLOW_DECLARE_EWALD(avx512)
#undef PACKFLOW_DECLARE_EWALD

}  // namespace packflow::cpu
