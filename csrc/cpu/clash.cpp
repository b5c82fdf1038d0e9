#include "packflow/clash.h"

#include <algorithm>

#include "clash_kernel.h"
#include "parallel.h"
#include "search_memory.h"

namespace packflow::cpu {
namespace {

/// Owns the arrays of one thread.
class Memory {
 public:
  ClashScratch reserve(size_t n_atoms) {
    const size_t n = n_atoms, unrolled = 2 * n + kClashStep;
    int32_t* const slab = integers_.reserve(2 * n + 1 + unrolled);
    float* const x = floats_.reserve(4 * unrolled);
    return {wrapped_.reserve(n), slab,    slab + n, slab + 2 * n + 1, x, x + unrolled, x + 2 * unrolled,
            x + 3 * unrolled,    &search_};
  }

 private:
  Room<WrappedAtom> wrapped_;
  Room<int32_t> integers_;
  Room<float> floats_;
  SearchMemory search_;
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

}  // namespace

template <class Real>
void clash(const CrystalView<Real>& crystals, const Real* radii, double scale, uint8_t* in_clash, int n_threads,
           InstructionSet set) {
  const ClashFunction<Real> clash_crystal = clash_function<Real>(set);
  int32_t most_atoms = 0;
  for (int64_t c = 0; c < crystals.n_crystals; ++c) {
    most_atoms = std::max(most_atoms, crystals.atom_ptr[c + 1] - crystals.atom_ptr[c]);
  }
  for_each<Memory>(crystals.n_crystals, n_threads, [&](int64_t c, Memory& memory) {
    const int64_t first = crystals.atom_ptr[c];
    const int n_atoms = crystals.atom_ptr[c + 1] - crystals.atom_ptr[c];
    const ClashCrystal<Real> crystal = {
        crystals.positions + 3 * first, crystals.cell + 9 * c, radii + first, scale, n_atoms, in_clash + first};
    clash_crystal(crystal, memory.reserve(most_atoms));
  });
}

template void clash(const CrystalView<float>&, const float*, double, uint8_t*, int, InstructionSet);
template void clash(const CrystalView<double>&, const double*, double, uint8_t*, int, InstructionSet);

}  // namespace packflow::cpu
