#pragma once

#include <stdint.h>

#include "packflow/lattice.h"

namespace packflow {

/// A packed batch of crystals, in memory of the device that the function runs on. Real is float or double.
template <class Real>
struct CrystalView {
  const Real* positions;    // [n_atoms][3], Cartesian, Å; need not lie inside the cell
  const Real* cell;         // [n_crystals][3][3], rows are the lattice vectors, Å; right- or left-handed
  const int32_t* atom_ptr;  // [n_crystals + 1]; crystal c owns atoms atom_ptr[c] ... atom_ptr[c + 1] - 1
  int64_t n_crystals;
  int64_t n_atoms;
};

/// The crystal that owns an atom.
template <class Real>
PACKFLOW_INLINE int64_t crystal_of(const CrystalView<Real>& crystals, int64_t atom) {
  int64_t first = 0, last = crystals.n_crystals;  // first <= answer < last
  while (last - first > 1) {
    const int64_t middle = first + (last - first) / 2;
    if (crystals.atom_ptr[middle] <= atom) {
      first = middle;
    } else {
      last = middle;
    }
  }
  return first;
}

}  // namespace packflow
