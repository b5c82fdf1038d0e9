#pragma once

#include <pybind11/pybind11.h>

#include "packflow/crystal_view.h"

// One function per op adds its entries to the module.
void bind_bond_attention(pybind11::module_& m);
void bind_check(pybind11::module_& m);
void bind_clash(pybind11::module_& m);

/// The batch behind the addresses that Python passes.
template <class Real>
packflow::CrystalView<Real> crystal_view(uintptr_t positions, uintptr_t cell, uintptr_t atom_ptr, int64_t n_crystals) {
  return {reinterpret_cast<const Real*>(positions), reinterpret_cast<const Real*>(cell),
          reinterpret_cast<const int32_t*>(atom_ptr), n_crystals};
}
