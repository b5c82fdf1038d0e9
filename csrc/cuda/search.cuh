#pragma once

// The periodic search around one atom, for the kernels that visit distances.

#include "packflow/crystal_view.h"
#include "packflow/images.h"

namespace packflow::cuda {

/// An atom of the batch, wrapped into its cell, and the crystal around it.
template <class Real>
struct Center {
  Lattice lattice;
  WrappedAtom atom;
  const Real* positions;  // of the crystal's first atom
  int64_t crystal;
  int first;    // the crystal's first atom
  int n_atoms;  // of the crystal
  int self;     // the atom's place in the crystal
};

template <class Real>
__device__ __forceinline__ Center<Real> make_center(const CrystalView<Real>& crystals, int64_t atom) {
  Center<Real> center;
  center.crystal = crystal_of(crystals, atom);
  center.first = crystals.atom_ptr[center.crystal];
  center.n_atoms = crystals.atom_ptr[center.crystal + 1] - center.first;
  center.self = int(atom - center.first);
  center.positions = crystals.positions + 3 * int64_t(center.first);
  center.lattice = make_lattice(crystals.cell + 9 * center.crystal);
  center.atom = wrap(center.lattice, crystals.positions + 3 * atom);
  return center;
}

/// Calls visit(shift, distance2) for every image of atom j of the crystal that can be within `cutoff` of the center,
/// and for some that are not; shifts are those of wrapped atoms, in lexicographic order.
template <class Real, class Visit>
__device__ __forceinline__ void visit_images(const Center<Real>& center, int j, const WrappedAtom& other, double cutoff,
                                             Visit visit) {
  packflow::visit_images(center.lattice, center.atom, other, j == center.self, cutoff,
                         [&](Vec3 shift, double distance2) {
                           visit(shift, distance2);
                           return false;
                         });
}

}  // namespace packflow::cuda
