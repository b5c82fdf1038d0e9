#pragma once

#include <stdint.h>

namespace packflow {

// How many molecules of a cluster of one crystal overlay on another crystal: the search of oxtalign 0.1 (Apache-2.0;
// arXiv 2512.06987), step by step, so that its results are met. For a pair of a reference and another structure:
//
//   1. The cluster: a molecule of the reference and those of its neighbors in closest contact with it. Of the molecules
//      with the most atoms, one of each conformation is tried, up to six of either structure.
//   2. The starts: rigid motions that lay a molecule of the other structure on the central one, as it is and inverted.
//      They come from all maps of like atoms if these are few, else from the principal axes, each refined by turns of
//      assigning atoms and fitting; and from all near-isometries of the two molecules.
//   3. The growth: by turns, the molecules of the cluster are assigned to those of the other structure, least sum of
//      the distances of their centroids, and the motion is fitted to those whose atoms agree.
//
// The most molecules that agree win, then the lowest RMSD. Atoms of like roles are exchanged freely; a role is an
// element and the elements bonded to it. The search is a heuristic: what it finds is a lower bound.

/// Molecules up to their coordinates.
struct MoleculeKinds {
  const int32_t* element;   // [n_atoms of all kinds]
  const int32_t* role;      // [n_atoms of all kinds]; atoms of one role are of one element
  const int32_t* atom_ptr;  // [n_kinds + 1]
  const int32_t* species;   // [n_kinds]; kinds of one species have equally many atoms of each element
  int n_kinds;
};

/// Structures made of whole molecules.
struct MolecularPackings {
  const double* positions;      // [n_atoms of all][3], molecule after molecule, Å; centroids in the cell
  const double* cell;           // [n_structures][3][3], rows are the lattice vectors, Å
  const int32_t* kind;          // [n_molecules of all], of each molecule
  const int64_t* molecule_ptr;  // [n_structures + 1]
  const int32_t* reach;         // [n_structures], the cell is repeated from -reach to reach along each axis
  int64_t n_structures;
};

/// What is compared: reference and other of each pair.
struct OverlayTask {
  const int64_t* pairs;  // [n_pairs][2]
  int64_t n_pairs;
  int n_molecules;   // of the cluster
  double tolerance;  // a molecule matches if its RMSD is below it, Å
  bool mirror;       // try the mirror image too
};

namespace cpu {

/// n_matched [n_pairs] becomes the number of molecules that match, rmsd [n_pairs] the RMSD of their atoms in Å: 0 and
/// NaN where nothing fits. `n_threads` share the pairs, at least 1; the result is the same for any.
void packing_similarity(const MoleculeKinds& kinds, const MolecularPackings& packings, const OverlayTask& task,
                        int32_t* n_matched, double* rmsd, int n_threads);

}  // namespace cpu

}  // namespace packflow
