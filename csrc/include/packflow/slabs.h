#pragma once

// A search for near atoms in cells larger than twice the cutoff, for host and device.

#include "packflow/images.h"

namespace packflow {

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
