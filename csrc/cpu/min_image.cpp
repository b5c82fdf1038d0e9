#include "packflow/min_image.h"

#include <algorithm>

#include "min_image_kernel.h"

namespace packflow::cpu {
namespace {

constexpr int64_t kPairsOfTask = 1024;

template <class Real>
using Kernel = void (*)(const CrystalView<Real>&, const int64_t*, int64_t, int64_t, int64_t, Real*);

template <class Real>
Kernel<Real> kernel(InstructionSet set) {
#ifdef PACKFLOW_X86_LEVELS
  if (set == InstructionSet::kAvx512) return avx512::min_image_pairs;
  if (set == InstructionSet::kAvx2) return avx2::min_image_pairs;
#endif
  (void)set;
  return baseline::min_image_pairs;
}

}  // namespace

template <class Real>
void min_image(const CrystalView<Real>& crystals, const int64_t* pair_index, int64_t n_pairs, Real* distances,
               int n_threads, InstructionSet set) {
  const Kernel<Real> min_image_pairs = kernel<Real>(set);
#pragma omp parallel for schedule(dynamic) num_threads(n_threads)
  for (int64_t first = 0; first < n_pairs; first += kPairsOfTask) {
    min_image_pairs(crystals, pair_index, n_pairs, first, std::min(first + kPairsOfTask, n_pairs), distances);
  }
}

template void min_image(const CrystalView<float>&, const int64_t*, int64_t, float*, int, InstructionSet);
template void min_image(const CrystalView<double>&, const int64_t*, int64_t, double*, int, InstructionSet);

}  // namespace packflow::cpu
