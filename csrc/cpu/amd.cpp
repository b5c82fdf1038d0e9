#include "packflow/amd.h"

#include <algorithm>
#include <limits>

#include "amd_kernel.h"
#include "parallel.h"
#include "search_memory.h"

namespace packflow::cpu {

class AmdMemory {
 public:
  SearchMemory search;
  Room<double> numbers;
  Room<int32_t> shells;
  std::vector<double> sums;
};

SearchMemory& search_memory(AmdMemory& memory) { return memory.search; }

AmdTable reserve(AmdMemory& memory, int64_t n_atoms, int64_t n_images) {
  double* const by_atom = memory.numbers.reserve(3 * n_atoms + 5 * n_images);
  double* const by_image = by_atom + 3 * n_atoms;
  int32_t* const shells = memory.shells.reserve(2 * n_images + 1);
  return {by_atom,
          by_atom + n_atoms,
          by_atom + 2 * n_atoms,
          by_image,
          by_image + n_images,
          by_image + 2 * n_images,
          by_image + 3 * n_images,
          by_image + 4 * n_images,
          shells,
          shells + n_images};
}

namespace {

template <class Real>
using Kernel = void (*)(const AmdTask<Real>&, AmdMemory&);

template <class Real>
Kernel<Real> kernel(InstructionSet set) {
#ifdef PACKFLOW_X86_LEVELS
  if (set == InstructionSet::kAvx512) return avx512::amd_crystal;
  if (set == InstructionSet::kAvx2) return avx2::amd_crystal;
#endif
  (void)set;
  return baseline::amd_crystal;
}

template <class Real>
AmdTask<Real> task_of(const CrystalView<Real>& crystals, int64_t c, int64_t k) {
  const int64_t first = crystals.atom_ptr[c];
  const int n_atoms = crystals.atom_ptr[c + 1] - crystals.atom_ptr[c];
  return {crystals.positions + 3 * first, crystals.cell + 9 * c, n_atoms, k, nullptr, nullptr};
}

}  // namespace

template <class Real>
void pdd(const CrystalView<Real>& crystals, int64_t k, Real* rows, int n_threads, InstructionSet set) {
  const Kernel<Real> amd_crystal = kernel<Real>(set);
  for_each<AmdMemory>(crystals.n_crystals, n_threads, [&](int64_t c, AmdMemory& memory) {
    AmdTask<Real> task = task_of(crystals, c, k);
    if (task.n_atoms == 0) return;
    task.rows = rows + crystals.atom_ptr[c] * k;
    amd_crystal(task, memory);
  });
}

template <class Real>
void amd(const CrystalView<Real>& crystals, int64_t k, Real* mean, int n_threads, InstructionSet set) {
  const Kernel<Real> amd_crystal = kernel<Real>(set);
  for_each<AmdMemory>(crystals.n_crystals, n_threads, [&](int64_t c, AmdMemory& memory) {
    AmdTask<Real> task = task_of(crystals, c, k);
    Real* const row = mean + c * k;
    if (task.n_atoms == 0) {
      std::fill(row, row + k, std::numeric_limits<Real>::quiet_NaN());
      return;
    }
    memory.sums.assign(k, 0.0);
    task.sums = memory.sums.data();
    amd_crystal(task, memory);
    for (int64_t m = 0; m < k; ++m) row[m] = Real(memory.sums[m] / task.n_atoms);
  });
}

#define PACKFLOW_INSTANTIATE(Real)                                                  \
  template void pdd(const CrystalView<Real>&, int64_t, Real*, int, InstructionSet); \
  template void amd(const CrystalView<Real>&, int64_t, Real*, int, InstructionSet);
PACKFLOW_INSTANTIATE(float)
PACKFLOW_INSTANTIATE(double)
#undef PACKFLOW_INSTANTIATE

}  // namespace packflow::cpu
