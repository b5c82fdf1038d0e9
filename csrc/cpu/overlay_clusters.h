#pragma once

#include <vector>

#include "overlay_motion.h"
#include "packflow/packing_similarity.h"

namespace packflow::cpu {

/// A structure, prepared once.
struct Packing {
  const double* cell = nullptr;  // [3][3]
  int reach = 0;
  std::vector<const double*> atoms;  // of each molecule, [n_atoms][3]
  std::vector<int> kind, n_atoms;
  std::vector<Vec3> centroid;
  std::vector<double> radius;  // of the atoms from the centroid, Å
  std::vector<int> central;    // molecules to start from, one of each conformation

  int n_molecules() const { return int(kind.size()); }
};

/// Species of the largest molecules; of several the first.
int largest_species(const MoleculeKinds& kinds, const Packing& packing);

/// First atom of each molecule of all structures, then the number of all.
std::vector<int64_t> first_atoms(const MoleculeKinds& kinds, const MolecularPackings& packings);

/// A structure without its `central`.
Packing make_packing(const MolecularPackings& packings, const std::vector<int64_t>& first_atom, int64_t structure);

/// Molecules of the species, the nearest to the middle of the cell first, one of each conformation, at most six.
std::vector<int> central_molecules(const MoleculeKinds& kinds, const Packing& packing, int species);

/// Molecules of the cells from -reach to reach along each axis.
struct Images {
  std::vector<Vec3> centroid, offset;  // offset from the molecule of the cell, Å
  std::vector<int> molecule;

  int size() const { return int(molecule.size()); }

  /// One of other images.
  void add(const Images& from, int k) {
    centroid.push_back(from.centroid[k]);
    offset.push_back(from.offset[k]);
    molecule.push_back(from.molecule[k]);
  }
};

void list_images(const Packing& packing, Images& images);

/// A central molecule and those in closest contact with it.
struct Cluster {
  std::vector<int> molecule;    // of the cell
  std::vector<Vec3> centroid;   // Å
  std::vector<double> atoms;    // molecule after molecule, [..][3], Å
  std::vector<int> first_atom;  // of each molecule in `atoms`
  Vec3 center;                  // mean of the centroids
  double radius;                // of the centroids from it, Å

  int size() const { return int(molecule.size()); }
  const double* atoms_of(int k) const { return atoms.data() + 3 * size_t(first_atom[k]); }
};

Cluster make_cluster(const Packing& packing, int central, int n_molecules);

}  // namespace packflow::cpu
