#pragma once

#include <stdint.h>

#include "packflow/crystal_view.h"

namespace packflow::cpu {

/// Throws std::invalid_argument that names the first crystal on which a periodic search could not be exact or finite:
/// atom_ptr does not rise from 0 to n_atoms, a coordinate is not finite or too large for a double to place the atom, a
/// cell is flat, or it is so thin that the images of one atom within `cutoff` (Å) of another are too many to visit.
template <class Real>
void check_crystals(const CrystalView<Real>& crystals, int64_t n_atoms, double cutoff);

}  // namespace packflow::cpu
