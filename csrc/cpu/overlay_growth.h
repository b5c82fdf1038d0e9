#pragma once

#include <functional>
#include <vector>

#include "overlay_molecules.h"
#include "overlay_starts.h"

namespace packflow::cpu {

/// Plan of two kinds.
using PlanOf = std::function<const AtomPlan&(int, int)>;

/// How much of a cluster a start came to: molecules that match and the RMSD of their atoms, Å; 0 and NaN without one.
struct Grown {
  int n_matched;
  double rmsd;
};

/// Arrays of the growth.
struct GrowthMemory {
  MoleculeMemory molecules;
  AtomMemory atoms;
  std::vector<double> other, from, to;
};

/// Grows starts of one cluster and one handedness of its surroundings.
class Growth {
 public:
  Growth(const MoleculeKinds& kinds, const Packing& reference, const Cluster& cluster, const Surroundings& around,
         double tolerance, const PlanOf& plan_of, GrowthMemory& memory)
      : reference_(reference),
        cluster_(cluster),
        around_(around),
        tolerance_(tolerance),
        plan_of_(plan_of),
        m_(memory),
        assignment_(kinds, reference, cluster, around, memory.molecules) {}

  Grown grown(const Start& start);

 private:
  /// A molecule of the cluster and the image that it is assigned to.
  struct Match {
    int molecule, image;
    std::vector<int> atom;
    double rmsd;
  };

  void match(const Motion& motion, double limit);
  std::vector<Match> below(double limit) const;
  void fit(const std::vector<Match>& inliers, Motion& motion, double& rmsd);
  double rmsd_of_matches(const std::vector<Match>& matches) const;
  Vec3 atom_of(int image, int i) const;

  const Packing& reference_;
  const Cluster& cluster_;
  const Surroundings& around_;
  double tolerance_;
  const PlanOf& plan_of_;
  GrowthMemory& m_;
  MoleculeAssignment assignment_;
  std::vector<Match> matches_;
};

}  // namespace packflow::cpu
