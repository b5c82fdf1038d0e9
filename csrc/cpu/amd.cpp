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
  Room<double> distances;
  Room<int32_t> counters;
  std::vector<double> sums;
};

SearchMemory& search_memory(AmdMemory& memory) { return memory.search; }
double* reserve_distances(AmdMemory& memory, int64_t n) { return memory.distances.reserve(2 * n); }
int32_t* reserve_counters(AmdMemory& memory, int64_t n) { return memory.counters.reserve(n); }

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
