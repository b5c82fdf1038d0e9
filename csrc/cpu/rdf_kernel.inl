// The histogram of one crystal. Included by one file per instruction set, which names it in PACKFLOW_ISA.

#include "rdf_kernel.h"
#include "search.inl"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

/// Bins of the lowest and of the highest distance that each of the n found images can have, given what float loses.
void list_bins(const Search& s, int i, int n, float per_bin, int32_t* low, int32_t* high) {
  const int32_t* const found = s.table.found;
  const float *x = s.table.x, *y = s.table.y, *z = s.table.z;
  const float x0 = s.table.atom_x[i], y0 = s.table.atom_y[i], z0 = s.table.atom_z[i];
  const float slack = float(s.slack);
#pragma omp simd
  for (int k = 0; k < n; ++k) {
    const int place = found[k];
    const float dx = x[place] - x0, dy = y[place] - y0, dz = z[place] - z0;
    const float distance = sqrtf(dx * dx + dy * dy + dz * dz);
    low[k] = int32_t((distance - slack) * per_bin * (1.0f - 1e-6f));
    high[k] = int32_t((distance + slack) * per_bin * (1.0f + 1e-6f));
  }
}

template <class Real>
void count(const RdfTask<Real>& task, RdfMemory& memory) {
  const Search s = make_search(task.positions, task.cell, task.n_atoms, task.r_max, search_memory(memory));
  const double per_bin = task.n_bins / task.r_max;
  int32_t* const low = reserve_bins(memory, 2 * int64_t(s.n_images));
  int32_t* const high = low + s.n_images;
  for (int i = 0; i < s.n_atoms; ++i) {
    // Each pair once; it counts in both directions.
    const int n = find_places(s, i, true, NearOrMaybe{});
    list_bins(s, i, n, float(per_bin), low, high);
    for (int k = 0; k < n; ++k) {
      int bin = low[k];
      if (bin != high[k]) bin = rdf_bin(exact_distance2(s, i, image_at(s, s.table.found[k])), per_bin);
      if (bin < task.n_bins) task.counts[bin] += 2;
    }
  }
}

}  // namespace

void rdf_crystal(const RdfTask<float>& task, RdfMemory& memory) { count(task, memory); }

void rdf_crystal(const RdfTask<double>& task, RdfMemory& memory) { count(task, memory); }

}  // namespace packflow::cpu::PACKFLOW_ISA
