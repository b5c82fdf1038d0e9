// The nearest distances of one crystal. Included by one file per instruction set, which names it in PACKFLOW_ISA.

#include "amd_kernel.h"
#include "search.inl"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

/// A search and what the distances of all its images are made of.
struct Reach {
  Search search;
  AmdTable table;
};

template <class Real>
Reach make_reach(const AmdTask<Real>& task, double radius, AmdMemory& memory) {
  const Search s = make_search(task.positions, task.cell, task.n_atoms, radius, search_memory(memory));
  const AmdTable t = reserve(memory, s.n_atoms, s.n_images);
  for (int i = 0; i < s.n_atoms; ++i) {
    const Vec3 r = s.table.wrapped[i].position;
    t.atom_x[i] = r.x;
    t.atom_y[i] = r.y;
    t.atom_z[i] = r.z;
  }
  for (int k = 0; k < s.n_images; ++k) {
    const int j = s.table.atom[k];
    const Vec3 offset =
        to_cartesian(s.lattice, {double(s.table.u[k] + s.table.shift_a[j]), double(s.table.v[k] + s.table.shift_b[j]),
                                 double(s.table.w[k] + s.table.shift_c[j])});
    t.offset_x[k] = offset.x;
    t.offset_y[k] = offset.y;
    t.offset_z[k] = offset.z;
  }
  return {s, t};
}

/// Squared distances from atom i to the images within the radius, in no order, and perhaps a few beyond it, by the same
/// operations as image_distance2. Returns their number, and through `n_within` that of those within.
int list_distances2(const Reach& reach, int i, int& n_within) {
  const Search& s = reach.search;
  const AmdTable& t = reach.table;
  int32_t* const found = s.table.found;
  const int n = find_places(s, i, false, NearOrMaybe{});
  if (s.table.image) {
    for (int k = 0; k < n; ++k) found[k] = s.table.image[found[k]];
  }
  const int32_t* const atom = s.table.atom;
  const double x = t.atom_x[i], y = t.atom_y[i], z = t.atom_z[i], cutoff2 = s.cutoff2;
  int within = 0;
#pragma omp simd reduction(+ : within)
  for (int k = 0; k < n; ++k) {
    const int image = found[k], j = atom[image];
    const double dx = (t.atom_x[j] - x) + t.offset_x[image];
    const double dy = (t.atom_y[j] - y) + t.offset_y[image];
    const double dz = (t.atom_z[j] - z) + t.offset_z[image];
    const double distance2 = dx * dx + dy * dy + dz * dz;
    t.distances2[k] = distance2;
    within += distance2 < cutoff2;
  }
  n_within = within;
  return n;
}

/// Sorts n squared distances of evenly spread points: counted into shells of equal volume, which leaves little to sort.
void sort_distances2(const AmdTable& t, int n) {
  double largest = 0.0;
  for (int k = 0; k < n; ++k) largest = larger(largest, t.distances2[k]);
  // The volume within a distance goes with its third power.
  const double per_shell = largest > 0.0 ? (n - 1) / (largest * sqrt(largest)) : 0.0;
#pragma omp simd
  for (int k = 0; k < n; ++k) t.shell[k] = int32_t(t.distances2[k] * sqrt(t.distances2[k]) * per_shell);
  for (int k = 0; k <= n; ++k) t.shell_end[k] = 0;
  for (int k = 0; k < n; ++k) ++t.shell_end[t.shell[k] + 1];
  int fullest = 0;
  for (int k = 1; k <= n; ++k) {
    fullest = fullest < t.shell_end[k] ? t.shell_end[k] : fullest;
    t.shell_end[k] += t.shell_end[k - 1];
  }
  for (int k = 0; k < n; ++k) t.sorted[t.shell_end[t.shell[k]]++] = t.distances2[k];
  constexpr int kFew = 32;
  if (fullest > kFew) {
    sort_ascending(t.sorted, t.sorted + n);
    return;
  }
  for (int k = 1; k < n; ++k) {
    const double x = t.sorted[k];
    int hole = k;
    for (; hole > 0 && t.sorted[hole - 1] > x; --hole) t.sorted[hole] = t.sorted[hole - 1];
    t.sorted[hole] = x;
  }
}

template <class Real>
void nearest(const AmdTask<Real>& task, AmdMemory& memory) {
  double radius = amd_first_radius(make_lattice(task.cell), task.n_atoms, task.k);
  Reach reach = make_reach(task, radius, memory);
  for (int i = 0; i < task.n_atoms; ++i) {
    int n_within;
    int n = list_distances2(reach, i, n_within);
    while (n_within < task.k) {
      radius *= 1.1;
      reach = make_reach(task, radius, memory);
      n = list_distances2(reach, i, n_within);
    }
    sort_distances2(reach.table, n);
    double* const sorted = reach.table.sorted;
    for (int64_t k = 0; k < task.k; ++k) sorted[k] = sqrt(sorted[k]);
    for (int64_t k = 0; task.rows && k < task.k; ++k) task.rows[i * task.k + k] = Real(sorted[k]);
    for (int64_t k = 0; task.sums && k < task.k; ++k) task.sums[k] += sorted[k];
  }
}

}  // namespace

void amd_crystal(const AmdTask<float>& task, AmdMemory& memory) { nearest(task, memory); }

void amd_crystal(const AmdTask<double>& task, AmdMemory& memory) { nearest(task, memory); }

}  // namespace packflow::cpu::PACKFLOW_ISA
