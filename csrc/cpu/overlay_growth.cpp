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
// Cost of molecules of two species, more than all others together.
constexpr double kForbidden = 1e9;
// Cost of no molecule, where there are fewer than the cluster has: more than any distance.
constexpr double kNone = 1e6;

}  // namespace

Vec3 Growth::atom_of(int image, int i) const {
  const int molecule = around_.images.molecule[image];
  const Vec3 x = scaled(point(around_.packing->atoms[molecule] + 3 * i), around_.sign);
  return add(x, scaled(around_.images.offset[image], around_.sign));
}

bool Growth::differ(int molecule, int image) const {
  const int one = reference_.kind[cluster_.molecule[molecule]];
  return kinds_.species[one] != kinds_.species[around_.packing->kind[around_.images.molecule[image]]];
}

/// Images within the limit of the cluster's center after the motion.
void Growth::find_near(const Motion& motion) {
  const Vec3 center = origin_of(motion, cluster_.center);
  m_.centroid.clear();
  m_.image.clear();
  for (int k = 0; k < around_.images.size(); ++k) {
    const Vec3 c = scaled(around_.images.centroid[k], around_.sign), d = subtract(c, center);
    if (dot(d, d) > around_.limit * around_.limit) continue;
    m_.centroid.push_back(c);
    m_.image.push_back(k);
  }
}

/// Of each molecule of the cluster the place in m_.image of its own; beyond its end without one.
std::vector<int> Growth::assigned(const Motion& motion) {
  const int n = cluster_.size(), n_near = int(m_.image.size()), n_columns = std::max(n, n_near);
  for (std::vector<double>* v : {&m_.x, &m_.y, &m_.z}) v->resize(n_near);
  for (int k = 0; k < n_near; ++k) {
    const Vec3 c = moved(motion, m_.centroid[k]);
    m_.x[k] = c.x, m_.y[k] = c.y, m_.z[k] = c.z;
  }
  m_.costs.resize(size_t(n) * n_columns);
  m_.has_costs.assign(n, 0);
  m_.least.resize(n);
  m_.cheapest.resize(n);
  const double *x = m_.x.data(), *y = m_.y.data(), *z = m_.z.data();
  for (int i = 0; i < n; ++i) {
    const Vec3 c = cluster_.centroid[i];
    double* row = m_.costs.data() + size_t(i) * n_columns;
#pragma omp simd
    for (int k = 0; k < n_near; ++k) {
      const double dx = x[k] - c.x, dy = y[k] - c.y, dz = z[k] - c.z;
      row[k] = dx * dx + dy * dy + dz * dz;
    }
    for (int k = 0; k < n_near && kinds_.n_kinds > 1; ++k) {
      if (differ(i, m_.image[k])) row[k] = kForbidden * kForbidden;
    }
    std::fill(row + n_near, row + n_columns, kNone * kNone);
    m_.cheapest[i] = int(std::min_element(row, row + n_columns) - row);
    m_.least[i] = std::sqrt(row[m_.cheapest[i]]);
  }
  // squares until a row is asked for
  const auto costs = [&](int i) {
    double* row = m_.costs.data() + size_t(i) * n_columns;
    for (int k = 0; k < n_columns && !m_.has_costs[i]; ++k) row[k] = std::sqrt(row[k]);
    m_.has_costs[i] = 1;
    return static_cast<const double*>(row);
  };
  return Assignment(m_.assignment).solve(n, n_columns, m_.cheapest.data(), m_.least.data(), costs);
}

/// The matches of this motion whose centroids are nearer than the limit, which no RMSD is below.
void Growth::match(const Motion& motion, double limit) {
  matches_.clear();
  const std::vector<int> columns = assigned(motion);
  for (int i = 0; i < cluster_.size(); ++i) {
    const int column = columns[i];
    if (column >= int(m_.image.size())) continue;
    const int image = m_.image[column];
    const double dx = m_.x[column] - cluster_.centroid[i].x, dy = m_.y[column] - cluster_.centroid[i].y;
    const double dz = m_.z[column] - cluster_.centroid[i].z;
    if (dx * dx + dy * dy + dz * dz >= limit * limit || differ(i, image)) continue;
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
  find_near(motion);
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
