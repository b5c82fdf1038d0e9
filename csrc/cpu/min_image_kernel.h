#pragma once

#include "packflow/min_image.h"

namespace packflow::cpu {

// The same source compiled for each instruction set; see min_image_kernel.inl. Pairs first ... last - 1.
#define PACKFLOW_DECLARE_MIN_IMAGE(isa)                                                                                \
  namespace isa {                                                                                                      \
  void min_image_pairs(const CrystalView<float>& crystals, const int64_t* pair_index, int64_t n_pairs, int64_t first,  \
                       int64_t last, float* distances);                                                                \
  void min_image_pairs(const CrystalView<double>& crystals, const int64_t* pair_index, int64_t n_pairs, int64_t first, \
                       int64_t last, double* distances);                                                               \
  }
PACKFLOW_DECLARE_MIN_IMAGE(baseline)
PACKFLOW_DECLARE_MIN_IMAGE(avx2)
PACKFLOW_DECLARE_MIN_IMAGE(avx512)
#undef PACKFLOW_DECLARE_MIN_IMAGE

}  // namespace packflow::cpu
