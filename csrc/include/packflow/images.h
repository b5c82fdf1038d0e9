#pragma once

// Distances between periodic images, for host and device. Exact for every cell, however skewed or small.

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

/// Calls visit(shift, squared distance in Å2) for every image of j that can be within `cutoff` of i, and for some that
/// are not, in lexicographic order of the shifts, until it returns true. An atom is not visited as its own image
/// without shift. Returns whether `visit` did return true.
template <class Visit>
PACKFLOW_INLINE bool visit_images(const Lattice& l, const WrappedAtom& i, const WrappedAtom& j, bool same_atom,
                                  double cutoff, Visit visit) {
  const Vec3 f = subtract(j.fractional, i.fractional);
  if (nearest_image_suffices(l, cutoff)) {
    const Vec3 shift = {-rint(f.x), -rint(f.y), -rint(f.z)};
    return !same_atom && visit(shift, image_distance2(l, i, j, shift));
  }
  const ImageRange a = image_range(f.x, l.height_a, cutoff);
  const ImageRange b = image_range(f.y, l.height_b, cutoff);
  const ImageRange c = image_range(f.z, l.height_c, cutoff);
  for (int u = 0; u < a.count; ++u) {
    for (int v = 0; v < b.count; ++v) {
      for (int w = 0; w < c.count; ++w) {
        const Vec3 shift = {a.first + u, b.first + v, c.first + w};
        const bool itself = same_atom && shift.x == 0 && shift.y == 0 && shift.z == 0;
        if (!itself && visit(shift, image_distance2(l, i, j, shift))) return true;
      }
    }
  }
  return false;
}

/// Whether any image of j is closer than `cutoff` to i. An atom is not its own neighbor, but its images are.
PACKFLOW_INLINE bool any_image_within(const Lattice& l, const WrappedAtom& i, const WrappedAtom& j, bool same_atom,
                                      double cutoff) {
  const double cutoff2 = cutoff * cutoff;
  return visit_images(l, i, j, same_atom, cutoff, [=](Vec3, double distance2) { return distance2 < cutoff2; });
}

/// Squared distance in Å2 from i to the nearest image of j; 0 for an atom and itself.
PACKFLOW_INLINE double nearest_image_distance2(const Lattice& l, const WrappedAtom& i, const WrappedAtom& j) {
  const Vec3 f = subtract(j.fractional, i.fractional);
  double nearest2 = image_distance2(l, i, j, {-rint(f.x), -rint(f.y), -rint(f.z)});
  const double upper = sqrt(nearest2);
  if (nearest_image_suffices(l, upper)) return nearest2;
  visit_images(l, i, j, false, upper, [&](Vec3, double distance2) {
    nearest2 = distance2 < nearest2 ? distance2 : nearest2;
    return false;
  });
  return nearest2;
}

}  // namespace packflow
