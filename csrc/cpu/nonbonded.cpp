#include "packflow/nonbonded.h"

#include <algorithm>

#include "nonbonded_kernel.h"
#include "parallel.h"

namespace packflow::cpu {
namespace {

using Kernel = void (*)(const NonbondedInput&, const PairList&, const NonbondedOutput&, int64_t);

Kernel kernel(InstructionSet set) {
#ifdef PACKFLOW_X86_LEVELS
  if (set == InstructionSet::kAvx512) return avx512::nonbonded_structure;
  if (set == InstructionSet::kAvx2) return avx2::nonbonded_structure;
#endif
  (void)set;
  return baseline::nonbonded_structure;
}

struct NoMemory {};

}  // namespace

void nonbonded(const NonbondedInput& input, const PairList& pairs, const NonbondedOutput& output, int n_threads,
               InstructionSet set) {
  const Kernel nonbonded_structure = kernel(set);
  for_each<NoMemory>(input.n_structures, n_threads, [&](int64_t s, NoMemory&) {
    const int64_t first = input.atom_ptr[s], last = input.atom_ptr[s + 1];
    std::fill(output.forces + 3 * first, output.forces + 3 * last, 0.0);
    std::fill_n(output.energy + 2 * s, 2, 0.0);
    std::fill_n(output.strain + 9 * s, 9, 0.0);
    if (first < last && output.problem[s] == 0) nonbonded_structure(input, pairs, output, s);
  });
}

}  // namespace packflow::cpu
