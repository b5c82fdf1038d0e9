#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <tuple>

#include "packflow/crystal_view.h"

// One function per op adds its entries to the module.
void bind_amd(pybind11::module_& m);
void bind_bond_attention(pybind11::module_& m);
void bind_bonded(pybind11::module_& m);
void bind_check(pybind11::module_& m);
void bind_clash(pybind11::module_& m);
void bind_ewald(pybind11::module_& m);
void bind_first_fit(pybind11::module_& m);
void bind_min_image(pybind11::module_& m);
void bind_neighbors(pybind11::module_& m);
void bind_nonbonded(pybind11::module_& m);
void bind_ode(pybind11::module_& m);
void bind_packing_similarity(pybind11::module_& m);
void bind_pair_refinement(pybind11::module_& m);
void bind_rdf(pybind11::module_& m);

/// A batch as Python passes it: addresses of positions, cell and atom_ptr, n_crystals, n_atoms.
using Crystals = std::tuple<uintptr_t, uintptr_t, uintptr_t, int64_t, int64_t>;

template <class Real>
packflow::CrystalView<Real> crystal_view(const Crystals& x) {
  const auto [positions, cell, atom_ptr, n_crystals, n_atoms] = x;
  return {reinterpret_cast<const Real*>(positions), reinterpret_cast<const Real*>(cell),
          reinterpret_cast<const int32_t*>(atom_ptr), n_crystals, n_atoms};
}

/// What is at an address.
template <class T>
T* at(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}
