#pragma once

#include <stdint.h>

#include <algorithm>
#include <cmath>

#include "packflow/lattice.h"

namespace packflow::cpu {

/// A rigid motion: x comes to R x + t.
struct Motion {
  Vec3 row[3];  // of R
  Vec3 shift;
};

inline Vec3 point(const double* x) { return {x[0], x[1], x[2]}; }

inline void store(double* x, Vec3 v) { x[0] = v.x, x[1] = v.y, x[2] = v.z; }

inline Vec3 turned(const Motion& m, Vec3 v) { return {dot(m.row[0], v), dot(m.row[1], v), dot(m.row[2], v)}; }

inline Vec3 moved(const Motion& m, Vec3 v) { return add(turned(m, v), m.shift); }

/// The point that comes to v; R is orthogonal.
inline Vec3 origin_of(const Motion& m, Vec3 v) {
  const Vec3 d = subtract(v, m.shift);
  return add(add(scaled(m.row[0], d.x), scaled(m.row[1], d.y)), scaled(m.row[2], d.z));
}

inline Vec3 mean(const double* x, int n) {
  Vec3 sum = {0, 0, 0};
  for (int i = 0; i < n; ++i) sum = add(sum, point(x + 3 * i));
  return {sum.x / n, sum.y / n, sum.z / n};
}

/// Any unit vector at a right angle to the unit vector u.
inline Vec3 perpendicular(Vec3 u) {
  const Vec3 other = std::fabs(u.x) < 0.6 ? Vec3{1, 0, 0} : Vec3{0, 1, 0};
  const Vec3 v = cross(u, other);
  return scaled(v, 1.0 / std::sqrt(dot(v, v)));
}

/// Turns the columns of H until they are orthogonal (one-sided Jacobi), and those of V with them: H_before V = H_after.
inline void orthogonalize(Vec3 h[3], Vec3 v[3]) {
  for (int sweep = 0; sweep < 30; ++sweep) {
    bool done = true;
    for (int p = 0; p < 2; ++p) {
      for (int q = p + 1; q < 3; ++q) {
        const double alpha = dot(h[p], h[p]), beta = dot(h[q], h[q]), gamma = dot(h[p], h[q]);
        if (gamma * gamma <= 1e-30 * alpha * beta) continue;
        done = false;
        const double zeta = (beta - alpha) / (2.0 * gamma);
        const double tangent = std::copysign(1.0, zeta) / (std::fabs(zeta) + std::sqrt(1.0 + zeta * zeta));
        const double c = 1.0 / std::sqrt(1.0 + tangent * tangent), s = c * tangent;
        for (Vec3* w : {h, v}) {
          const Vec3 one = w[p], other = w[q];
          w[p] = subtract(scaled(one, c), scaled(other, s));
          w[q] = add(scaled(one, s), scaled(other, c));
        }
      }
    }
    if (done) return;
  }
}

/// The rotation R with the largest trace of R H, where H = sum of p q^T over the pairs: it turns the p onto the q best
/// (Kabsch, Acta Cryst. A 34, 827, 1978). h holds the columns of H.
inline void best_rotation(Vec3 h[3], Vec3 row[3]) {
  Vec3 v[3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  orthogonalize(h, v);
  int order[3] = {0, 1, 2};
  const double size[3] = {dot(h[0], h[0]), dot(h[1], h[1]), dot(h[2], h[2])};
  std::sort(order, order + 3, [&](int i, int j) { return size[i] > size[j]; });
  const Vec3 v1 = v[order[0]], v2 = v[order[1]], v3 = cross(v1, v2);
  // without a second direction any turn about the first is as good
  Vec3 u1 = v1, u2 = v2;
  if (size[order[0]] > 0) {
    u1 = scaled(h[order[0]], 1.0 / std::sqrt(size[order[0]]));
    u2 = size[order[1]] > 0 ? scaled(h[order[1]], 1.0 / std::sqrt(size[order[1]])) : perpendicular(u1);
  }
  const Vec3 u3 = cross(u1, u2);
  row[0] = add(add(scaled(u1, v1.x), scaled(u2, v2.x)), scaled(u3, v3.x));
  row[1] = add(add(scaled(u1, v1.y), scaled(u2, v2.y)), scaled(u3, v3.y));
  row[2] = add(add(scaled(u1, v1.z), scaled(u2, v2.z)), scaled(u3, v3.z));
}

/// The motion that brings n points p [n][3] nearest to q [n][3], least squares.
inline Motion fitted(const double* p, const double* q, int n) {
  const Vec3 from = mean(p, n), to = mean(q, n);
  Vec3 h[3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
  for (int i = 0; i < n; ++i) {
    const Vec3 x = subtract(point(p + 3 * i), from), y = subtract(point(q + 3 * i), to);
    h[0] = add(h[0], scaled(x, y.x));
    h[1] = add(h[1], scaled(x, y.y));
    h[2] = add(h[2], scaled(x, y.z));
  }
  Motion m;
  best_rotation(h, m.row);
  m.shift = {0, 0, 0};
  m.shift = subtract(to, turned(m, from));
  return m;
}

/// Root-mean-square distance of the moved points p from q.
inline double rmsd_of(const Motion& m, const double* p, const double* q, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    const Vec3 d = subtract(moved(m, point(p + 3 * i)), point(q + 3 * i));
    sum += dot(d, d);
  }
  return std::sqrt(sum / n);
}

}  // namespace packflow::cpu
