#include "packflow/rdf.h"

#include <algorithm>

#include "parallel.h"
#include "rdf_kernel.h"
#include "search_memory.h"

namespace packflow::cpu {

class RdfMemory {
 public:
  SearchMemory search;
  Room<int32_t> bins;
};

SearchMemory& search_memory(RdfMemory& memory) { return memory.search; }
int32_t* reserve_bins(RdfMemory& memory, int64_t n) { return memory.bins.reserve(n); }

namespace {

template <class Real>
using Kernel = void (*)(const RdfTask<Real>&, RdfMemory&);

template <class Real>
Kernel<Real> kernel(InstructionSet set) {
#ifdef PACKFLOW_X86_LEVELS
  if (set == InstructionSet::kAvx512) return avx512::rdf_crystal;
  if (set == InstructionSet::kAvx2) return avx2::rdf_crystal;
#endif
  (void)set;
  return baseline::rdf_crystal;
}

}  // namespace

template <class Real>
void rdf(const CrystalView<Real>& crystals, double r_max, int n_bins, int64_t* counts, int n_threads,
         InstructionSet set) {
  const Kernel<Real> rdf_crystal = kernel<Real>(set);
  std::fill(counts, counts + crystals.n_crystals * n_bins, 0);
  for_each<RdfMemory>(crystals.n_crystals, n_threads, [&](int64_t c, RdfMemory& memory) {
    const int64_t first = crystals.atom_ptr[c];
    const int n_atoms = crystals.atom_ptr[c + 1] - crystals.atom_ptr[c];
    if (n_atoms == 0) return;
    const RdfTask<Real> task = {
        crystals.positions + 3 * first, crystals.cell + 9 * c, n_atoms, r_max, n_bins, counts + c * n_bins};
    rdf_crystal(task, memory);
  });
}

template void rdf(const CrystalView<float>&, double, int, int64_t*, int, InstructionSet);
template void rdf(const CrystalView<double>&, double, int, int64_t*, int, InstructionSet);

}  // namespace packflow::cpu
