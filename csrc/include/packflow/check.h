#pragma once

#include <stdint.h>

#include <string>
#include <vector>

#include "packflow/crystal_view.h"

namespace packflow::cpu {

/// What keeps a periodic search of each crystal up to its cutoff [n_crystals] (Å) from being exact or finite: a
/// coordinate that is not finite or too large for a double to place the atom, a flat cell, or one so thin that the
/// images of an atom within the cutoff of another are too many to visit or to hold. Empty where nothing does.
/// Throws std::invalid_argument if atom_ptr does not rise from 0 to n_atoms.
template <class Real>
std::vector<std::string> crystal_problems(const CrystalView<Real>& crystals, const double* cutoff);

}  // namespace packflow::cpu
