// The pairs of one crystal. Included by one file per instruction set, which names it in PACKFLOW_ISA.

#include "neighbors_kernel.h"
#include "search.inl"

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

template <class Real>
Search search_of(const NeighborsTask<Real>& task, SearchMemory& memory) {
  return make_search(task.positions, task.cell, task.n_atoms, task.cutoff, memory);
}

/// Of the bits that may be near, those that are.
uint32_t decide(const Search& s, int i, int place, uint32_t maybe) {
  uint32_t near = 0;
  for (; maybe; maybe &= maybe - 1) {
    const int image = image_at(s, place + __builtin_ctz(maybe));
    if (exact_distance2(s, i, image) < s.cutoff2) near |= maybe & -maybe;
  }
  return near;
}

template <class Real>
void count(const NeighborsTask<Real>& task, int64_t* n_neighbors, SearchMemory& memory) {
  const Search s = search_of(task, memory);
  for (int i = 0; i < s.n_atoms; ++i) {
    int64_t n = 0;
    scan(s, i, task.half, [&](int place, uint32_t surely, uint32_t maybe) {
      n += __builtin_popcount(surely) + (maybe ? __builtin_popcount(decide(s, i, place, maybe)) : 0);
    });
    n_neighbors[task.first_atom + i] = n;
  }
}

/// Writes the pairs of one atom, one by one.
struct PairWriter {
  int64_t *source, *target;
  int32_t* shift;
  const int32_t *atom, *u, *v, *w;
  int64_t first_atom, i;
  int32_t a, b, c;

  PairWriter(const ImageTable& t, int64_t first_atom, int i, const PairList& pairs)
      : source(pairs.pair_index + pairs.pair_ptr[first_atom + i]),
        target(source + pairs.n_pairs),
        shift(pairs.cell_shifts + 3 * pairs.pair_ptr[first_atom + i]),
        atom(t.atom),
        u(t.u),
        v(t.v),
        w(t.w),
        first_atom(first_atom),
        i(first_atom + i),
        a(t.shift_a[i]),
        b(t.shift_b[i]),
        c(t.shift_c[i]) {}

  void write(int image) {
    *source++ = i;
    *target++ = first_atom + atom[image];
    shift[0] = u[image] + a;
    shift[1] = v[image] + b;
    shift[2] = w[image] + c;
    shift += 3;
  }
};

/// The images near atom i, in the order of the list; returns how many.
int find_images(const Search& s, int i, bool half) {
  int32_t* const found = s.table.found;
  const int n = find_places(s, i, half, [&](int place, uint32_t surely, uint32_t maybe) {
    return maybe ? surely | decide(s, i, place, maybe) : surely;
  });
  if (s.table.image) {
    for (int k = 0; k < n; ++k) found[k] = s.table.image[found[k]];
    sort_ascending(found, found + n);
  }
  return n;
}

template <class Real>
void write(const NeighborsTask<Real>& task, const PairList& pairs, SearchMemory& memory) {
  const Search s = search_of(task, memory);
  for (int i = 0; i < s.n_atoms; ++i) {
    const int n = find_images(s, i, task.half);
    PairWriter writer(s.table, task.first_atom, i, pairs);
    for (int k = 0; k < n; ++k) writer.write(s.table.found[k]);
  }
}

}  // namespace

void count_neighbors(const NeighborsTask<float>& task, int64_t* n_neighbors, SearchMemory& memory) {
  count(task, n_neighbors, memory);
}

void count_neighbors(const NeighborsTask<double>& task, int64_t* n_neighbors, SearchMemory& memory) {
  count(task, n_neighbors, memory);
}

void write_neighbors(const NeighborsTask<float>& task, const PairList& pairs, SearchMemory& memory) {
  write(task, pairs, memory);
}

void write_neighbors(const NeighborsTask<double>& task, const PairList& pairs, SearchMemory& memory) {
  write(task, pairs, memory);
}

}  // namespace packflow::cpu::PACKFLOW_ISA
