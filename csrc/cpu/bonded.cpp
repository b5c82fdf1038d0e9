#include "packflow/bonded.h"

#include <algorithm>

namespace packflow::cpu {
namespace {

void subtract_gradient(double* force, Vec3 gradient) {
  force[0] -= gradient.x;
  force[1] -= gradient.y;
  force[2] -= gradient.z;
}

void structure_terms(const BondedBatch& batch, int64_t structure) {
  std::fill(batch.forces + 3 * int64_t(batch.atom_ptr[structure]),
            batch.forces + 3 * int64_t(batch.atom_ptr[structure + 1]), 0.0);
  const int64_t first = batch.term_ptr[structure], last = batch.term_ptr[structure + 1];
  double sums[kBondedSums][kBondedTotals] = {};
  for (int64_t term = first; term < last; ++term) {
    const BondedTerm t = bonded_term(batch, term, sums[(term - first) % kBondedSums]);
    const int n_atoms = bonded_n_atoms(batch.kind[term]);
    const int32_t* const atoms = batch.atoms + 4 * term;
    subtract_gradient(batch.forces + 3 * int64_t(atoms[0]), t.i);
    subtract_gradient(batch.forces + 3 * int64_t(atoms[1]), t.j);
    if (n_atoms > 2) subtract_gradient(batch.forces + 3 * int64_t(atoms[2]), t.k);
    if (n_atoms > 3) subtract_gradient(batch.forces + 3 * int64_t(atoms[3]), t.l);
  }
  for (int half = kBondedSums / 2; half > 0; half /= 2) {
    for (int k = 0; k < half; ++k) {
      for (int total = 0; total < kBondedTotals; ++total) sums[k][total] += sums[k + half][total];
    }
  }
  for (int total = 0; total < kBondedTotals; ++total) write_total(batch, structure, total, sums[0][total]);
}

}  // namespace

void bonded(const BondedBatch& batch, int n_threads) {
  n_threads = int(std::clamp<int64_t>(batch.n_structures, 1, n_threads));
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_threads)
  for (int64_t structure = 0; structure < batch.n_structures; ++structure) structure_terms(batch, structure);
}

}  // namespace packflow::cpu
