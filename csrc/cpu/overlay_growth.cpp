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
// Å; beyond the cluster's radius and this, no image is the nearest of a molecule that has one within this.
constexpr double kInner = 6.0;
// Å; centroids that coincide but for rounding.
constexpr double kOnTop = 1e-9;

/// The place of the least of n values, and that value; place 0 and the value as it was if none is below it.
int nearest_of(const double* values, int n, double& least) {
  double lowest = least;
#pragma omp simd reduction(min : lowest)
  for (int k = 0; k < n; ++k) lowest = std::min(lowest, values[k]);
  if (!(lowest < least)) return 0;
  least = lowest;
  return int(std::find(values, values + n, lowest) - values);
}

}  // namespace

bool one_species(const MoleculeKinds& kinds, const Packing& one, const Packing& other) {
  const auto same = [&](int kind) { return kinds.species[kind] == kinds.species[one.kind[0]]; };
  return std::all_of(one.kind.begin(), one.kind.end(), same) && std::all_of(other.kind.begin(), other.kind.end(), same);
}

Vec3 Growth::atom_of(int image, int i) const {
  const int molecule = around_.images.molecule[image];
  const Vec3 x = scaled(point(around_.packing->atoms[molecule] + 3 * i), around_.sign);
  return add(x, scaled(around_.images.offset[image], around_.sign));
}

bool Growth::differ(int molecule, int image) const {
  if (one_species_) return false;
  const int one = reference_.kind[cluster_.molecule[molecule]];
  return kinds_.species[one] != kinds_.species[around_.packing->kind[around_.images.molecule[image]]];
}

/// Images within the limit of the cluster's center after the motion, those that are nearest to a molecule first.
void Growth::find_near(const Motion& motion) {
  const Vec3 center = origin_of(motion, cluster_.center);
  const double inner = std::min(around_.limit, cluster_.radius + kInner), limit = around_.limit;
  m_.image.clear();
  m_.outer.clear();
  for (int k = 0; k < around_.images.size(); ++k) {
    const Vec3 d = subtract(scaled(around_.images.centroid[k], around_.sign), center);
    const double distance2 = dot(d, d);
    if (distance2 > limit * limit) continue;
    (distance2 <= inner * inner ? m_.image : m_.outer).push_back(k);
  }
  n_inner_ = int(m_.image.size());
  m_.image.insert(m_.image.end(), m_.outer.begin(), m_.outer.end());
}

/// Squared distances of molecule i of the cluster from the moved images first ... last - 1.
void Growth::set_squares(int i, int first, int last) {
  const Vec3 c = cluster_.centroid[i];
  const double *x = m_.x.data(), *y = m_.y.data(), *z = m_.z.data();
  double* row = m_.costs.data() + size_t(i) * n_columns_;
#pragma omp simd
  for (int k = first; k < last; ++k) {
    const double dx = x[k] - c.x, dy = y[k] - c.y, dz = z[k] - c.z;
    row[k] = dx * dx + dy * dy + dz * dz;
  }
  for (int k = first; k < last && !one_species_; ++k) {
    if (differ(i, m_.image[k])) row[k] = kForbidden * kForbidden;
  }
}

/// The nearest image of each molecule of the cluster. Those beyond the inner ones are looked at where they can be
/// nearer.
void Growth::find_nearest(const Motion& motion) {
  const int n = cluster_.size(), n_near = int(m_.image.size());
  n_columns_ = std::max(n, n_near);
  for (std::vector<double>* v : {&m_.x, &m_.y, &m_.z}) v->resize(n_near);
  for (int k = 0; k < n_near; ++k) {
    const Vec3 c = moved(motion, scaled(around_.images.centroid[m_.image[k]], around_.sign));
    m_.x[k] = c.x, m_.y[k] = c.y, m_.z[k] = c.z;
  }
  m_.costs.resize(size_t(n) * n_columns_);
  m_.listed.assign(n, n_inner_);
  m_.least.resize(n);
  m_.cheapest.resize(n);
  for (int i = 0; i < n; ++i) {
    double* row = m_.costs.data() + size_t(i) * n_columns_;
    set_squares(i, 0, n_inner_);
    m_.least[i] = 2.0 * kForbidden * kForbidden;
    m_.cheapest[i] = nearest_of(row, n_inner_, m_.least[i]);
    if (m_.least[i] > kInner * kInner) {
      list_all(i);
      m_.least[i] = 2.0 * kForbidden * kForbidden;
      m_.cheapest[i] = nearest_of(row, n_columns_, m_.least[i]);
    }
    m_.least[i] = std::sqrt(m_.least[i]);
  }
}

/// Squared distances of all images.
void Growth::list_all(int i) {
  const int n_near = int(m_.image.size());
  set_squares(i, m_.listed[i], n_near);
  double* row = m_.costs.data() + size_t(i) * n_columns_;
  std::fill(row + n_near, row + n_columns_, kNone * kNone);
  m_.listed[i] = n_columns_;
}

/// Of each molecule of the cluster the place in m_.image of its own; beyond the end or -1 without one that is nearer
/// than the limit.
///
/// Where the central molecule lies on an image and no other is nearer than the limit to any, that is all there is: an
/// assignment that gave the image to another molecule, and another image to the central one, would not get longer
/// by their exchange (triangle inequality).
const std::vector<int>& Growth::assigned(const Motion& motion, double limit) {
  find_nearest(motion);
  const int n = cluster_.size();
  const auto is_near = [&](double distance) { return distance < limit; };
  if (one_species_ && m_.least[0] < kOnTop && std::count_if(m_.least.begin(), m_.least.end(), is_near) == 1) {
    m_.alone.assign(n, -1);
    m_.alone[0] = m_.cheapest[0];
    return m_.alone;
  }
  m_.rooted.assign(n, 0);
  // squares until a row is asked for
  const auto costs = [&](int i) {
    double* row = m_.costs.data() + size_t(i) * n_columns_;
    if (!m_.rooted[i]) {
      list_all(i);
      for (int k = 0; k < n_columns_; ++k) row[k] = std::sqrt(row[k]);
    }
    m_.rooted[i] = 1;
    return static_cast<const double*>(row);
  };
  return Assignment(m_.assignment).solve(n, n_columns_, m_.cheapest.data(), m_.least.data(), costs);
}

/// The matches of this motion whose centroids are nearer than the limit, which no RMSD is below.
void Growth::match(const Motion& motion, double limit) {
  matches_.clear();
  const std::vector<int>& columns = assigned(motion, limit);
  for (int i = 0; i < cluster_.size(); ++i) {
    const int column = columns[i];
    if (column < 0 || column >= int(m_.image.size())) continue;
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
