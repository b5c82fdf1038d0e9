#include "overlay_growth.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace packflow::cpu {
namespace {

constexpr int kMaxFits = 8;
// Å; the first fit takes in molecules that are off by more than the tolerance, or one alone could not move any.
constexpr double kWide = 1.5;
// Å; fits end where the RMSD changes less.
constexpr double kSettled = 1e-5;

}  // namespace

Vec3 Growth::atom_of(int image, int i) const {
  const int molecule = around_.images.molecule[image];
  const Vec3 x = scaled(point(around_.packing->atoms[molecule] + 3 * i), around_.sign);
  return add(x, scaled(around_.images.offset[image], around_.sign));
}

/// The matches of this motion whose centroids are nearer than the limit, which no RMSD is below.
void Growth::match(const Motion& motion, double limit) {
  matches_.clear();
  const std::vector<int>& images = assignment_.images(motion, limit);
  for (int i = 0; i < cluster_.size(); ++i) {
    const int image = images[i];
    if (image < 0) continue;
    const int molecule = around_.images.molecule[image], n = around_.packing->n_atoms[molecule];
    m_.other.resize(3 * size_t(n));
    for (int k = 0; k < n; ++k) store(m_.other.data() + 3 * k, moved(motion, atom_of(image, k)));
    const AtomPlan& plan = plan_of_(reference_.kind[cluster_.molecule[i]], around_.packing->kind[molecule]);
    Match found = {i, image, std::vector<int>(n), 0.0};
    found.rmsd = match_atoms(plan, cluster_.atoms_of(i), m_.other.data(), found.atom.data(), m_.atoms);
    matches_.push_back(std::move(found));
  }
}

std::vector<Growth::Match> Growth::below(double limit) const {
  std::vector<Match> found;
  for (const Match& match : matches_) {
    if (match.rmsd < limit) found.push_back(match);
  }
  return found;
}

/// The motion that lays the matches on each other best, and their RMSD by it.
void Growth::fit(const std::vector<Match>& inliers, Motion& motion, double& rmsd) {
  m_.from.clear();
  m_.to.clear();
  for (const Match& match : inliers) {
    const double* atoms = cluster_.atoms_of(match.molecule);
    for (size_t i = 0; i < match.atom.size(); ++i) {
      const Vec3 x = atom_of(match.image, match.atom[i]);
      m_.from.insert(m_.from.end(), {x.x, x.y, x.z});
      m_.to.insert(m_.to.end(), atoms + 3 * i, atoms + 3 * i + 3);
    }
  }
  const int n = int(m_.to.size() / 3);
  motion = fitted(m_.from.data(), m_.to.data(), n);
  rmsd = rmsd_of(motion, m_.from.data(), m_.to.data(), n);
}

double Growth::rmsd_of_matches(const std::vector<Match>& matches) const {
  double sum = 0;
  size_t n = 0;
  for (const Match& match : matches) {
    sum += match.rmsd * match.rmsd * double(match.atom.size());
    n += match.atom.size();
  }
  return std::sqrt(sum / double(n));
}

Grown Growth::grown(const Start& start) {
  Motion motion = start.motion;
  // what the motion was fitted to: the same again would give the same motion, and need not be fitted or assigned anew
  std::vector<Match> base = {{0, around_.center, start.atom, start.rmsd}};
  const auto same = [](const Match& p, const Match& q) {
    return p.molecule == q.molecule && p.image == q.image && p.atom == q.atom;
  };
  assignment_.begin(motion);
  bool matched = false;
  double before = std::numeric_limits<double>::infinity();
  for (int k = 0; k < kMaxFits; ++k) {
    const double limit = k == 0 ? std::max(kWide, tolerance_) : tolerance_;
    if (!matched) match(motion, limit);
    matched = true;
    std::vector<Match> inliers = below(limit);
    if (inliers.empty()) break;
    double rmsd;
    if (std::equal(inliers.begin(), inliers.end(), base.begin(), base.end(), same)) {
      rmsd = rmsd_of_matches(inliers);
    } else {
      fit(inliers, motion, rmsd);
      base = std::move(inliers);
      matched = false;
    }
    if (limit == tolerance_ && std::fabs(before - rmsd) < kSettled) break;
    before = rmsd;
  }
  if (!matched) match(motion, tolerance_);
  const std::vector<Match> found = below(tolerance_);
  if (found.empty()) return {0, std::numeric_limits<double>::quiet_NaN()};
  return {int(found.size()), rmsd_of_matches(found)};
}

}  // namespace packflow::cpu
