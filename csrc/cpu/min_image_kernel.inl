// Distances of given pairs. Included by one file per instruction set, which names it in PACKFLOW_ISA.

#include "min_image_kernel.h"
#include "packflow/images.h"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

template <class Real>
void measure(const CrystalView<Real>& crystals, const int64_t* pair_index, int64_t n_pairs, int64_t first, int64_t last,
             Real* distances) {
  int64_t crystal = -1;
  Lattice lattice = {};
  for (int64_t p = first; p < last; ++p) {
    const int64_t i = pair_index[p], j = pair_index[n_pairs + p];
    // Pairs mostly come crystal by crystal.
    if (crystal < 0 || i < crystals.atom_ptr[crystal] || i >= crystals.atom_ptr[crystal + 1]) {
      crystal = crystal_of(crystals, i);
      lattice = make_lattice(crystals.cell + 9 * crystal);
    }
    const WrappedAtom one = wrap(lattice, crystals.positions + 3 * i),
                      other = wrap(lattice, crystals.positions + 3 * j);
    distances[p] = Real(sqrt(nearest_image_distance2(lattice, one, other)));
  }
}

}  // namespace

void min_image_pairs(const CrystalView<float>& crystals, const int64_t* pair_index, int64_t n_pairs, int64_t first,
                     int64_t last, float* distances) {
  measure(crystals, pair_index, n_pairs, first, last, distances);
}

void min_image_pairs(const CrystalView<double>& crystals, const int64_t* pair_index, int64_t n_pairs, int64_t first,
                     int64_t last, double* distances) {
  measure(crystals, pair_index, n_pairs, first, last, distances);
}

}  // namespace packflow::cpu::PACKFLOW_ISA
