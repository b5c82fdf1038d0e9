#pragma once

#include "packflow/amd.h"
#include "search.h"

namespace packflow::cpu {

/// One crystal of a batch.
template <class Real>
struct AmdTask {
  const Real* positions;  // [n_atoms][3]
  const Real* cell;       // [3][3]
  int n_atoms;            // at least 1
  int64_t k;
  Real* rows;    // [n_atoms][k], or null
  double* sums;  // [k], zero, or null: sums of the rows
};

/// Memory of one thread.
class AmdMemory;

/// Arrays of a thread, for one crystal and one atom of it.
struct AmdTable {
  double *atom_x, *atom_y, *atom_z;        // [n_atoms], wrapped positions, Å
  double *offset_x, *offset_y, *offset_z;  // [n_images], the lattice vector from the wrapped atom to the image, Å
  double *distances2, *sorted;             // [n_images], squared distances in Å2
  int32_t *shell, *shell_end;              // [n_images], [n_images + 1]
};

SearchMemory& search_memory(AmdMemory& memory);
AmdTable reserve(AmdMemory& memory, int64_t n_atoms, int64_t n_images);

// The same source compiled for each instruction set; see amd_kernel.inl.
#define PACKFLOW_DECLARE_AMD(isa)                                   \
  namespace isa {                                                   \
  void amd_crystal(const AmdTask<float>& task, AmdMemory& memory);  \
  void amd_crystal(const AmdTask<double>& task, AmdMemory& memory); \
  }
PACKFLOW_DECLARE_AMD(baseline)
PACKFLOW_DECLARE_AMD(avx2)
PACKFLOW_DECLARE_AMD(avx512)
#undef PACKFLOW_DECLARE_AMD

}  // namespace packflow::cpu
