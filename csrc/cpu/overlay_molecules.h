#pragma once

#include <vector>

#include "overlay_assignment.h"
#include "overlay_clusters.h"

namespace packflow::cpu {

// Å; beyond the cluster's radius and this no image is as near to a molecule of it.
constexpr double kInner = 6.0;

/// The other structure around the molecule that is laid on the central one.
struct Surroundings {
  const Packing* packing = nullptr;
  double sign = 1.0;  // -1 for the mirror image
  int center = 0;     // place in `images` of that molecule
  Images images;  // all that can come near the cluster, first the n_core that can come within kInner of its molecules
  int n_core = 0;
  double limit = 0.0;  // Å from the cluster's center, beyond which none is assigned
};

/// Arrays of the assignment of molecules.
struct MoleculeMemory {
  AssignmentMemory assignment;
  std::vector<int> near, outer;  // places among the images: of what is known, and of what is not
  std::vector<double> x, y, z;   // centroids of what is known, moved
  std::vector<double> costs;     // [n of the cluster][n_images], squared distances or distances to what is known
  std::vector<int> listed;       // [n of the cluster], how many of them are there
  std::vector<int> rooted;       // [n of the cluster], how many are distances
  std::vector<double> least;     // [n of the cluster], the shortest, Å
  std::vector<int> cheapest, image;
};

/// Assigns the molecules of a cluster to those around: least sum of the distances of their centroids, of one species.
class MoleculeAssignment {
 public:
  MoleculeAssignment(const MoleculeKinds& kinds, const Packing& reference, const Cluster& cluster,
                     const Surroundings& around, MoleculeMemory& memory);

  /// What is near by this motion is what is assigned by it and by others until the next call.
  void begin(const Motion& motion);

  /// Of each molecule of the cluster the place of its own among the images, -1 without one whose centroid is nearer
  /// than the limit, Å. Valid until the next call.
  const std::vector<int>& images(const Motion& motion, double limit);

 private:
  friend class Assignment<MoleculeAssignment>;

  // What Assignment asks for.
  static constexpr double beyond = kInner;
  int n_known() const { return n_columns_; }
  int n_all();
  const double* of(int i);

  void add_near(int image);
  void find_nearest();
  void list(int i);
  double* row(int i) { return m_.costs.data() + size_t(i) * stride_; }

  const MoleculeKinds& kinds_;
  const Packing& reference_;
  const Cluster& cluster_;
  const Surroundings& around_;
  MoleculeMemory& m_;
  bool one_species_;
  Motion motion_ = {};
  Vec3 center_ = {};   // of the cluster, before the first motion
  int n_inner_ = 0;    // known before all is
  int n_columns_ = 0;  // known, or as many as the cluster has if all is
  size_t stride_ = 0;
  bool outer_listed_ = false;  // whether m_.outer is complete
};

}  // namespace packflow::cpu
