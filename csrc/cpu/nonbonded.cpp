#include "packflow/nonbonded.h"

#include <algorithm>
#include <vector>

#include "nonbonded_kernel.h"
#include "parallel.h"

namespace packflow::cpu {
namespace {

using Kernel = void (*)(const NonbondedInput&, const NonbondedList&, const NonbondedOutput&, int64_t,
                        const NonbondedWork&);

Kernel kernel(InstructionSet set) {
#ifdef PACKFLOW_X86_LEVELS
  if (set == InstructionSet::kAvx512) return avx512::nonbonded_structure;
  if (set == InstructionSet::kAvx2) return avx2::nonbonded_structure;
#endif
  (void)set;
  return baseline::nonbonded_structure;
}

struct Memory {
  std::vector<double> numbers;
  std::vector<int32_t> words;
};

/// Makes room for a structure.
NonbondedWork reserve(Memory& memory, int64_t n_atoms) {
  memory.numbers.resize(std::max<size_t>(memory.numbers.size(), 8 * n_atoms));
  memory.words.resize(std::max<size_t>(memory.words.size(), 3 * n_atoms));
  double* const x = memory.numbers.data();
  int32_t* const type = memory.words.data();
  return {x, x + n_atoms, x + 2 * n_atoms, x + 3 * n_atoms, x + 4 * n_atoms, type, type + n_atoms, type + 2 * n_atoms};
}

}  // namespace

void nonbonded(const NonbondedInput& input, const NonbondedList& pairs, const NonbondedOutput& output, int n_threads,
               InstructionSet set) {
  const Kernel nonbonded_structure = kernel(set);
  for_each<Memory>(input.n_structures, n_threads, [&](int64_t s, Memory& memory) {
    const int64_t first = input.atom_ptr[s], last = input.atom_ptr[s + 1];
    std::fill(output.forces + 3 * first, output.forces + 3 * last, 0.0);
    std::fill_n(output.energy + 2 * s, 2, 0.0);
    std::fill_n(output.strain + 9 * s, 9, 0.0);
    if (first < last && output.problem[s] == 0) {
      nonbonded_structure(input, pairs, output, s, reserve(memory, last - first));
    }
  });
}

}  // namespace packflow::cpu
