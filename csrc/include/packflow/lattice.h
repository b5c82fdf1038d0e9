#pragma once

// Geometry of one cell, for host and device. Always in double: the inputs may be float, but every decision is made on
// the same double numbers by every instruction set and by the GPU.

#include <math.h>

// `static` keeps a copy in every translation unit: one compiled for AVX-512 must never be linked into baseline code.
#ifdef __CUDACC__
#define PACKFLOW_INLINE static __host__ __device__ __forceinline__
#else
#define PACKFLOW_INLINE static inline
#endif

namespace packflow {

struct Vec3 {
  double x, y, z;
};

PACKFLOW_INLINE Vec3 add(Vec3 u, Vec3 v) { return {u.x + v.x, u.y + v.y, u.z + v.z}; }

PACKFLOW_INLINE Vec3 subtract(Vec3 u, Vec3 v) { return {u.x - v.x, u.y - v.y, u.z - v.z}; }

PACKFLOW_INLINE Vec3 scaled(Vec3 u, double s) { return {u.x * s, u.y * s, u.z * s}; }

PACKFLOW_INLINE double dot(Vec3 u, Vec3 v) { return u.x * v.x + u.y * v.y + u.z * v.z; }

PACKFLOW_INLINE Vec3 cross(Vec3 u, Vec3 v) {
  return {u.y * v.z - u.z * v.y, u.z * v.x - u.x * v.z, u.x * v.y - u.y * v.x};
}

/// A cell and what follows from it.
struct Lattice {
  Vec3 a, b, c;                                     // lattice vectors, Å
  Vec3 reciprocal_a, reciprocal_b, reciprocal_c;    // columns of the inverse cell, 1/Å
  double height_a, height_b, height_c, min_height;  // distances between opposite faces, Å
};

/// The lattice of a row cell [3][3] of nonzero volume.
template <class Real>
PACKFLOW_INLINE Lattice make_lattice(const Real* cell) {
  Lattice l;
  l.a = {double(cell[0]), double(cell[1]), double(cell[2])};
  l.b = {double(cell[3]), double(cell[4]), double(cell[5])};
  l.c = {double(cell[6]), double(cell[7]), double(cell[8])};
  const Vec3 bc = cross(l.b, l.c);
  const double per_volume = 1.0 / dot(l.a, bc);
  l.reciprocal_a = scaled(bc, per_volume);
  l.reciprocal_b = scaled(cross(l.c, l.a), per_volume);
  l.reciprocal_c = scaled(cross(l.a, l.b), per_volume);
  l.height_a = 1.0 / sqrt(dot(l.reciprocal_a, l.reciprocal_a));
  l.height_b = 1.0 / sqrt(dot(l.reciprocal_b, l.reciprocal_b));
  l.height_c = 1.0 / sqrt(dot(l.reciprocal_c, l.reciprocal_c));
  l.min_height = fmin(l.height_a, fmin(l.height_b, l.height_c));
  return l;
}

PACKFLOW_INLINE Vec3 to_fractional(const Lattice& l, Vec3 r) {
  return {dot(r, l.reciprocal_a), dot(r, l.reciprocal_b), dot(r, l.reciprocal_c)};
}

PACKFLOW_INLINE Vec3 to_cartesian(const Lattice& l, Vec3 f) {
  return add(add(scaled(l.a, f.x), scaled(l.b, f.y)), scaled(l.c, f.z));
}

/// An atom moved into the cell by a lattice vector.
struct WrappedAtom {
  Vec3 position;    // Å
  Vec3 fractional;  // within [0, 1], where 1 itself comes from rounding
  Vec3 shift;       // whole cells that were subtracted
};

template <class Real>
PACKFLOW_INLINE WrappedAtom wrap(const Lattice& l, const Real* position) {
  const Vec3 r = {double(position[0]), double(position[1]), double(position[2])};
  const Vec3 f = to_fractional(l, r);
  const Vec3 shift = {floor(f.x), floor(f.y), floor(f.z)};
  return {subtract(r, to_cartesian(l, shift)), subtract(f, shift), shift};
}

}  // namespace packflow
