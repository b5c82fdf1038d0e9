#include "packflow/packing_similarity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "overlay_growth.h"
#include "parallel.h"

namespace packflow::cpu {
namespace {

// Å; molecules this far beyond the cluster's own diameter are assigned to none of it.
constexpr double kMargin = 6.0;
// Å; a start reaches a molecule of the cluster if it brings a centroid so near.
constexpr double kReached = 2.0;
static_assert(kReached < kInner, "what is looked at must hold all that is near enough");

/// Arrays of one thread.
struct Memory {
  std::map<std::pair<int, int>, AtomPlan> plans;
  StartMemory starts;
  GrowthMemory growth;
  Images images;
  std::vector<double> inverted;
  std::vector<double> x, y, z, of_species;  // of what a start brings near the cluster
};

/// A structure and, if it is a reference, its clusters, one per central molecule.
struct Prepared {
  Packing packing;
  std::vector<Cluster> clusters;
};

/// A start that is grown if it reaches as many molecules as the best result so far has.
struct Ranked {
  int score;
  Start start;
};

/// The search of one pair.
class Search {
 public:
  Search(const MoleculeKinds& kinds, const Prepared& reference, const Packing& other, const OverlayTask& task,
         Memory& memory)
      : kinds_(kinds), reference_(reference), other_(other), task_(task), m_(memory) {
    plan_of_ = [this](int a, int b) -> const AtomPlan& {
      const auto found = m_.plans.find({a, b});
      return found != m_.plans.end() ? found->second
                                     : m_.plans.emplace(std::pair(a, b), make_plan(kinds_, a, b)).first->second;
    };
  }

  Grown best() {
    list_images(other_, m_.images);
    const int species = largest_species(kinds_, reference_.packing);
    // the largest molecules of the reference are not always the largest of the other structure
    const bool same = largest_species(kinds_, other_) == species;
    const std::vector<int> central = same ? other_.central : central_molecules(kinds_, other_, species);
    for (size_t a = 0; a < reference_.clusters.size(); ++a) {
      for (const int b : central) compare(reference_.packing.central[a], reference_.clusters[a], b);
    }
    return best_;
  }

 private:
  Shape shape(const Packing& packing, int molecule) const {
    const int kind = packing.kind[molecule];
    return {packing.atoms[molecule], kinds_.element + kinds_.atom_ptr[kind], packing.n_atoms[molecule]};
  }

  /// All starts that lay molecule b of the other structure on molecule a.
  void compare(int a, const Cluster& cluster, int b) {
    const Shape one = shape(reference_.packing, a), two = shape(other_, b);
    const AtomPlan& plan = plan_of_(reference_.packing.kind[a], other_.kind[b]);
    const std::vector<Isometry> isometries = near_isometries(one, two, m_.starts);
    std::vector<std::vector<int>> choices = plan.starts;
    const bool by_axes = choices.empty();
    if (by_axes) choices = axis_choices(plan, one.atoms, two.atoms, m_.starts);
    Surroundings around = surroundings(a, cluster, b);
    for (const double sign : {1.0, -1.0}) {
      if (sign < 0 && !task_.mirror) break;
      around.sign = sign;
      m_.inverted.resize(3 * size_t(two.n_atoms));
      for (int i = 0; i < 3 * two.n_atoms; ++i) m_.inverted[i] = sign * two.atoms[i];
      if (sign < 0 && by_axes) std::reverse(choices.begin(), choices.end());
      const std::vector<Start> starts = refined_starts(plan, one.atoms, m_.inverted.data(), choices, m_.starts);
      std::vector<Ranked> ranked;
      for (Start& start : further_starts(isometries, sign < 0, starts)) {
        ranked.push_back({reached(cluster, around, b, start.motion), std::move(start)});
      }
      std::stable_sort(ranked.begin(), ranked.end(), [](const Ranked& p, const Ranked& q) {
        return p.score != q.score ? p.score > q.score : p.start.rmsd < q.start.rmsd;
      });
      Growth growth(kinds_, reference_.packing, cluster, around, task_.tolerance, plan_of_, m_.growth);
      for (const Start& start : starts) keep(growth.grown(start), task_.n_molecules);
      for (const Ranked& r : ranked) {
        if (r.score < best_.n_matched || (best_.n_matched >= task_.n_molecules && r.score < full_score_)) continue;
        keep(growth.grown(r.start), r.score);
      }
    }
  }

  /// Images that a motion can bring within the limit: every start brings the centroid of b to that of a.
  Surroundings surroundings(int a, const Cluster& cluster, int b) const {
    Surroundings around;
    around.packing = &other_;
    around.limit = 2.0 * cluster.radius + kMargin;
    const Vec3 aside = subtract(cluster.center, reference_.packing.centroid[a]);
    const double slack = std::sqrt(dot(aside, aside)) + 1e-3;
    const double core = std::min(around.limit, cluster.radius + kInner) + slack, reach = around.limit + slack;
    std::vector<int> rest;
    for (int k = 0; k < m_.images.size(); ++k) {
      const Vec3 d = subtract(m_.images.centroid[k], other_.centroid[b]);
      const double distance2 = dot(d, d);
      if (distance2 > reach * reach) continue;
      if (distance2 > core * core) {
        rest.push_back(k);
        continue;
      }
      if (m_.images.molecule[k] == b && distance2 == 0.0) around.center = around.images.size();
      around.images.add(m_.images, k);
    }
    around.n_core = around.images.size();
    for (const int k : rest) around.images.add(m_.images, k);
    return around;
  }

  /// Molecules of the cluster to which a start brings one of their species, of those within the limit of b.
  int reached(const Cluster& cluster, const Surroundings& around, int b, const Motion& motion) {
    const Images& images = around.images;
    const double far = cluster.radius + kReached;
    for (std::vector<double>* v : {&m_.x, &m_.y, &m_.z, &m_.of_species}) v->clear();
    // beyond the core none is near any molecule of the cluster
    for (int k = 0; k < around.n_core; ++k) {
      const Vec3 d = subtract(images.centroid[k], other_.centroid[b]);
      if (dot(d, d) > around.limit * around.limit) continue;
      const Vec3 c = moved(motion, scaled(images.centroid[k], around.sign)), aside = subtract(c, cluster.center);
      if (dot(aside, aside) > far * far) continue;
      m_.x.push_back(c.x);
      m_.y.push_back(c.y);
      m_.z.push_back(c.z);
      m_.of_species.push_back(kinds_.species[other_.kind[images.molecule[k]]]);
    }
    int n = 0;
    for (int i = 0; i < cluster.size(); ++i) {
      n += reaches(cluster.centroid[i], kinds_.species[reference_.packing.kind[cluster.molecule[i]]]);
    }
    return n;
  }

  /// Whether a molecule of the species is near the place.
  bool reaches(Vec3 place, double species) const {
    const double *x = m_.x.data(), *y = m_.y.data(), *z = m_.z.data(), *of_species = m_.of_species.data();
    const int n = int(m_.x.size());
    int any = 0;
#pragma omp simd reduction(| : any)
    for (int k = 0; k < n; ++k) {
      const double dx = x[k] - place.x, dy = y[k] - place.y, dz = z[k] - place.z;
      any |= int(dx * dx + dy * dy + dz * dz < kReached * kReached) & int(of_species[k] == species);
    }
    return any != 0;
  }

  void keep(const Grown& grown, int score) {
    const int n = task_.n_molecules;
    if (grown.n_matched >= n && best_.n_matched < n) full_score_ = score;
    if (grown.n_matched > best_.n_matched || (grown.n_matched == best_.n_matched && grown.rmsd < best_.rmsd))
      best_ = grown;
  }

  const MoleculeKinds& kinds_;
  const Prepared& reference_;
  const Packing& other_;
  const OverlayTask& task_;
  Memory& m_;
  PlanOf plan_of_;
  Grown best_ = {0, std::numeric_limits<double>::quiet_NaN()};
  int full_score_ = -1;  // of the start that first matched the whole cluster
};

}  // namespace

void packing_similarity(const MoleculeKinds& kinds, const MolecularPackings& packings, const OverlayTask& task,
                        int32_t* n_matched, double* rmsd, int n_threads) {
  const std::vector<int64_t> first_atom = first_atoms(kinds, packings);
  std::vector<char> used(packings.n_structures, 0), is_reference(packings.n_structures, 0);
  for (int64_t k = 0; k < task.n_pairs; ++k) {
    used[task.pairs[2 * k]] = used[task.pairs[2 * k + 1]] = 1;
    is_reference[task.pairs[2 * k]] = 1;
  }
  std::vector<Prepared> prepared(packings.n_structures);
  for_each<Memory>(packings.n_structures, n_threads, [&](int64_t s, Memory&) {
    if (!used[s]) return;
    Packing& packing = prepared[s].packing = make_packing(packings, first_atom, s);
    packing.central = central_molecules(kinds, packing, largest_species(kinds, packing));
    if (!is_reference[s]) return;
    for (const int a : packing.central) prepared[s].clusters.push_back(make_cluster(packing, a, task.n_molecules));
  });
  for_each<Memory>(task.n_pairs, n_threads, [&](int64_t k, Memory& memory) {
    const Packing& other = prepared[task.pairs[2 * k + 1]].packing;
    const Grown found = Search(kinds, prepared[task.pairs[2 * k]], other, task, memory).best();
    n_matched[k] = found.n_matched;
    rmsd[k] = found.rmsd;
  });
}

}  // namespace packflow::cpu
