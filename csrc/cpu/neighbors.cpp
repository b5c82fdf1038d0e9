#include "packflow/neighbors.h"

#include "neighbors_kernel.h"
#include "parallel.h"
#include "search_memory.h"

namespace packflow::cpu {
namespace {

template <class Real>
struct Kernels {
  void (*count)(const NeighborsTask<Real>&, int64_t*, SearchMemory&);
  void (*write)(const NeighborsTask<Real>&, const PairList&, SearchMemory&);
};

template <class Real>
Kernels<Real> kernels(InstructionSet set) {
#ifdef PACKFLOW_X86_LEVELS
  if (set == InstructionSet::kAvx512) return {avx512::count_neighbors, avx512::write_neighbors};
  if (set == InstructionSet::kAvx2) return {avx2::count_neighbors, avx2::write_neighbors};
#endif
  (void)set;
  return {baseline::count_neighbors, baseline::write_neighbors};
}

/// Calls f(task, memory) for each crystal that has atoms.
template <class Real, class Function>
void for_each_crystal(const CrystalView<Real>& crystals, double cutoff, bool half, int n_threads, Function f) {
  for_each<SearchMemory>(crystals.n_crystals, n_threads, [&](int64_t c, SearchMemory& memory) {
    const int64_t first = crystals.atom_ptr[c];
    const int n_atoms = crystals.atom_ptr[c + 1] - crystals.atom_ptr[c];
    if (n_atoms == 0) return;
    const NeighborsTask<Real> task = {
        crystals.positions + 3 * first, crystals.cell + 9 * c, first, n_atoms, cutoff, half};
    f(task, memory);
  });
}

}  // namespace

template <class Real>
void count_neighbors(const CrystalView<Real>& crystals, double cutoff, bool half, int64_t* n_neighbors, int n_threads,
                     InstructionSet set) {
  const auto count = kernels<Real>(set).count;
  for_each_crystal(crystals, cutoff, half, n_threads,
                   [&](const NeighborsTask<Real>& task, SearchMemory& memory) { count(task, n_neighbors, memory); });
}

template <class Real>
void write_neighbors(const CrystalView<Real>& crystals, double cutoff, bool half, const PairList& pairs, int n_threads,
                     InstructionSet set) {
  const auto write = kernels<Real>(set).write;
  for_each_crystal(crystals, cutoff, half, n_threads,
                   [&](const NeighborsTask<Real>& task, SearchMemory& memory) { write(task, pairs, memory); });
}

#define PACKFLOW_INSTANTIATE(Real)                                                                      \
  template void count_neighbors(const CrystalView<Real>&, double, bool, int64_t*, int, InstructionSet); \
  template void write_neighbors(const CrystalView<Real>&, double, bool, const PairList&, int, InstructionSet);
PACKFLOW_INSTANTIATE(float)
PACKFLOW_INSTANTIATE(double)
#undef PACKFLOW_INSTANTIATE

}  // namespace packflow::cpu
