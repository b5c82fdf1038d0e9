#pragma once

// Search over periodic images, for host and device. Exact for every cell, however skewed or small.

#include "packflow/lattice.h"

namespace packflow {

/// Whether no two images of an atom can both be within `cutoff` of another atom: then the one that rounding the
/// fractional difference gives is the only candidate. Half a thousandth is left for rounding.
PACKFLOW_INLINE bool nearest_image_suffices(const Lattice& l, double cutoff) { return cutoff < 0.4995 * l.min_height; }

/// Squared distance in Å2 from i to the image of j that is `shift` cells away.
PACKFLOW_INLINE double image_distance2(const Lattice& l, const WrappedAtom& i, const WrappedAtom& j, Vec3 shift) {
  const Vec3 d = add(subtract(j.position, i.position), to_cartesian(l, shift));
  return dot(d, d);
}

/// Shifts along one lattice vector for which an image can be within the cutoff.
struct ImageRange {
  double first;
  int count;
};

/// `fraction` is the fractional difference of two wrapped atoms along that vector, `height` the height of the cell
/// over the other two. The distance is at least |fraction + shift| * height.
PACKFLOW_INLINE ImageRange image_range(double fraction, double height, double cutoff) {
  const double reach = cutoff / height * (1.0 + 1e-9) + 1e-9;
  const double first = ceil(-fraction - reach);
  return {first, int(floor(-fraction + reach) - first) + 1};
}

/// Whether any image of j is closer than `cutoff` to i. An atom is not its own neighbor, but its images are.
PACKFLOW_INLINE bool any_image_within(const Lattice& l, const WrappedAtom& i, const WrappedAtom& j, bool same_atom,
                                      double cutoff) {
  const double cutoff2 = cutoff * cutoff;
  const Vec3 f = subtract(j.fractional, i.fractional);
  if (nearest_image_suffices(l, cutoff)) {
    const Vec3 shift = {-rint(f.x), -rint(f.y), -rint(f.z)};
    return !same_atom && image_distance2(l, i, j, shift) < cutoff2;
  }
  const ImageRange a = image_range(f.x, l.height_a, cutoff);
  const ImageRange b = image_range(f.y, l.height_b, cutoff);
  const ImageRange c = image_range(f.z, l.height_c, cutoff);
  for (int u = 0; u < a.count; ++u) {
    for (int v = 0; v < b.count; ++v) {
      for (int w = 0; w < c.count; ++w) {
        const Vec3 shift = {a.first + u, b.first + v, c.first + w};
        const bool itself = same_atom && shift.x == 0 && shift.y == 0 && shift.z == 0;
        if (!itself && image_distance2(l, i, j, shift) < cutoff2) return true;
      }
    }
  }
  return false;
}

/// A one-dimensional cell list: the cell cut into slabs of equal thickness across one lattice vector. Atoms closer
/// than the cutoff lie at most `reach` slabs apart, counted around the periodic boundary.
struct Slabs {
  int axis;   // 0, 1 or 2: the direction of greatest height
  int count;  // at least 1, at most the number of atoms
  int reach;  // at most count - 1: all the others
};

PACKFLOW_INLINE Slabs make_slabs(const Lattice& l, double cutoff, int n_atoms) {
  Slabs s;
  const double height = fmax(l.height_a, fmax(l.height_b, l.height_c));
  s.axis = height == l.height_a ? 0 : height == l.height_b ? 1 : 2;
  // Slabs of a quarter of the cutoff: thinner ones would spare few distances and cost more counting.
  s.count = int(fmax(1.0, fmin(double(n_atoms), floor(4.0 * height / cutoff))));
  s.reach = int(fmin(s.count - 1.0, floor(cutoff / height * s.count + 1e-9) + 1.0));
  return s;
}

PACKFLOW_INLINE int slab_of(const Slabs& s, const WrappedAtom& atom) {
  const Vec3 f = atom.fractional;
  const double along = s.axis == 0 ? f.x : s.axis == 1 ? f.y : f.z;
  const int slab = int(along * s.count);
  return slab < s.count ? slab : s.count - 1;
}

/// A quick test in float that never misses a neighbor: a vector of atoms is tested with it, and only those that pass
/// are decided in double. Sound where nearest_image_suffices.
struct NearFilter {
  float ax, ay, az, bx, by, bz, cx, cy, cz;  // lattice vectors, Å
  double slack;                              // what rounding can add to a distance, Å
};

PACKFLOW_INLINE NearFilter make_near_filter(const Lattice& l) {
  NearFilter n = {float(l.a.x), float(l.a.y), float(l.a.z), float(l.b.x), float(l.b.y),
                  float(l.b.z), float(l.c.x), float(l.c.y), float(l.c.z), 0.0};
  // Fractions in [0, 1] as floats, their difference and the products are off by less than 8 units of 2^-24 in all.
  n.slack = 1e-6 * (sqrt(dot(l.a, l.a)) + sqrt(dot(l.b, l.b)) + sqrt(dot(l.c, l.c)));
  return n;
}

/// One atom's share of the filter's cutoff, where the cutoff of a pair is the sum of both shares. Å
PACKFLOW_INLINE float near_share(const NearFilter& n, double share) {
  return float((share + 0.5 * n.slack) * (1.0 + 1e-6));
}

/// Nearest integer of |x| < 2^22: twice rounded by an addition, which vectorises on every instruction set.
PACKFLOW_INLINE float nearest_integer(float x) { return (x + 12582912.0f) - 12582912.0f; }

/// False only if no image is within `cutoff`; u, v, w is the fractional difference. Overflow passes.
PACKFLOW_INLINE bool maybe_near(const NearFilter& n, float u, float v, float w, float cutoff) {
  u -= nearest_integer(u);
  v -= nearest_integer(v);
  w -= nearest_integer(w);
  const float x = u * n.ax + v * n.bx + w * n.cx;
  const float y = u * n.ay + v * n.by + w * n.cy;
  const float z = u * n.az + v * n.bz + w * n.cz;
  return !(x * x + y * y + z * z > cutoff * cutoff);
}

}  // namespace packflow
