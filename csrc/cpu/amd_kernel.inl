// The nearest distances of one crystal. Included by one file per instruction set, which names it in PACKFLOW_ISA.

#include "amd_kernel.h"
#include "search.inl"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

/// Squared distances in Å2 from atom i to the images within the cutoff, in no order, and perhaps a few beyond it.
/// Returns their number, and through `n_within` that of those within.
int list_distances2(const Search& s, int i, double* distances2, int& n_within) {
  int n = 0;
  n_within = 0;
  scan(s, i, false, [&](int place, uint32_t surely, uint32_t maybe) {
    for (uint32_t near = surely | maybe; near; near &= near - 1) {
      const double d2 = exact_distance2(s, i, image_at(s, place + __builtin_ctz(near)));
      n_within += d2 < s.cutoff2;
      distances2[n++] = d2;
    }
  });
  return n;
}

/// Sorts n squared distances of evenly spread points from `from` to `to`: counted into shells of equal volume, which
/// leaves little to sort. `counters` has room for n + 1.
void sort_distances2(const double* from, double* to, int n, int32_t* counters) {
  double largest = 0.0;
  for (int k = 0; k < n; ++k) largest = fmax(largest, from[k]);
  // The volume within a distance goes with its third power.
  const double per_shell = largest > 0.0 ? (n - 1) / (largest * sqrt(largest)) : 0.0;
  const auto shell_of = [&](double d2) { return int(d2 * sqrt(d2) * per_shell); };
  for (int k = 0; k <= n; ++k) counters[k] = 0;
  for (int k = 0; k < n; ++k) ++counters[shell_of(from[k]) + 1];
  int fullest = 0;
  for (int k = 1; k <= n; ++k) {
    fullest = fullest < counters[k] ? counters[k] : fullest;
    counters[k] += counters[k - 1];
  }
  for (int k = 0; k < n; ++k) to[counters[shell_of(from[k])]++] = from[k];
  constexpr int kFew = 32;
  if (fullest > kFew) {
    sort_ascending(to, to + n);
    return;
  }
  for (int k = 1; k < n; ++k) {
    const double x = to[k];
    int hole = k;
    for (; hole > 0 && to[hole - 1] > x; --hole) to[hole] = to[hole - 1];
    to[hole] = x;
  }
}

template <class Real>
void nearest(const AmdTask<Real>& task, AmdMemory& memory) {
  double radius = amd_first_radius(make_lattice(task.cell), task.n_atoms, task.k);
  Search s = make_search(task.positions, task.cell, task.n_atoms, radius, search_memory(memory));
  for (int i = 0; i < task.n_atoms; ++i) {
    int n, n_within;
    double* distances2;
    for (;;) {
      distances2 = reserve_distances(memory, s.n_images);
      n = list_distances2(s, i, distances2, n_within);
      if (n_within >= task.k) break;
      radius *= 1.2;
      s = make_search(task.positions, task.cell, task.n_atoms, radius, search_memory(memory));
    }
    double* sorted = distances2 + s.n_images;
    sort_distances2(distances2, sorted, n, reserve_counters(memory, n + 1));
    for (int64_t k = 0; k < task.k; ++k) {
      const double distance = sqrt(sorted[k]);
      if (task.rows) task.rows[i * task.k + k] = Real(distance);
      if (task.sums) task.sums[k] += distance;
    }
  }
}

}  // namespace

void amd_crystal(const AmdTask<float>& task, AmdMemory& memory) { nearest(task, memory); }

void amd_crystal(const AmdTask<double>& task, AmdMemory& memory) { nearest(task, memory); }

}  // namespace packflow::cpu::PACKFLOW_ISA
