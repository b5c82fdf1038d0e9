#include "packflow/ewald.h"

#include <algorithm>
#include <vector>

#include "ewald_kernel.h"
#include "parallel.h"

namespace packflow::cpu {
namespace {

using Kernel = void (*)(const EwaldInput&, const EwaldOutput&, int64_t, const EwaldWork&);

Kernel kernel(InstructionSet set) {
#ifdef PACKFLOW_X86_LEVELS
  if (set == InstructionSet::kAvx512) return avx512::ewald_crystal;
  if (set == InstructionSet::kAvx2) return avx2::ewald_crystal;
#endif
  (void)set;
  return baseline::ewald_crystal;
}

/// Makes room for a crystal.
EwaldWork reserve(std::vector<double>& memory, const EwaldInput& input, int64_t crystal) {
  const int64_t n_atoms = input.atom_ptr[crystal + 1] - input.atom_ptr[crystal];
  const int64_t stride = (n_atoms + kEwaldStep - 1) / kEwaldStep * kEwaldStep;
  const WaveBox box = wave_box(make_lattice(input.cell + 9 * crystal), input.k_cutoff);
  const int64_t along_a = 2 * (box.a + int64_t(1)), along_b = 2 * (box.b + int64_t(1)),
                along_c = 2 * (box.c + int64_t(1));
  // Row and wave, four sums, and the charges.
  const int64_t n_arrays = along_a + along_b + along_c + 2 + 2 + 5;
  memory.resize(std::max<size_t>(memory.size(), n_arrays * stride));
  double* const a = memory.data();
  double* const b = a + along_a * stride;
  double* const c = b + along_b * stride;
  double* const row = c + along_c * stride;
  return {stride, box, a, b, c, row, row + 2 * stride, row + 4 * stride};
}

}  // namespace

void ewald(const EwaldInput& input, const EwaldOutput& output, int n_threads, InstructionSet set) {
  const Kernel ewald_crystal = kernel(set);
  for_each<std::vector<double>>(input.n_crystals, n_threads, [&](int64_t c, std::vector<double>& memory) {
    const int64_t first = input.atom_ptr[c], last = input.atom_ptr[c + 1];
    std::fill(output.forces + 3 * first, output.forces + 3 * last, 0.0);
    output.energy[c] = 0.0;
    std::fill_n(output.strain + 9 * c, 9, 0.0);
    if (first < last && input.periodic[c]) ewald_crystal(input, output, c, reserve(memory, input, c));
  });
}

}  // namespace packflow::cpu
