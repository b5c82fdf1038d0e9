// Included by the kernels that search, once per instruction set, after that set's near_*.inl.
// No templates or inline functions of the standard library here: the linker could pick this file's copy for all.

#include "search.h"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

/// What a search of one crystal up to one cutoff needs.
struct Search {
  Lattice lattice;
  ImageTable table;
  SearchGrid grid;
  int n_atoms, n_images;
  double cutoff2;  // Å2
  double slack;    // what float can add to or take from a distance near the cutoff or below, Å
  // Squared distances in float: below the first a pair is near, at or above the second it is not, Å2.
  float surely2, maybe2;
};

// Unlike fmin and fmax one instruction each: there are no NaNs here.
double smaller(double x, double y) { return x < y ? x : y; }
double larger(double x, double y) { return x > y ? x : y; }

/// Fractional coordinates of the atoms along one lattice vector, and how far around them images are wanted.
struct Extent {
  double low, high, reach;
};

Extent extent(double low, double high, double height, double cutoff) {
  return {low, high, cutoff / height * (1.0 + 1e-9) + 1e-9};
}

ImageRange shifts_of(const Extent& e, double fraction) {
  const double first = ceil(e.low - e.reach - fraction);
  return {first, int(floor(e.high + e.reach - fraction) - first) + 1};
}

struct Extents {
  Extent a, b, c;
};

/// Wraps the atoms; returns where they are.
template <class Real>
Extents wrap_atoms(const Real* positions, double cutoff, Search& s) {
  Vec3 low = {2, 2, 2}, high = {-2, -2, -2};
  const Vec3 middle = to_cartesian(s.lattice, {0.5, 0.5, 0.5});
  for (int i = 0; i < s.n_atoms; ++i) {
    const WrappedAtom atom = wrap(s.lattice, positions + 3 * i);
    s.table.wrapped[i] = atom;
    s.table.shift_a[i] = int(atom.shift.x);
    s.table.shift_b[i] = int(atom.shift.y);
    s.table.shift_c[i] = int(atom.shift.z);
    const Vec3 f = atom.fractional, r = subtract(atom.position, middle);
    low = {smaller(low.x, f.x), smaller(low.y, f.y), smaller(low.z, f.z)};
    high = {larger(high.x, f.x), larger(high.y, f.y), larger(high.z, f.z)};
    s.table.atom_x[i] = float(r.x);
    s.table.atom_y[i] = float(r.y);
    s.table.atom_z[i] = float(r.z);
  }
  return {extent(low.x, high.x, s.lattice.height_a, cutoff), extent(low.y, high.y, s.lattice.height_b, cutoff),
          extent(low.z, high.z, s.lattice.height_c, cutoff)};
}

int64_t count_images(const Extents& e, const Search& s) {
  int64_t n = 0;
  for (int j = 0; j < s.n_atoms; ++j) {
    const Vec3 f = s.table.wrapped[j].fractional;
    n += int64_t(shifts_of(e.a, f.x).count) * shifts_of(e.b, f.y).count * shifts_of(e.c, f.z).count;
  }
  return n;
}

void list_images(const Extents& e, const Search& s) {
  const ImageTable& t = s.table;
  const Lattice& l = s.lattice;
  const Vec3 middle = to_cartesian(l, {0.5, 0.5, 0.5});
  int k = 0;
  for (int j = 0; j < s.n_atoms; ++j) {
    const Vec3 f = t.wrapped[j].fractional, r = subtract(t.wrapped[j].position, middle);
    const ImageRange a = shifts_of(e.a, f.x), b = shifts_of(e.b, f.y), c = shifts_of(e.c, f.z);
    const int first_u = int(a.first) - t.shift_a[j], first_v = int(b.first) - t.shift_b[j],
              first_w = int(c.first) - t.shift_c[j];
    for (int u = 0; u < a.count; ++u) {
      for (int v = 0; v < b.count; ++v) {
        const Vec3 row = add(r, to_cartesian(l, {a.first + u, b.first + v, c.first}));
        for (int w = 0; w < c.count; ++w, ++k) {
          t.x[k] = float(row.x + w * l.c.x);
          t.y[k] = float(row.y + w * l.c.y);
          t.z[k] = float(row.z + w * l.c.z);
          t.atom[k] = j;
          t.u[k] = first_u + u;
          t.v[k] = first_v + v;
          t.w[k] = first_w + w;
        }
      }
    }
    t.self[j] = k - a.count * b.count * c.count - (int(a.first) * b.count + int(b.first)) * c.count - int(c.first);
  }
}

/// No image has a larger coordinate, Å from the middle of the cell.
double farthest_coordinate(const Extents& e, const Lattice& l) {
  const auto farthest = [](const Extent& x) { return fmax(0.5 - x.low, x.high - 0.5) + x.reach; };
  const double a = farthest(e.a), b = farthest(e.b), c = farthest(e.c);
  const double x = a * fabs(l.a.x) + b * fabs(l.b.x) + c * fabs(l.c.x);
  const double y = a * fabs(l.a.y) + b * fabs(l.b.y) + c * fabs(l.c.y);
  const double z = a * fabs(l.a.z) + b * fabs(l.b.z) + c * fabs(l.c.z);
  return fmax(x, fmax(y, z));
}

/// Far away from everything, behind the last image.
void pad_places(const Search& s) {
  for (int k = s.n_images; k < s.n_images + kSearchStep; ++k) {
    s.table.x[k] = s.table.y[k] = s.table.z[k] = 1e30f;
    if (s.table.image) s.table.image[k] = 0;
  }
}

int cube_along(float x, float corner, float width, int n) {
  const int k = int((x - corner) / width);
  return k < 0 ? 0 : k < n ? k : n - 1;
}

int cube_of(const SearchGrid& g, float x, float y, float z) {
  return (cube_along(x, g.x, g.width, g.nx) * g.ny + cube_along(y, g.y, g.width, g.ny)) * g.nz +
         cube_along(z, g.z, g.width, g.nz);
}

/// Å; a cutoff may be zero, a cube may not.
constexpr double kThinnestCube = 0.1;

/// A grid over all images, of about half the cutoff, or coarser: there are at most as many cubes as images.
SearchGrid make_grid(const Search& s, double cutoff) {
  const ImageTable& t = s.table;
  float low[3] = {t.x[0], t.y[0], t.z[0]}, high[3] = {t.x[0], t.y[0], t.z[0]};
  for (int k = 1; k < s.n_images; ++k) {
    const float r[3] = {t.x[k], t.y[k], t.z[k]};
    for (int axis = 0; axis < 3; ++axis) {
      low[axis] = r[axis] < low[axis] ? r[axis] : low[axis];
      high[axis] = r[axis] > high[axis] ? r[axis] : high[axis];
    }
  }
  SearchGrid g = {low[0], low[1], low[2], float(larger(0.5 * cutoff, kThinnestCube)), 0, 0, 0};
  for (;; g.width *= 1.25f) {
    // In double: floor of a float is an inline function of the standard library.
    const double nx = floor(double(high[0] - low[0]) / g.width) + 1;
    const double ny = floor(double(high[1] - low[1]) / g.width) + 1;
    const double nz = floor(double(high[2] - low[2]) / g.width) + 1;
    if (nx * ny * nz > s.n_images) continue;
    g.nx = int(nx);
    g.ny = int(ny);
    g.nz = int(nz);
    return g;
  }
}

/// Orders the images by cube, those of a cube as they were.
void sort_into_cubes(double cutoff, SearchMemory& memory, Search& s) {
  s.grid = make_grid(s, cutoff);
  const int n_cubes = s.grid.nx * s.grid.ny * s.grid.nz;
  const ImageTable from = s.table;
  ImageTable& t = s.table;
  reserve_grid(memory, t, s.n_images, n_cubes);
  for (int cube = 0; cube < n_cubes; ++cube) t.cube_end[cube] = 0;
  for (int k = 0; k < s.n_images; ++k) {
    const int cube = cube_of(s.grid, from.x[k], from.y[k], from.z[k]);
    if (cube + 1 < n_cubes) ++t.cube_end[cube + 1];
  }
  // Where each cube begins; counting up its images turns that into where it ends.
  for (int cube = 1; cube < n_cubes; ++cube) t.cube_end[cube] += t.cube_end[cube - 1];
  for (int k = 0; k < s.n_images; ++k) {
    const int place = t.cube_end[cube_of(s.grid, from.x[k], from.y[k], from.z[k])]++;
    t.image[place] = k;
    t.x[place] = from.x[k];
    t.y[place] = from.y[k];
    t.z[place] = from.z[k];
  }
}

/// `n_atoms` is at least 1.
template <class Real>
Search make_search(const Real* positions, const Real* cell, int n_atoms, double cutoff, SearchMemory& memory) {
  Search s = {};
  s.lattice = make_lattice(cell);
  s.n_atoms = n_atoms;
  s.cutoff2 = cutoff * cutoff;
  reserve_atoms(memory, s.table, n_atoms);
  const Extents e = wrap_atoms(positions, cutoff, s);
  const int64_t n_images = count_images(e, s);
  reserve_images(memory, s.table, n_images);
  s.n_images = int(n_images);
  list_images(e, s);
  // Two coordinates are each off by up to 2^-24 of the farthest, and so are the difference, the squares and the sum:
  // less than 2.4e-7 (farthest + distance) in all.
  s.slack = 4e-7 * (farthest_coordinate(e, s.lattice) + cutoff);
  const double surely = fmax(0.0, cutoff - s.slack), maybe = cutoff + s.slack;
  s.surely2 = float(surely * surely * (1.0 - 1e-6));
  s.maybe2 = float(maybe * maybe * (1.0 + 1e-6));
  if (s.n_images > kMostWithoutGrid) sort_into_cubes(cutoff, memory, s);
  pad_places(s);
  return s;
}

inline int image_at(const Search& s, int place) { return s.table.image ? s.table.image[place] : place; }

/// Squared distance in Å2 from atom i to an image, in double.
inline double exact_distance2(const Search& s, int i, int image) {
  const ImageTable& t = s.table;
  const int j = t.atom[image];
  const Vec3 shift = {double(t.u[image] + t.shift_a[j]), double(t.v[image] + t.shift_b[j]),
                      double(t.w[image] + t.shift_c[j])};
  return image_distance2(s.lattice, t.wrapped[i], t.wrapped[j], shift);
}

/// Calls f(place, surely, maybe) for each step of a range of places: bit k tells whether the image at place + k is
/// surely near atom i, and whether it may be although that is not sure, which is rare.
template <class Function>
void scan_range(const Search& s, int i, int first, int last, Function f) {
  const ImageTable& t = s.table;
  const float x = t.atom_x[i], y = t.atom_y[i], z = t.atom_z[i];
  for (int place = first; place < last; place += kSearchStep) {
    const NearBits near = near_bits(t.x + place, t.y + place, t.z + place, x, y, z, s.surely2, s.maybe2);
    const uint32_t inside = last - place < kSearchStep ? (1u << (last - place)) - 1 : ~0u;
    f(place, near.surely & inside, near.maybe & ~near.surely & inside);
  }
}

/// Calls f(first, last) for the ranges of places that can hold images near atom i.
template <class Function>
void for_each_column(const Search& s, int i, Function f) {
  const SearchGrid& g = s.grid;
  const ImageTable& t = s.table;
  const float x = t.atom_x[i], y = t.atom_y[i], z = t.atom_z[i], reach = sqrtf(s.maybe2) * (1.0f + 1e-6f);
  // Float may have put an image into the next cube, and loses as much here.
  const float margin = 0.001f * g.width + float(s.slack), half_cube = 0.5f * g.width + margin, far = reach + margin;
  const int x_first = cube_along(x - far, g.x, g.width, g.nx), x_last = cube_along(x + far, g.x, g.width, g.nx);
  const int y_first = cube_along(y - far, g.y, g.width, g.ny), y_last = cube_along(y + far, g.y, g.width, g.ny);
  for (int cx = x_first; cx <= x_last; ++cx) {
    for (int cy = y_first; cy <= y_last; ++cy) {
      const int column = (cx * g.ny + cy) * g.nz;
      // What of the reach is left along z, where the column is nearest.
      const float near_x = fmaxf(0.0f, fabsf(x - (g.x + (cx + 0.5f) * g.width)) - half_cube);
      const float near_y = fmaxf(0.0f, fabsf(y - (g.y + (cy + 0.5f) * g.width)) - half_cube);
      const float left2 = reach * reach - near_x * near_x - near_y * near_y;
      if (left2 < 0.0f) continue;
      const float left = sqrtf(left2) + margin;
      const int low = column + cube_along(z - left, g.z, g.width, g.nz);
      const int high = column + cube_along(z + left, g.z, g.width, g.nz);
      f(low ? t.cube_end[low - 1] : 0, t.cube_end[high]);
    }
  }
}

/// Calls f(place, surely, maybe) as scan_range does, for all images of other atoms and other images of atom i itself;
/// with `half`, for those that come after the atom's own image without shift.
template <class Function>
void scan(const Search& s, int i, bool half, Function f) {
  if (!s.table.image) {
    const int self = s.table.self[i];
    if (!half) scan_range(s, i, 0, self, f);
    scan_range(s, i, self + 1, s.n_images, f);
    return;
  }
  const int32_t* const image = s.table.image;
  const int self = s.table.self[i];
  for_each_column(s, i, [&](int first, int last) {
    scan_range(s, i, first, last, [&](int place, uint32_t surely, uint32_t maybe) {
      // All but the atom itself, or only what comes after it.
      const uint32_t after = after_bits(image + place, self);
      const uint32_t wanted = half ? after : after | ~after_bits(image + place, self - 1);
      f(place, surely & wanted, maybe & wanted);
    });
  });
}

/// Lists the places of the images near atom i; returns how many. Of each step, near(place, surely, maybe) tells which.
template <class Near>
int find_places(const Search& s, int i, bool half, Near near) {
  int n = 0;
  scan(s, i, half, [&](int place, uint32_t surely, uint32_t maybe) {
    n += append_places(s.table.found + n, place, near(place, surely, maybe));
  });
  return n;
}

/// For those who decide themselves what may be near.
struct NearOrMaybe {
  uint32_t operator()(int, uint32_t surely, uint32_t maybe) const { return surely | maybe; }
};

}  // namespace
}  // namespace packflow::cpu::PACKFLOW_ISA
