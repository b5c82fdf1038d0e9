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
class PairWriter {
 public:
  PairWriter(const ImageTable& table, int64_t first_atom, int i, const PairList& pairs)
      : t_(table),
        first_atom_(first_atom),
        i_(i),
        source_(pairs.pair_index + pairs.pair_ptr[first_atom + i]),
        target_(source_ + pairs.n_pairs),
        shift_(pairs.cell_shifts + 3 * pairs.pair_ptr[first_atom + i]) {}

  void write(int image) {
    const int j = t_.atom[image];
    *source_++ = first_atom_ + i_;
    *target_++ = first_atom_ + j;
    shift_[0] = t_.u[image] + t_.shift_a[i_] - t_.shift_a[j];
    shift_[1] = t_.v[image] + t_.shift_b[i_] - t_.shift_b[j];
    shift_[2] = t_.w[image] + t_.shift_c[i_] - t_.shift_c[j];
    shift_ += 3;
  }

 private:
  const ImageTable& t_;
  int64_t first_atom_;
  int i_;
  int64_t *source_, *target_;
  int32_t* shift_;
};

template <class Real>
void write(const NeighborsTask<Real>& task, const PairList& pairs, SearchMemory& memory) {
  const Search s = search_of(task, memory);
  for (int i = 0; i < s.n_atoms; ++i) {
    int n = 0;
    scan(s, i, task.half, [&](int place, uint32_t surely, uint32_t maybe) {
      for (uint32_t near = surely | decide(s, i, place, maybe); near; near &= near - 1) {
        s.table.found[n++] = image_at(s, place + __builtin_ctz(near));
      }
    });
    // Cubes come in another order than the images.
    if (s.table.image) sort_ascending(s.table.found, s.table.found + n);
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
