#pragma once

#include <stdint.h>

namespace packflow {

// The first of many tries to pack rigid molecules under symmetry in which no atom touches one of another molecule, an
// image of its own molecule being another one. Atoms i and j touch where their distance is below radii[i] + radii[j].
//
// A try is a cell and, of each independent molecule, an orientation and a center. Copy k of the cell is independent
// molecule molecule[k] moved by the symmetry operation f -> W f + w in fractional coordinates. Only the independent
// molecules are compared with the others: symmetry takes care of the rest. Decided in double.
//
//   cell        [n_tries][3][3], rows are the lattice vectors, Å; right-handed, and W must be orthogonal in it
//   rotation    [n_tries][n_molecules][3][3], orthogonal; an atom is at center + rotation * shape
//   center      [n_tries][n_molecules][3], fractional
//   shape       [n_atoms][3], atoms of the molecule seen from its center, Å
//   radii       [n_atoms], Å, positive
//   operations  [n_copies][3][4], W and behind each of its rows the component of w
//   molecule    [n_copies], 0 ... n_molecules - 1, ascending; the first copy of each is the independent one: W = 1, w =
//   0
struct PackingTries {
  const double* cell;
  const double* rotation;
  const double* center;
  const double* shape;
  const double* radii;
  const double* operations;
  const int32_t* molecule;
  int64_t n_tries;
  int n_molecules, n_atoms, n_copies;
};

namespace cpu {

/// Number of the first try that fits, or -1. `n_threads` share the tries, at least 1; the result is the same for any.
int64_t first_fit(const PackingTries& tries, int n_threads);

}  // namespace cpu

}  // namespace packflow
