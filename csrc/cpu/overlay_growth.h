#pragma once

#include <functional>
#include <vector>

#include "overlay_clusters.h"
#include "overlay_starts.h"

namespace packflow::cpu {

/// Plan of two kinds.
using PlanOf = std::function<const AtomPlan&(int, int)>;

/// How much of a cluster a start came to: molecules that match and the RMSD of their atoms, Å; 0 and NaN without one.
struct Grown {
  int n_matched;
  double rmsd;
};

/// The other structure around the molecule that is laid on the central one.
struct Surroundings {
  const Packing* packing;
  double sign;    // -1 for the mirror image
  int center;     // place in `images` of that molecule
  Images images;  // all that can come near the cluster
  double limit;   // Å from the cluster's center, beyond which none is assigned
};

/// Arrays of the growth.
struct GrowthMemory {
  AssignmentMemory assignment;
  AtomMemory atoms;
  std::vector<int> image, outer;  // what is near: places among the images
  std::vector<double> x, y, z;    // its centroids, moved
  std::vector<double> costs;      // [n of the cluster][n near], squared distances or distances
  std::vector<int> listed;        // [n of the cluster], how many of them are there
  std::vector<char> rooted;       // [n of the cluster], whether they are distances
  std::vector<double> least;      // [n of the cluster], the shortest, Å
  std::vector<int> cheapest, alone;
  std::vector<double> other, from, to;
};

/// Whether all molecules of two structures are of one species.
bool one_species(const MoleculeKinds& kinds, const Packing& one, const Packing& other);

/// Grows starts of one cluster and one handedness of its surroundings.
class Growth {
 public:
  Growth(const MoleculeKinds& kinds, const Packing& reference, const Cluster& cluster, const Surroundings& around,
         double tolerance, const PlanOf& plan_of, GrowthMemory& memory)
      : kinds_(kinds),
        reference_(reference),
        cluster_(cluster),
        around_(around),
        tolerance_(tolerance),
        plan_of_(plan_of),
        m_(memory),
        one_species_(one_species(kinds, reference, *around.packing)) {}

  Grown grown(const Start& start);

 private:
  /// A molecule of the cluster and the image that it is assigned to.
  struct Match {
    int molecule, image;
    std::vector<int> atom;
    double rmsd;
  };

  void find_near(const Motion& motion);
  void set_squares(int i, int first, int last);
  void find_nearest(const Motion& motion);
  void list_all(int i);
  const std::vector<int>& assigned(const Motion& motion, double limit);
  void match(const Motion& motion, double limit);
  std::vector<Match> below(double limit) const;
  void fit(const std::vector<Match>& inliers, Motion& motion, double& rmsd);
  double rmsd_of_matches(const std::vector<Match>& matches) const;
  Vec3 atom_of(int image, int i) const;
  bool differ(int molecule, int image) const;

  const MoleculeKinds& kinds_;
  const Packing& reference_;
  const Cluster& cluster_;
  const Surroundings& around_;
  double tolerance_;
  const PlanOf& plan_of_;
  GrowthMemory& m_;
  const bool one_species_;
  int n_inner_ = 0, n_columns_ = 0;
  std::vector<Match> matches_;
};

}  // namespace packflow::cpu
