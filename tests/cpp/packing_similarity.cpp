// Packing similarity of awkward structures: one molecule in a large cell, several species, clusters of one molecule and
// of more molecules than are near, molecules of one and of two atoms, with several threads.

#include "packflow/packing_similarity.h"

#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

namespace {

// Bent, of two kinds that differ in the order of their atoms; a ring of six like atoms; two atoms; one.
const std::vector<int32_t> kElement = {0, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 1, 2};
const std::vector<int32_t> kRole = {0, 1, 0, 1, 0, 0, 2, 2, 2, 2, 2, 2, 3, 4, 5};
const std::vector<int32_t> kAtomPtr = {0, 3, 6, 12, 14, 15};
const std::vector<int32_t> kSpecies = {0, 0, 1, 2, 3};

struct Structures {
  std::vector<double> positions, cell;
  std::vector<int32_t> kind, reach;
  std::vector<int64_t> molecule_ptr = {0};

  void add(const std::vector<int>& kinds, double size, std::mt19937& random) {
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    for (int x = 0; x < 9; ++x) cell.push_back(x % 4 == 0 ? size : 0.3 * uniform(random));
    for (const int k : kinds) {
      const double place[3] = {size * uniform(random), size * uniform(random), size * uniform(random)};
      const int n = kAtomPtr[k + 1] - kAtomPtr[k];
      for (int i = 0; i < n; ++i) {
        positions.push_back(place[0] + 1.4 * std::cos(6.2831853 * i / n));
        positions.push_back(place[1] + 1.4 * std::sin(6.2831853 * i / n));
        positions.push_back(place[2] + 0.2 * uniform(random));
      }
      kind.push_back(k);
    }
    molecule_ptr.push_back(int64_t(kind.size()));
    reach.push_back(2);
  }
};

}  // namespace

int main() {
  std::mt19937 random(1);
  Structures s;
  for (const std::vector<int>& kinds : {std::vector<int>{0}, {2}, {0, 1, 2, 3, 4}, {2, 2, 2}, {1, 0}, {3}, {4}}) {
    for (const double size : {6.0, 9.0, 60.0}) s.add(kinds, size, random);
  }
  const int64_t n = int64_t(s.reach.size());
  std::vector<int64_t> pairs;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) pairs.insert(pairs.end(), {i, j});
  }
  const packflow::MoleculeKinds kinds = {kElement.data(), kRole.data(), kAtomPtr.data(), kSpecies.data(), 5};
  const packflow::MolecularPackings packings = {s.positions.data(),    s.cell.data(),  s.kind.data(),
                                                s.molecule_ptr.data(), s.reach.data(), n};
  for (const int n_molecules : {1, 4, 15}) {
    std::vector<int32_t> n_matched(size_t(n * n), -1);
    std::vector<double> rmsd(size_t(n * n), -1.0);
    packflow::cpu::packing_similarity(kinds, packings, {pairs.data(), n * n, n_molecules, 1.0, true}, n_matched.data(),
                                      rmsd.data(), 3);
    int64_t total = 0, itself = 0;
    for (int64_t k = 0; k < n * n; ++k) {
      total += n_matched[k];
      itself += pairs[2 * k] == pairs[2 * k + 1] && n_matched[k] == n_molecules && rmsd[k] < 1e-6;
    }
    std::printf("cluster of %d: %lld matched, %lld of %lld are themselves\n", n_molecules, (long long)total,
                (long long)itself, (long long)n);
  }
  return 0;
}
