#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "overlay_starts.h"

namespace packflow::cpu {
namespace {

// Å; distances of four atoms may differ by the first, or by the second if that found fewer than two overlays.
constexpr double kSlack[] = {0.3, 0.6};
// Å; farther from where it should be, an atom is not the image of another.
constexpr double kReach = 1.2;
constexpr double kMaxRmsd = 1.5;
constexpr size_t kMaxQuadruples = 512;
// Motions are the same where rotation and shift (Å) differ less.
constexpr double kSameRotation = 0.02, kSameShift = 0.1;

using Quadruple = std::array<int, 4>;

Vec3 divided(Vec3 v, double by) { return {v.x / by, v.y / by, v.z / by}; }

template <class Value>
int largest(int n, Value value) {
  int best = 0;
  double most = value(0);
  for (int i = 1; i < n; ++i) {
    const double x = value(i);
    if (x > most) most = x, best = i;
  }
  return best;
}

/// An atom of the rarest element, the farthest from it, from their line, and from the plane of the three. In a
/// symmetric molecule rounding decides, so that the order of the operations matters.
Quadruple anchors_of(const Shape& s) {
  const int n = s.n_atoms;
  const int first = largest(n, [&](int i) { return -double(std::count(s.element, s.element + n, s.element[i])); });
  const auto from_first = [&](int i) { return subtract(point(s.atoms + 3 * i), point(s.atoms + 3 * first)); };
  const auto length = [](Vec3 v) { return std::sqrt(dot(v, v)); };
  const int second = largest(n, [&](int i) { return length(from_first(i)); });
  const Vec3 line = divided(from_first(second), length(from_first(second)) + 1e-12);
  const int third = largest(n, [&](int i) {
    if (i == first || i == second) return -1.0;
    return length(subtract(from_first(i), scaled(line, dot(from_first(i), line))));
  });
  const Vec3 plane = cross(line, from_first(third));
  const Vec3 normal = divided(plane, length(plane) + 1e-12);
  const int fourth = largest(
      n, [&](int i) { return i == first || i == second || i == third ? -1.0 : std::fabs(dot(from_first(i), normal)); });
  return {first, second, third, fourth};
}

/// Quadruples of b with the elements and, within the slack, the distances of the anchors; empty if there are too many,
/// which `too_many` then says.
class Quadruples {
 public:
  Quadruples(const Shape& a, const Quadruple& anchors, const Shape& b, const std::vector<double>& between)
      : b_(b), between_(between) {
    for (int k = 0; k < 4; ++k) {
      element_[k] = a.element[anchors[k]];
      for (int l = 0; l < 4; ++l) {
        const Vec3 d = subtract(point(a.atoms + 3 * anchors[k]), point(a.atoms + 3 * anchors[l]));
        wanted_[k][l] = std::sqrt(dot(d, d));
      }
    }
  }

  std::vector<Quadruple> found(double slack, bool& too_many) {
    slack_ = slack;
    list_.clear();
    Quadruple q;
    too_many = extend(q, 0);
    return list_;
  }

 private:
  /// Whether the most were reached.
  bool extend(Quadruple& q, int n) {
    if (n == 4) {
      list_.push_back(q);
      return list_.size() >= kMaxQuadruples;
    }
    for (int j = 0; j < b_.n_atoms; ++j) {
      if (b_.element[j] != element_[n] || !fits(q, n, j)) continue;
      q[n] = j;
      if (extend(q, n + 1)) return true;
    }
    return false;
  }

  bool fits(const Quadruple& q, int n, int j) const {
    for (int k = 0; k < n; ++k) {
      if (q[k] == j || std::fabs(between_[size_t(q[k]) * b_.n_atoms + j] - wanted_[k][n]) >= slack_) return false;
    }
    return true;
  }

  const Shape& b_;
  const std::vector<double>& between_;
  int32_t element_[4];
  double wanted_[4][4];
  double slack_ = 0.0;
  std::vector<Quadruple> list_;
};

/// The nearest atom of b, moved, for each of a; false if one is too far away or two share one.
bool nearest_images(const Shape& a, const Shape& b, const Motion& motion, double sign, StartMemory& m) {
  const int n = a.n_atoms;
  m.other.resize(3 * size_t(n));
  for (int j = 0; j < n; ++j) store(m.other.data() + 3 * j, moved(motion, scaled(point(b.atoms + 3 * j), sign)));
  m.atom.assign(n, -1);
  for (int i = 0; i < n; ++i) {
    double least = kReach * kReach;
    for (int j = 0; j < n; ++j) {
      if (b.element[j] != a.element[i]) continue;
      const Vec3 d = subtract(point(a.atoms + 3 * i), point(m.other.data() + 3 * j));
      const double d2 = dot(d, d);
      if (d2 < least || (d2 == least && m.atom[i] < 0)) least = d2, m.atom[i] = j;
    }
    if (m.atom[i] < 0) return false;
    for (int k = 0; k < i; ++k) {
      if (m.atom[k] == m.atom[i]) return false;
    }
  }
  return true;
}

Start overlay(const Shape& a, const Shape& b, const std::vector<int>& atom, double sign, StartMemory& m) {
  m.picked.resize(3 * size_t(a.n_atoms));
  for (int i = 0; i < a.n_atoms; ++i) store(m.picked.data() + 3 * i, scaled(point(b.atoms + 3 * atom[i]), sign));
  const Motion motion = fitted(m.picked.data(), a.atoms, a.n_atoms);
  return {motion, atom, rmsd_of(motion, m.picked.data(), a.atoms, a.n_atoms)};
}

bool same_motion(const Motion& p, const Motion& q) {
  for (int i = 0; i < 3; ++i) {
    const Vec3 d = subtract(p.row[i], q.row[i]);
    if (std::max({std::fabs(d.x), std::fabs(d.y), std::fabs(d.z)}) >= kSameRotation) return false;
  }
  const Vec3 d = subtract(p.shift, q.shift);
  return std::sqrt(dot(d, d)) < kSameShift;
}

void set_distances(const Shape& s, std::vector<double>& between) {
  between.resize(size_t(s.n_atoms) * s.n_atoms);
  for (int i = 0; i < s.n_atoms; ++i) {
    for (int j = 0; j < s.n_atoms; ++j) {
      const Vec3 d = subtract(point(s.atoms + 3 * i), point(s.atoms + 3 * j));
      between[size_t(i) * s.n_atoms + j] = std::sqrt(dot(d, d));
    }
  }
}

}  // namespace

std::vector<Isometry> near_isometries(const Shape& a, const Shape& b, StartMemory& m) {
  std::vector<Isometry> isometries;
  if (a.n_atoms < 4 || a.n_atoms != b.n_atoms) return isometries;
  set_distances(b, m.between);
  const Quadruple anchors = anchors_of(a);
  Quadruples quadruples(a, anchors, b, m.between);
  double corners[12], images[12];
  for (int k = 0; k < 4; ++k) store(corners + 3 * k, point(a.atoms + 3 * anchors[k]));
  std::vector<std::vector<int>> seen;
  for (const double slack : kSlack) {
    bool too_many;
    const std::vector<Quadruple> found = quadruples.found(slack, too_many);
    // a molecule of so regular distances says nothing about its overlays
    if (too_many) return isometries;
    for (const double sign : {1.0, -1.0}) {
      for (const Quadruple& q : found) {
        for (int k = 0; k < 4; ++k) store(images + 3 * k, scaled(point(b.atoms + 3 * q[k]), sign));
        const Motion motion = fitted(images, corners, 4);
        if (rmsd_of(motion, images, corners, 4) > slack || !nearest_images(a, b, motion, sign, m)) continue;
        if (std::find(seen.begin(), seen.end(), m.atom) != seen.end()) continue;
        seen.push_back(m.atom);
        isometries.push_back({overlay(a, b, seen.back(), 1.0, m), overlay(a, b, seen.back(), -1.0, m)});
      }
    }
    if (isometries.size() >= 2) break;
  }
  return isometries;
}

std::vector<Start> further_starts(const std::vector<Isometry>& isometries, bool inverted,
                                  const std::vector<Start>& starts) {
  std::vector<Start> further;
  for (const Isometry& isometry : isometries) {
    const Start& start = inverted ? isometry.improper : isometry.proper;
    if (start.rmsd >= kMaxRmsd) continue;
    const auto same = [&](const Start& known) { return same_motion(known.motion, start.motion); };
    if (std::any_of(starts.begin(), starts.end(), same) || std::any_of(further.begin(), further.end(), same)) continue;
    further.push_back(start);
  }
  return further;
}

}  // namespace packflow::cpu
