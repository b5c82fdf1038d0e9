#pragma once

#include <vector>

#include "overlay_assignment.h"
#include "packflow/packing_similarity.h"

namespace packflow::cpu {

/// Molecules of at most this many maps of like atoms start from all of them.
constexpr int kMaxMaps = 24;

/// Atoms of two molecules that may be exchanged for each other: [first, first + size) of both orders.
struct AtomClass {
  int first, size;
};

/// Which atoms of one kind can lie on which of another: roles that both have equally often, else elements.
struct AtomPlan {
  int n_atoms = 0;
  std::vector<int> only;                 // [n_atoms], the atom of the other for what has no choice, else -1
  std::vector<int> order_a, order_b;     // atoms of the classes of more than one, class after class
  std::vector<AtomClass> classes;        // of more than one atom
  std::vector<std::vector<int>> starts;  // all maps by roles if there are at most kMaxMaps, else none
};

AtomPlan make_plan(const MoleculeKinds& kinds, int a, int b);

/// Arrays of `match_atoms`.
struct AtomMemory {
  AssignmentMemory assignment;
  std::vector<double> costs, least, x, y, z;
  std::vector<int> cheapest;
  std::vector<char> taken, rooted;
};

/// The atom of b [n_atoms][3] for each of a: least sum of distances in each class. Returns the RMSD in Å.
double match_atoms(const AtomPlan& plan, const double* a, const double* b, int* atom, AtomMemory& memory);

}  // namespace packflow::cpu
