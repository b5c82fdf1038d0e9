#include "overlay_molecules.h"

#include <algorithm>
#include <cmath>

namespace packflow::cpu {
namespace {

// Cost of molecules of two species, more than all others together.
constexpr double kForbidden = 1e9;
// Cost of no molecule, where there are fewer than the cluster has: more than any distance.
constexpr double kNone = 1e6;
// Å; centroids that coincide but for rounding.
constexpr double kOnTop = 1e-9;

/// The place of the least of n values, at least one.
int least_of(const double* values, int n) {
  // lanes that do not wait for each other
  constexpr int kLanes = 8;
  double lane[kLanes];
  std::fill(lane, lane + kLanes, values[0]);
  int k = 0;
  for (; k + kLanes <= n; k += kLanes) {
    for (int l = 0; l < kLanes; ++l) lane[l] = std::min(lane[l], values[k + l]);
  }
  for (; k < n; ++k) lane[0] = std::min(lane[0], values[k]);
  return int(std::find(values, values + n, *std::min_element(lane, lane + kLanes)) - values);
}

}  // namespace

MoleculeAssignment::MoleculeAssignment(const MoleculeKinds& kinds, const Packing& reference, const Cluster& cluster,
                                       const Surroundings& around, MoleculeMemory& memory)
    : kinds_(kinds), reference_(reference), cluster_(cluster), around_(around), m_(memory) {
  const auto same = [&](int kind) { return kinds.species[kind] == kinds.species[reference.kind[0]]; };
  const std::vector<int>&one = reference.kind, &other = around.packing->kind;
  one_species_ = std::all_of(one.begin(), one.end(), same) && std::all_of(other.begin(), other.end(), same);
  stride_ = size_t(std::max(cluster.size(), around.images.size()));
}

void MoleculeAssignment::begin(const Motion& motion) {
  center_ = origin_of(motion, cluster_.center);
  const double inner = std::min(around_.limit, cluster_.radius + kInner);
  m_.near.clear();
  m_.outer.clear();
  outer_listed_ = false;
  for (int k = 0; k < around_.n_core; ++k) {
    const Vec3 d = subtract(scaled(around_.images.centroid[k], around_.sign), center_);
    const double distance2 = dot(d, d);
    if (distance2 <= inner * inner) {
      m_.near.push_back(k);
    } else if (distance2 <= around_.limit * around_.limit) {
      m_.outer.push_back(k);
    }
  }
  n_inner_ = int(m_.near.size());
}

/// One more column, moved.
void MoleculeAssignment::add_near(int image) {
  const Vec3 c = moved(motion_, scaled(around_.images.centroid[image], around_.sign));
  m_.x.push_back(c.x);
  m_.y.push_back(c.y);
  m_.z.push_back(c.z);
}

/// Makes all columns known, those without a molecule among them.
int MoleculeAssignment::n_all() {
  if (!outer_listed_) {
    for (int k = around_.n_core; k < around_.images.size(); ++k) {
      const Vec3 d = subtract(scaled(around_.images.centroid[k], around_.sign), center_);
      if (dot(d, d) <= around_.limit * around_.limit) m_.outer.push_back(k);
    }
    outer_listed_ = true;
  }
  if (int(m_.near.size()) == n_inner_) {
    m_.near.insert(m_.near.end(), m_.outer.begin(), m_.outer.end());
    for (const int image : m_.outer) add_near(image);
  }
  n_columns_ = std::max(cluster_.size(), int(m_.near.size()));
  return n_columns_;
}

/// Squared distances of molecule i of the cluster from what is known.
void MoleculeAssignment::list(int i) {
  const int first = m_.listed[i], last = std::min(n_columns_, int(m_.near.size()));
  const Vec3 c = cluster_.centroid[i];
  const double *x = m_.x.data(), *y = m_.y.data(), *z = m_.z.data();
  double* squares = row(i);
#pragma omp simd
  for (int k = first; k < last; ++k) {
    const double dx = x[k] - c.x, dy = y[k] - c.y, dz = z[k] - c.z;
    squares[k] = dx * dx + dy * dy + dz * dz;
  }
  const int own = kinds_.species[reference_.kind[cluster_.molecule[i]]];
  for (int k = first; k < last && !one_species_; ++k) {
    const int kind = around_.packing->kind[around_.images.molecule[m_.near[k]]];
    if (kinds_.species[kind] != own) squares[k] = kForbidden * kForbidden;
  }
  for (int k = std::max(first, last); k < n_columns_; ++k) squares[k] = kNone * kNone;
  m_.listed[i] = n_columns_;
}

/// The distances in a row: roots are taken where it is asked for.
const double* MoleculeAssignment::of(int i) {
  if (m_.listed[i] < n_columns_) list(i);
  double* costs = row(i);
  for (int k = m_.rooted[i]; k < n_columns_; ++k) costs[k] = std::sqrt(costs[k]);
  m_.rooted[i] = n_columns_;
  return costs;
}

/// The nearest image of each molecule of the cluster; where none is within kInner, of all.
void MoleculeAssignment::find_nearest() {
  const int n = cluster_.size();
  for (int i = 0; i < n; ++i) {
    list(i);
    int k = n_columns_ > 0 ? least_of(row(i), n_columns_) : -1;
    if (k < 0 || row(i)[k] > kInner * kInner) {
      n_all();
      list(i);
      k = least_of(row(i), n_columns_);
    }
    m_.cheapest[i] = k;
    m_.least[i] = std::sqrt(row(i)[k]);
  }
}

/// Where the central molecule lies on an image and no other is nearer than the limit to any, that is all there is: an
/// assignment that gave the image to another molecule, and another image to the central one, would not get longer
/// by their exchange (triangle inequality).
const std::vector<int>& MoleculeAssignment::images(const Motion& motion, double limit) {
  const int n = cluster_.size();
  motion_ = motion;
  m_.near.resize(n_inner_);
  for (std::vector<double>* v : {&m_.x, &m_.y, &m_.z}) v->clear();
  for (const int image : m_.near) add_near(image);
  n_columns_ = n_inner_;
  m_.costs.resize(size_t(n) * stride_);
  m_.listed.assign(n, 0);
  m_.rooted.assign(n, 0);
  m_.least.resize(n);
  m_.cheapest.resize(n);
  find_nearest();
  m_.image.assign(n, -1);
  const auto is_near = [&](double distance) { return distance < limit; };
  if (one_species_ && m_.least[0] < kOnTop && std::count_if(m_.least.begin(), m_.least.end(), is_near) == 1) {
    m_.image[0] = m_.near[m_.cheapest[0]];
    return m_.image;
  }
  const std::vector<int>& columns = Assignment(*this, m_.assignment).solve(n, m_.cheapest.data(), m_.least.data());
  for (int i = 0; i < n; ++i) {
    const int k = columns[i];
    if (k >= int(m_.near.size())) continue;
    const Vec3 d = subtract({m_.x[k], m_.y[k], m_.z[k]}, cluster_.centroid[i]);
    const int one = reference_.kind[cluster_.molecule[i]];
    const int other = around_.packing->kind[around_.images.molecule[m_.near[k]]];
    if (dot(d, d) < limit * limit && kinds_.species[one] == kinds_.species[other]) m_.image[i] = m_.near[k];
  }
  return m_.image;
}

}  // namespace packflow::cpu
