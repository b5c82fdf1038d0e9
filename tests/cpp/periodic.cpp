// Runs the periodic CPU ops on awkward crystals, for the sanitizers to watch. Every array is a heap block of exactly
// the size that the header asks for. Fails unless a plain loop over images in double gives the same.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "packflow/amd.h"
#include "packflow/check.h"
#include "packflow/images.h"
#include "packflow/min_image.h"
#include "packflow/neighbors.h"
#include "packflow/rdf.h"

using namespace packflow;
using cpu::InstructionSet;

namespace {

constexpr int kThreads = 3;

template <class Real>
struct Batch {
  std::vector<Real> positions, cell;
  std::vector<int32_t> atom_ptr = {0};
  CrystalView<Real> view() const {
    return {positions.data(), cell.data(), atom_ptr.data(), int64_t(atom_ptr.size()) - 1, atom_ptr.back()};
  }
};

/// Crystals of the given numbers of atoms; edges grow with them, times `stretch` along c.
template <class Real>
Batch<Real> make_batch(const std::vector<int>& sizes, double skew, double stretch) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform(-3.0, 3.0);
  Batch<Real> x;
  for (int n : sizes) {
    const double edge = std::cbrt(18.0 * std::max(n, 1));
    double cell[9];
    for (int k = 0; k < 9; ++k) {
      cell[k] = edge * ((k % 4 == 0) + skew * normal(random)) * (k >= 6 ? stretch : 1.0);
      x.cell.push_back(Real(cell[k]));
    }
    for (int i = 0; i < n; ++i) {
      const double f[3] = {uniform(random), uniform(random), uniform(random)};
      for (int k = 0; k < 3; ++k) x.positions.push_back(Real(f[0] * cell[k] + f[1] * cell[3 + k] + f[2] * cell[6 + k]));
    }
    x.atom_ptr.push_back(x.atom_ptr.back() + n);
  }
  x.positions.shrink_to_fit();
  return x;
}

[[noreturn]] void fail(const std::string& what) {
  std::printf("%s differs\n", what.c_str());
  std::exit(1);
}

/// Number of images of j within the cutoff of i, and the nearest distance, by looking at every image.
template <class Real>
int64_t count_pairs(const CrystalView<Real>& x, int64_t c, double cutoff) {
  const Lattice l = make_lattice(x.cell + 9 * c);
  const int reach[3] = {int(cutoff / l.height_a) + 2, int(cutoff / l.height_b) + 2, int(cutoff / l.height_c) + 2};
  int64_t n = 0;
  for (int i = x.atom_ptr[c]; i < x.atom_ptr[c + 1]; ++i) {
    for (int j = x.atom_ptr[c]; j < x.atom_ptr[c + 1]; ++j) {
      const WrappedAtom one = wrap(l, x.positions + 3 * i), other = wrap(l, x.positions + 3 * j);
      for (int u = -reach[0]; u <= reach[0]; ++u) {
        for (int v = -reach[1]; v <= reach[1]; ++v) {
          for (int w = -reach[2]; w <= reach[2]; ++w) {
            const bool itself = i == j && u == 0 && v == 0 && w == 0;
            n += !itself && image_distance2(l, one, other, {double(u), double(v), double(w)}) < cutoff * cutoff;
          }
        }
      }
    }
  }
  return n;
}

template <class Real>
void run(const Batch<Real>& batch, double cutoff, InstructionSet set, const std::string& name) {
  const CrystalView<Real> x = batch.view();
  const std::vector<double> cutoffs(x.n_crystals, cutoff);
  for (const std::string& problem : cpu::crystal_problems(x, cutoffs.data())) {
    if (!problem.empty()) fail(name + ": " + problem);
  }
  int64_t expected = 0;
  for (int64_t c = 0; c < x.n_crystals; ++c) expected += count_pairs(x, c, cutoff);

  for (const bool half : {false, true}) {
    std::vector<int64_t> counts(x.n_atoms), pair_ptr(x.n_atoms + 1, 0);
    cpu::count_neighbors(x, cutoff, half, counts.data(), kThreads, set);
    for (int64_t i = 0; i < x.n_atoms; ++i) pair_ptr[i + 1] = pair_ptr[i] + counts[i];
    const int64_t n_pairs = pair_ptr.back();
    if (n_pairs != (half ? expected / 2 : expected)) fail(name + ": neighbors");
    std::vector<int64_t> pair_index(2 * n_pairs, -1);
    std::vector<int32_t> shifts(3 * n_pairs);
    cpu::write_neighbors(x, cutoff, half, {pair_ptr.data(), pair_index.data(), shifts.data(), n_pairs}, kThreads, set);
    for (int64_t index : pair_index) {
      if (index < 0 || index >= x.n_atoms) fail(name + ": pair_index");
    }
    std::vector<Real> distances(n_pairs);
    cpu::min_image(x, pair_index.data(), n_pairs, distances.data(), kThreads, set);
    for (Real distance : distances) {
      if (!(distance < cutoff)) fail(name + ": min_image");
    }
  }

  for (const int n_bins : {1, 100, 5000}) {
    std::vector<int64_t> counts(x.n_crystals * n_bins, -1);
    cpu::rdf(x, cutoff, n_bins, counts.data(), kThreads, set);
    int64_t total = 0;
    for (int64_t count : counts) total += count;
    if (total != expected) fail(name + ": rdf");
  }

  for (const int64_t k : {1, 17, 250}) {
    std::vector<Real> rows(x.n_atoms * k, Real(-1)), mean(x.n_crystals * k);
    cpu::pdd(x, k, rows.data(), kThreads, set);
    cpu::amd(x, k, mean.data(), kThreads, set);
    for (int64_t c = 0; c < x.n_crystals; ++c) {
      const int n_atoms = x.atom_ptr[c + 1] - x.atom_ptr[c];
      double sum = 0;
      for (int i = x.atom_ptr[c]; i < x.atom_ptr[c + 1]; ++i) sum += rows[i * k + k - 1];
      if (n_atoms > 0 && !(std::abs(sum / n_atoms - mean[c * k + k - 1]) < 1e-5 * sum / n_atoms)) fail(name + ": amd");
    }
  }
  std::printf("%s: %lld pairs\n", name.c_str(), static_cast<long long>(expected));
}

template <class Real>
void run_all(InstructionSet set, const std::string& name) {
  // Around the step of 16, empty crystals; a thin cell with many images; more images than go without a grid.
  run(make_batch<Real>({0, 1, 2, 15, 16, 17, 0, 40}, 0.2, 1.0), 5.0, set, name + " ragged");
  run(make_batch<Real>({1, 3}, 0.1, 0.1), 6.0, set, name + " thin");
  run(make_batch<Real>({700}, 0.2, 1.0), 9.0, set, name + " grid");
  run(make_batch<Real>({}, 0.0, 1.0), 5.0, set, name + " nothing");
}

}  // namespace

int main() {
  for (const std::string& name : cpu::instruction_sets()) {
    run_all<float>(cpu::instruction_set(name), name + " float");
    run_all<double>(cpu::instruction_set(name), name + " double");
  }
}
