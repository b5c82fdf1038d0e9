#include "overlay_clusters.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace packflow::cpu {
namespace {

// Conformations that are started from, in each structure.
constexpr int kMaxCentral = 6;
// Distances within a molecule are compared in steps of 0.01 Å.
constexpr double kStepsPerAngstrom = 100.0;

/// All distances within a molecule in steps, ascending: what two molecules of one conformation have in common.
std::vector<int> fingerprint(const double* x, int n) {
  std::vector<int> steps;
  steps.reserve(size_t(n) * (n - 1) / 2);
  for (int i = 0; i < n; ++i) {
    for (int j = i + 1; j < n; ++j) {
      const Vec3 d = subtract(point(x + 3 * i), point(x + 3 * j));
      steps.push_back(int(std::nearbyint(std::sqrt(dot(d, d)) * kStepsPerAngstrom)));
    }
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

/// Lattice vectors i a + j b + k c, rounded as a matrix product with fused multiplications and additions rounds them:
/// contacts that are equal by symmetry differ by rounding alone, and the last molecule of a cluster may be one of them.
Vec3 lattice_vector(const double* cell, int i, int j, int k) {
  double v[3];
  for (int x = 0; x < 3; ++x) v[x] = std::fma(k, cell[6 + x], std::fma(j, cell[3 + x], i * cell[x]));
  return {v[0], v[1], v[2]};
}

/// Distance of the nearest atoms of a molecule and one of its neighbors, Å.
double contact(const Packing& packing, int central, int molecule, Vec3 offset) {
  double least = std::numeric_limits<double>::infinity();
  for (int j = 0; j < packing.n_atoms[molecule]; ++j) {
    const Vec3 q = add(point(packing.atoms[molecule] + 3 * j), offset);
    for (int i = 0; i < packing.n_atoms[central]; ++i) {
      const Vec3 d = subtract(q, point(packing.atoms[central] + 3 * i));
      least = std::min(least, dot(d, d));
    }
  }
  return std::sqrt(least);
}

/// Images with the shortest contacts, ascending; of equal ones the central molecule itself, then in the order of the
/// images.
std::vector<int> nearest_images(const Packing& packing, const Images& images, int central, int n) {
  struct Bound {
    double distance;
    int image;
  };
  std::vector<Bound> bounds(images.size()), found;
  for (int k = 0; k < images.size(); ++k) {
    const Vec3 d = subtract(images.centroid[k], packing.centroid[central]);
    const double between = std::sqrt(dot(d, d)) - packing.radius[central] - packing.radius[images.molecule[k]];
    bounds[k] = {std::max(0.0, between), k};
  }
  // few are looked at: a heap gives them in order
  const auto farther = [](const Bound& p, const Bound& q) { return p.distance > q.distance; };
  std::make_heap(bounds.begin(), bounds.end(), farther);
  const auto before = [&](const Bound& p, const Bound& q) {
    const auto itself = [&](int k) {
      return images.molecule[k] == central && dot(images.offset[k], images.offset[k]) == 0.0;
    };
    if (p.distance != q.distance) return p.distance < q.distance;
    if (itself(p.image) != itself(q.image)) return itself(p.image);
    return p.image < q.image;
  };
  while (!bounds.empty()) {
    std::pop_heap(bounds.begin(), bounds.end(), farther);
    const Bound bound = bounds.back();
    bounds.pop_back();
    // `found` is ascending: no contact is shorter than its bound
    if (int(found.size()) >= n && bound.distance > found[n - 1].distance) break;
    const int k = bound.image;
    const Bound one = {contact(packing, central, images.molecule[k], images.offset[k]), k};
    found.insert(std::upper_bound(found.begin(), found.end(), one, before), one);
  }
  found.resize(std::min<size_t>(found.size(), n));
  std::vector<int> nearest;
  for (const Bound& one : found) nearest.push_back(one.image);
  return nearest;
}

}  // namespace

std::vector<int64_t> first_atoms(const MoleculeKinds& kinds, const MolecularPackings& packings) {
  const int64_t n = packings.molecule_ptr[packings.n_structures];
  std::vector<int64_t> first(n + 1, 0);
  for (int64_t m = 0; m < n; ++m) {
    first[m + 1] = first[m] + kinds.atom_ptr[packings.kind[m] + 1] - kinds.atom_ptr[packings.kind[m]];
  }
  return first;
}

Packing make_packing(const MolecularPackings& packings, const std::vector<int64_t>& first_atom, int64_t structure) {
  Packing p;
  p.cell = packings.cell + 9 * structure;
  p.reach = packings.reach[structure];
  for (int64_t m = packings.molecule_ptr[structure]; m < packings.molecule_ptr[structure + 1]; ++m) {
    const double* atoms = packings.positions + 3 * first_atom[m];
    const int n = int(first_atom[m + 1] - first_atom[m]);
    p.atoms.push_back(atoms);
    p.kind.push_back(packings.kind[m]);
    p.n_atoms.push_back(n);
    p.centroid.push_back(mean(atoms, n));
    double radius2 = 0;
    for (int i = 0; i < n; ++i) {
      const Vec3 d = subtract(point(atoms + 3 * i), p.centroid.back());
      radius2 = std::max(radius2, dot(d, d));
    }
    p.radius.push_back(std::sqrt(radius2));
  }
  return p;
}

int largest_species(const MoleculeKinds& kinds, const Packing& packing) {
  int best = packing.kind[0], size = packing.n_atoms[0];
  for (int m = 1; m < packing.n_molecules(); ++m) {
    const int kind = packing.kind[m], n = packing.n_atoms[m];
    if (n > size || (n == size && kinds.species[kind] < kinds.species[best])) best = kind, size = n;
  }
  return kinds.species[best];
}

std::vector<int> central_molecules(const MoleculeKinds& kinds, const Packing& packing, int species) {
  const Vec3 middle = mean(&packing.centroid[0].x, packing.n_molecules());
  std::vector<double> distance(packing.n_molecules());
  std::vector<int> order;
  for (int m = 0; m < packing.n_molecules(); ++m) {
    const Vec3 d = subtract(packing.centroid[m], middle);
    // two molecules are equally far from their middle, and rounding decides: as in a dot product of BLAS
    distance[m] = std::sqrt(std::fma(d.z, d.z, std::fma(d.y, d.y, d.x * d.x)));
    if (kinds.species[packing.kind[m]] == species) order.push_back(m);
  }
  std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return distance[i] < distance[j]; });
  std::vector<int> kept;
  std::vector<std::vector<int>> seen;
  for (const int m : order) {
    std::vector<int> mine = fingerprint(packing.atoms[m], packing.n_atoms[m]);
    if (std::find(seen.begin(), seen.end(), mine) != seen.end()) continue;
    seen.push_back(std::move(mine));
    kept.push_back(m);
    if (int(kept.size()) == kMaxCentral) break;
  }
  return kept;
}

void list_images(const Packing& packing, Images& images) {
  images.centroid.clear();
  images.offset.clear();
  images.molecule.clear();
  const int reach = packing.reach;
  for (int i = -reach; i <= reach; ++i) {
    for (int j = -reach; j <= reach; ++j) {
      for (int k = -reach; k <= reach; ++k) {
        const Vec3 offset = lattice_vector(packing.cell, i, j, k);
        for (int m = 0; m < packing.n_molecules(); ++m) {
          images.centroid.push_back(add(packing.centroid[m], offset));
          images.offset.push_back(offset);
          images.molecule.push_back(m);
        }
      }
    }
  }
}

Cluster make_cluster(const Packing& packing, int central, int n_molecules) {
  Images images;
  list_images(packing, images);
  Cluster cluster;
  for (const int k : nearest_images(packing, images, central, n_molecules)) {
    const int molecule = images.molecule[k], n = packing.n_atoms[molecule];
    cluster.molecule.push_back(molecule);
    cluster.first_atom.push_back(int(cluster.atoms.size() / 3));
    for (int i = 0; i < n; ++i) {
      const Vec3 x = add(point(packing.atoms[molecule] + 3 * i), images.offset[k]);
      cluster.atoms.insert(cluster.atoms.end(), {x.x, x.y, x.z});
    }
    cluster.centroid.push_back(mean(cluster.atoms_of(cluster.size() - 1), n));
  }
  cluster.center = mean(&cluster.centroid[0].x, cluster.size());
  cluster.radius = 0;
  for (const Vec3 c : cluster.centroid) {
    const Vec3 d = subtract(c, cluster.center);
    cluster.radius = std::max(cluster.radius, std::sqrt(dot(d, d)));
  }
  return cluster;
}

}  // namespace packflow::cpu
