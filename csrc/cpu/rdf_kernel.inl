// The histogram of one crystal. Included by one file per instruction set, which names it in PACKFLOW_ISA.

#include "rdf_kernel.h"
#include "search.inl"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

/// Bins of the lowest and the highest distance that each of kSearchStep images can have, given what float loses.
struct Bins {
  int32_t low[kSearchStep], high[kSearchStep];
};

Bins bins_of(const Search& s, int i, int place, float per_bin) {
  const float *x = s.table.x + place, *y = s.table.y + place, *z = s.table.z + place;
  const float x0 = s.table.atom_x[i], y0 = s.table.atom_y[i], z0 = s.table.atom_z[i];
  const float slack = float(s.slack), most = sqrtf(s.maybe2);
  Bins bins;
#pragma omp simd
  for (int k = 0; k < kSearchStep; ++k) {
    const float dx = x[k] - x0, dy = y[k] - y0, dz = z[k] - z0;
    const float distance = sqrtf(dx * dx + dy * dy + dz * dz);
    // Images that are not near are not counted; the limit keeps their bins within an int.
    const float d = distance < most ? distance : most;
    bins.low[k] = int32_t((d - slack) * per_bin * (1.0f - 1e-6f));
    bins.high[k] = int32_t((d + slack) * per_bin * (1.0f + 1e-6f));
  }
  return bins;
}

template <class Real>
void count(const RdfTask<Real>& task, SearchMemory& memory) {
  const Search s = make_search(task.positions, task.cell, task.n_atoms, task.r_max, memory);
  const double per_bin = task.n_bins / task.r_max;
  for (int i = 0; i < s.n_atoms; ++i) {
    // Each pair once; it counts in both directions.
    scan(s, i, true, [&](int place, uint32_t surely, uint32_t maybe) {
      const Bins bins = bins_of(s, i, place, float(per_bin));
      for (uint32_t near = surely | maybe; near; near &= near - 1) {
        const int k = __builtin_ctz(near);
        int bin = bins.low[k];
        if (bin != bins.high[k] || (maybe >> k & 1))
          bin = rdf_bin(exact_distance2(s, i, image_at(s, place + k)), per_bin);
        if (bin < task.n_bins) task.counts[bin] += 2;
      }
    });
  }
}

}  // namespace

void rdf_crystal(const RdfTask<float>& task, SearchMemory& memory) { count(task, memory); }

void rdf_crystal(const RdfTask<double>& task, SearchMemory& memory) { count(task, memory); }

}  // namespace packflow::cpu::PACKFLOW_ISA
