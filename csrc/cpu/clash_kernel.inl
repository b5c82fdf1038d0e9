// The search within one crystal. Included by one file per instruction set, which names it in PACKFLOW_ISA.
// No templates or inline functions of the standard library here: the linker could pick this file's copy for all.

#include "clash_kernel.h"
#include "packflow/slabs.h"
#include "search.inl"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

template <class Real>
double pair_cutoff(const ClashCrystal<Real>& crystal, int i, int j) {
  return crystal.scale * (double(crystal.radii[i]) + double(crystal.radii[j]));
}

/// Decides one pair and marks both atoms.
template <class Real>
void decide(const ClashCrystal<Real>& crystal, const Lattice& lattice, const WrappedAtom* wrapped, int i, int j) {
  if (crystal.in_clash[i] && crystal.in_clash[j]) return;
  if (any_image_within(lattice, wrapped[i], wrapped[j], i == j, pair_cutoff(crystal, i, j))) {
    crystal.in_clash[i] = 1;
    crystal.in_clash[j] = 1;
  }
}

/// Every pair and image. Atoms with their own images first: in a cell so thin that there are many images to search,
/// those are what clashes, and the pairs need no search any more.
template <class Real>
void search_all(const ClashCrystal<Real>& crystal, const Lattice& lattice, const WrappedAtom* wrapped) {
  for (int i = 0; i < crystal.n_atoms; ++i) decide(crystal, lattice, wrapped, i, i);
  for (int i = 0; i < crystal.n_atoms; ++i) {
    for (int j = i + 1; j < crystal.n_atoms; ++j) decide(crystal, lattice, wrapped, i, j);
  }
}

/// Fills the unrolled arrays by a counting sort.
template <class Real>
void sort_into_slabs(const ClashCrystal<Real>& crystal, const NearFilter& filter, const Slabs& slabs,
                     const ClashScratch& s) {
  const int n = crystal.n_atoms;
  for (int k = 0; k <= slabs.count; ++k) s.slab_end[k] = 0;
  for (int i = 0; i < n; ++i) {
    s.slab[i] = slab_of(slabs, s.wrapped[i]);
    ++s.slab_end[s.slab[i] + 1];
  }
  for (int k = 1; k <= slabs.count; ++k) s.slab_end[k] += s.slab_end[k - 1];
  // slab_end[k] is where slab k begins and moves to where it ends.
  for (int i = 0; i < n; ++i) s.order[s.slab_end[s.slab[i]]++] = i;
  for (int k = 0; k < n; ++k) {
    const int i = s.order[k];
    s.x[k] = float(s.wrapped[i].fractional.x);
    s.y[k] = float(s.wrapped[i].fractional.y);
    s.z[k] = float(s.wrapped[i].fractional.z);
    s.share[k] = near_share(filter, crystal.scale * double(crystal.radii[i]));
  }
  // The last kClashStep are read but not used.
  for (int k = n; k < 2 * n + kClashStep; ++k) {
    s.order[k] = s.order[k - n];
    s.x[k] = s.x[k - n];
    s.y[k] = s.y[k - n];
    s.z[k] = s.z[k - n];
    s.share[k] = s.share[k - n];
  }
}

/// Whether any of the first `n_tested` of the kClashStep unrolled atoms from j on may be near the unrolled atom i.
bool any_maybe_near(const NearFilter& filter, const ClashScratch& s, int i, int j, int n_tested) {
  const NearFilter n = filter;
  const float xi = s.x[i], yi = s.y[i], zi = s.z[i], share = s.share[i];
  const float *x = s.x + j, *y = s.y + j, *z = s.z + j, *r = s.share + j;
  int any = 0;
  // A constant trip count becomes whole vectors, without a remainder loop.
#pragma omp simd reduction(| : any)
  for (int k = 0; k < kClashStep; ++k) {
    any |= int(maybe_near(n, x[k] - xi, y[k] - yi, z[k] - zi, r[k] + share)) & int(k < n_tested);
  }
  return any != 0;
}

/// Each atom against those that follow it within its own slab and the next `reach`.
template <class Real>
void search_slabs(const ClashCrystal<Real>& crystal, const Lattice& lattice, const Slabs& slabs,
                  const NearFilter& filter, const ClashScratch& s) {
  const int n = crystal.n_atoms;
  int i = 0;
  for (int slab = 0; slab < slabs.count; ++slab) {
    const int last = slab + slabs.reach;
    const int end = last < slabs.count ? s.slab_end[last] : n + s.slab_end[last - slabs.count];
    for (; i < s.slab_end[slab]; ++i) {
      for (int j = i + 1; j < end; j += kClashStep) {
        const int n_tested = end - j < kClashStep ? end - j : kClashStep;
        if (!any_maybe_near(filter, s, i, j, n_tested)) continue;
        for (int k = j; k < j + n_tested; ++k) decide(crystal, lattice, s.wrapped, s.order[i], s.order[k]);
      }
    }
  }
}

/// Each atom against the images that come after it.
template <class Real>
void search_grid(const ClashCrystal<Real>& crystal, double cutoff, const ClashScratch& scratch) {
  const Search s = make_search(crystal.positions, crystal.cell, crystal.n_atoms, cutoff, *scratch.memory);
  for (int i = 0; i < crystal.n_atoms; ++i) {
    const int n = find_places(s, i, true, NearOrMaybe{});
    for (int k = 0; k < n; ++k) {
      const int image = image_at(s, s.table.found[k]), j = s.table.atom[image];
      const double pair = pair_cutoff(crystal, i, j);
      if (exact_distance2(s, i, image) < pair * pair) {
        crystal.in_clash[i] = 1;
        crystal.in_clash[j] = 1;
      }
    }
  }
}

template <class Real>
void search(const ClashCrystal<Real>& crystal, const ClashScratch& scratch) {
  const Lattice lattice = make_lattice(crystal.cell);
  double max_radius = 0.0;
  for (int i = 0; i < crystal.n_atoms; ++i) {
    scratch.wrapped[i] = wrap(lattice, crystal.positions + 3 * i);
    max_radius = fmax(max_radius, double(crystal.radii[i]));
    crystal.in_clash[i] = 0;
  }
  const double cutoff = 2.0 * crystal.scale * max_radius;
  if (crystal.n_atoms > kMostInSlabs) {
    search_grid(crystal, cutoff, scratch);
    return;
  }
  if (!nearest_image_suffices(lattice, cutoff)) {
    search_all(crystal, lattice, scratch.wrapped);
    return;
  }
  const Slabs slabs = make_slabs(lattice, cutoff, crystal.n_atoms);
  const NearFilter filter = make_near_filter(lattice);
  sort_into_slabs(crystal, filter, slabs, scratch);
  search_slabs(crystal, lattice, slabs, filter, scratch);
}

}  // namespace

void clash_crystal(const ClashCrystal<float>& crystal, const ClashScratch& scratch) { search(crystal, scratch); }

void clash_crystal(const ClashCrystal<double>& crystal, const ClashScratch& scratch) { search(crystal, scratch); }

}  // namespace packflow::cpu::PACKFLOW_ISA
