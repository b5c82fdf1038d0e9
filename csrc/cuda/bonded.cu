#include "packflow/bonded.h"

#include "launch.cuh"

namespace packflow::cuda {
namespace {

__device__ void write(double* to, Vec3 x) {
  to[0] = x.x;
  to[1] = x.y;
  to[2] = x.z;
}

/// One block per structure, one thread per partial sum: first the terms, then the atoms.
__global__ void __launch_bounds__(kBondedSums) bonded_kernel(BondedBatch batch, BondedGather gather) {
  __shared__ double sums[kBondedTotals][kBondedSums];
  const int thread = threadIdx.x;
  const int64_t structure = blockIdx.x;

  double totals[kBondedTotals] = {};
  for (int64_t term = batch.term_ptr[structure] + thread; term < batch.term_ptr[structure + 1]; term += kBondedSums) {
    const BondedTerm t = bonded_term(batch, term, totals);
    double* const gradients = gather.gradients + 12 * term;
    write(gradients, t.i);
    write(gradients + 3, t.j);
    write(gradients + 6, t.k);
    write(gradients + 9, t.l);
  }
  for (int total = 0; total < kBondedTotals; ++total) sums[total][thread] = totals[total];
  __syncthreads();

  for (int64_t atom = batch.atom_ptr[structure] + thread; atom < batch.atom_ptr[structure + 1]; atom += kBondedSums) {
    Vec3 force = {0, 0, 0};
    const bool any = atom < gather.n_atoms;
    const int32_t last = any ? gather.pointers[atom + 1] : 0;
    for (int32_t k = any ? gather.pointers[atom] : 0; k < last; ++k) {
      const double* const g = gather.gradients + 3 * int64_t(gather.places[k]);
      force = subtract(force, {g[0], g[1], g[2]});
    }
    write(batch.forces + 3 * atom, force);
  }

  for (int half = kBondedSums / 2; half > 0; half /= 2) {
    if (thread < half) {
      for (int total = 0; total < kBondedTotals; ++total) sums[total][thread] += sums[total][thread + half];
    }
    __syncthreads();
  }
  if (thread == 0) {
    for (int total = 0; total < kBondedTotals; ++total) write_total(batch, structure, total, sums[total][0]);
  }
}

}  // namespace

void bonded(const BondedBatch& batch, const BondedGather& gather, void* stream) {
  launch("bonded", bonded_kernel, batch.n_structures, kBondedSums, stream, batch, gather);
}

}  // namespace packflow::cuda
