#include "packflow/clash.h"

#include <algorithm>
#include <vector>

#include "clash_kernel.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace packflow::cpu {
namespace {

/// Owns the arrays of one thread.
class Scratch {
 public:
  explicit Scratch(size_t n_atoms)
      : n_(n_atoms),
        unrolled_(2 * n_ + kClashStep),
        wrapped_(n_),
        integers_(2 * n_ + 1 + unrolled_),
        floats_(4 * unrolled_) {}

  ClashScratch view() {
    int32_t* slab = integers_.data();
    float* x = floats_.data();
    return {wrapped_.data(),  slab, slab + n_, slab + 2 * n_ + 1, x, x + unrolled_, x + 2 * unrolled_,
            x + 3 * unrolled_};
  }

 private:
  size_t n_, unrolled_;
  std::vector<WrappedAtom> wrapped_;
  std::vector<int32_t> integers_;
  std::vector<float> floats_;
};

template <class Real>
using ClashFunction = void (*)(const ClashCrystal<Real>&, const ClashScratch&);

template <class Real>
ClashFunction<Real> clash_function(InstructionSet set) {
#ifdef PACKFLOW_X86_LEVELS
  if (set == InstructionSet::kAvx512) return avx512::clash_crystal;
  if (set == InstructionSet::kAvx2) return avx2::clash_crystal;
#endif
  (void)set;
  return baseline::clash_crystal;
}

int thread_number() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

}  // namespace

template <class Real>
void clash(const CrystalView<Real>& crystals, const Real* radii, double scale, uint8_t* in_clash, int n_threads,
           InstructionSet set) {
  const ClashFunction<Real> clash_crystal = clash_function<Real>(set);
  const int64_t n = crystals.n_crystals;
  int32_t most_atoms = 0;
  for (int64_t c = 0; c < n; ++c) most_atoms = std::max(most_atoms, crystals.atom_ptr[c + 1] - crystals.atom_ptr[c]);
  n_threads = static_cast<int>(std::clamp<int64_t>(n, 1, n_threads));
  // Made before the threads start: an exception cannot leave them.
  std::vector<Scratch> scratch(n_threads, Scratch(most_atoms));
#pragma omp parallel for schedule(dynamic, 4) num_threads(n_threads)
  for (int64_t c = 0; c < n; ++c) {
    const int64_t first = crystals.atom_ptr[c];
    const int n_atoms = crystals.atom_ptr[c + 1] - crystals.atom_ptr[c];
    const ClashCrystal<Real> crystal = {
        crystals.positions + 3 * first, crystals.cell + 9 * c, radii + first, scale, n_atoms, in_clash + first};
    clash_crystal(crystal, scratch[thread_number()].view());
  }
}

template void clash(const CrystalView<float>&, const float*, double, uint8_t*, int, InstructionSet);
template void clash(const CrystalView<double>&, const double*, double, uint8_t*, int, InstructionSet);

}  // namespace packflow::cpu
