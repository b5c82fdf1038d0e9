#pragma once

#include <vector>

#include "overlay_atoms.h"
#include "overlay_motion.h"

namespace packflow::cpu {

/// A rigid motion that lays a molecule on another, the atom for each atom of the other, and the RMSD, Å.
struct Start {
  Motion motion;
  std::vector<int> atom;
  double rmsd;
};

/// A molecule as the starts see it.
struct Shape {
  const double* atoms;     // [n_atoms][3], Å
  const int32_t* element;  // [n_atoms]
  int n_atoms;
};

/// Arrays of the starts.
struct StartMemory {
  AtomMemory atoms;
  std::vector<double> other, picked, around;
  std::vector<double> between;  // distances of the atoms of the other molecule
  std::vector<int> atom;
};

/// Atoms of b chosen for those of a after its principal axes were laid on those of a, in all eight ways. Of the mirror
/// image of b they are the same in reverse.
std::vector<std::vector<int>> axis_choices(const AtomPlan& plan, const double* a, const double* b, StartMemory& memory);

/// Motions found by turns of assigning atoms and fitting, from some choices of atoms; distinct ones, at most 16, lowest
/// RMSD first. `b` [n_atoms][3] is the other molecule, inverted if its mirror image is meant.
std::vector<Start> refined_starts(const AtomPlan& plan, const double* a, const double* b,
                                  const std::vector<std::vector<int>>& choices, StartMemory& memory);

/// An overlay of two molecules that changes distances little, of the other molecule as it is and inverted.
struct Isometry {
  Start proper, improper;
};

/// All of them: the images of four atoms far from each other say where the rest must lie.
std::vector<Isometry> near_isometries(const Shape& a, const Shape& b, StartMemory& memory);

/// Those isometries of one handedness that are no repeat of a start or of each other.
std::vector<Start> further_starts(const std::vector<Isometry>& isometries, bool inverted,
                                  const std::vector<Start>& starts);

}  // namespace packflow::cpu
