// Polynomials against the library's functions, and the CPU kernels of nonbonded and ewald for the sanitizers to watch:
// every array is a heap block of exactly the size that the header asks for. Every instruction set must give the same.

#include "packflow/nonbonded.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "packflow/ewald.h"

using namespace packflow;
using cpu::InstructionSet;

namespace {

constexpr int kThreads = 3;
constexpr double kCutoff = 6.0, kAlpha = 0.75, kWaveCutoff = 6.0, kCoulomb = 14.4;

void check(bool good, const std::string& what) {
  if (good) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

void check_polynomials() {
  double of_exp = 0, of_erfc = 0, of_phase = 0;
  const long double two_pi = 2 * acosl(-1.0L);
  for (int k = 0; k <= 300000; ++k) {
    const double y = k * 2e-5, gauss = exp_negative(-y * y), turns = (k - 150000) * 3.7e-5;
    const Phase phase = phase_of_turns(turns);
    of_exp = std::max(of_exp, std::fabs(gauss / std::exp(-y * y) - 1));
    of_erfc = std::max(of_erfc, std::fabs(gauss * scaled_erfc((y - 3) / (y + 3)) / std::erfc(y) - 1));
    of_phase = std::max(of_phase, double(fabsl(phase.cosine - cosl(two_pi * turns))));
    of_phase = std::max(of_phase, double(fabsl(phase.sine - sinl(two_pi * turns))));
  }
  std::printf("relative errors of exp %.1e and erfc %.1e, error of the phase %.1e\n", of_exp, of_erfc, of_phase);
  check(of_exp < 1e-14 && of_erfc < 3e-14 && of_phase < 1e-15, "a polynomial is off");
}

/// Crystals and molecules of chains, atoms near each other on a skewed grid.
struct Batch {
  std::vector<double> positions, cell, charges, radius, epsilon, scale;
  std::vector<int32_t> atom_ptr = {0}, types, molecule, special_ptr = {0}, special_index;
  std::vector<uint8_t> periodic;
  std::vector<int64_t> pair_ptr = {0};
  std::vector<int32_t> atom, shift;

  void add(int n_atoms, bool is_periodic, std::mt19937& random) {
    std::uniform_real_distribution<double> number(-0.3, 0.3);
    const int first = atom_ptr.back();
    periodic.push_back(is_periodic);
    const double edge = 2.0 * std::cbrt(double(n_atoms) + 1);
    for (const double x : {1.0, 0.2, 0.0, -0.1, 1.1, 0.3, 0.0, 0.1, 0.9}) cell.push_back(edge * x);
    for (int i = 0; i < n_atoms; ++i) {
      for (const double x : {1.5 * i, 0.7 * (i % 2), 0.0}) positions.push_back(x + 0.2 * number(random));
      charges.push_back(i + 1 == n_atoms && n_atoms % 2 ? 0.0 : (i % 2 ? -0.3 : 0.3));
      types.push_back(i % 3);
      molecule.push_back(first);
      for (int j = std::max(0, i - 3); j < std::min(n_atoms, i + 4); ++j) {
        if (j == i) continue;
        special_index.push_back(first + j);
        const bool far = std::abs(i - j) == 3;
        scale.insert(scale.end(), {far ? 1.0 : 0.0, far ? 0.75 : 0.0});
      }
      special_ptr.push_back(int32_t(special_index.size()));
    }
    atom_ptr.push_back(first + n_atoms);
    list(first, n_atoms, is_periodic);
  }

  /// A half list by brute force, a little beyond the cutoff.
  void list(int first, int n_atoms, bool is_periodic) {
    const double* const c = cell.data() + cell.size() - 9;
    for (int i = first; i < first + n_atoms; ++i) {
      for (int j = i; is_periodic && j < first + n_atoms; ++j) {
        for (int u = -25; u <= 25; ++u) {
          for (int v = -5; v <= 5; ++v) {
            for (int w = -5; w <= 5; ++w) {
              const bool after = u > 0 || (u == 0 && (v > 0 || (v == 0 && w > 0)));
              if (i == j && !after) continue;
              double distance2 = 0;
              for (int axis = 0; axis < 3; ++axis) {
                const double d =
                    positions[3 * j + axis] - positions[3 * i + axis] + u * c[axis] + v * c[3 + axis] + w * c[6 + axis];
                distance2 += d * d;
              }
              if (distance2 > (kCutoff + 0.5) * (kCutoff + 0.5)) continue;
              atom.push_back(j);
              shift.push_back(u + kShiftMiddle + ((v + kShiftMiddle) << kShiftBits) +
                              ((w + kShiftMiddle) << 2 * kShiftBits));
            }
          }
        }
      }
      pair_ptr.push_back(int64_t(atom.size()));
    }
  }
};

struct Results {
  std::vector<double> energy, forces, strain, wave_energy, wave_forces, wave_strain;
  std::vector<uint8_t> problem;
};

Results run(const Batch& b, InstructionSet set) {
  const int64_t n = int64_t(b.periodic.size()), n_atoms = b.atom_ptr.back();
  Results r = {std::vector<double>(2 * n, NAN), std::vector<double>(3 * n_atoms, NAN), std::vector<double>(9 * n, NAN),
               std::vector<double>(n, NAN),     std::vector<double>(3 * n_atoms, NAN), std::vector<double>(9 * n, NAN),
               std::vector<uint8_t>(n, 0)};
  const NonbondedInput input = {b.positions.data(),
                                b.cell.data(),
                                b.atom_ptr.data(),
                                b.periodic.data(),
                                b.charges.data(),
                                b.types.data(),
                                b.radius.data(),
                                b.epsilon.data(),
                                b.molecule.data(),
                                b.special_ptr.data(),
                                b.special_index.data(),
                                b.scale.data(),
                                n,
                                n_atoms,
                                3,
                                kCutoff,
                                kAlpha,
                                kCoulomb};
  cpu::nonbonded(input, {b.pair_ptr.data(), b.atom.data(), b.shift.data()},
                 {r.energy.data(), r.forces.data(), r.strain.data(), r.problem.data()}, kThreads, set);
  const EwaldInput waves = {b.positions.data(),
                            b.cell.data(),
                            b.atom_ptr.data(),
                            b.periodic.data(),
                            b.charges.data(),
                            n,
                            n_atoms,
                            kAlpha,
                            kWaveCutoff,
                            kCoulomb,
                            kBuffer};
  cpu::ewald(waves, {r.wave_energy.data(), r.wave_forces.data(), r.wave_strain.data()}, kThreads, set);
  return r;
}

void check_close(const std::vector<double>& one, const std::vector<double>& other, const std::string& what) {
  for (size_t k = 0; k < one.size(); ++k) {
    check(std::fabs(one[k] - other[k]) <= 1e-11 * (1 + std::fabs(other[k])), what + " differs at " + std::to_string(k));
  }
}

}  // namespace

int main() {
  check_polynomials();
  std::mt19937 random(0);
  Batch batch;
  batch.radius = {3.0, 3.2, 3.4, 3.2, 3.4, 3.6, 3.4, 3.6, 3.8, 3.1, 3.3, 3.5, 3.3, 3.5, 3.7, 3.5, 3.7, 3.9};
  batch.epsilon.assign(18, 0.003);
  // Sizes around a vector and a block of pairs.
  for (const int n_atoms : {0, 1, 2, 8, 9, 17}) batch.add(n_atoms, true, random);
  for (const int n_atoms : {1, 5, 0, 256, 258, 300}) batch.add(n_atoms, false, random);
  const Results expected = run(batch, cpu::instruction_set("baseline"));
  for (const double e : expected.energy) check(std::isfinite(e), "an energy is not finite");
  for (const std::string& name : cpu::instruction_sets()) {
    const Results got = run(batch, cpu::instruction_set(name));
    check_close(got.energy, expected.energy, name + " energy");
    check_close(got.forces, expected.forces, name + " forces");
    check_close(got.strain, expected.strain, name + " strain");
    check_close(got.wave_energy, expected.wave_energy, name + " energy of waves");
    check_close(got.wave_forces, expected.wave_forces, name + " forces of waves");
    check_close(got.wave_strain, expected.wave_strain, name + " strain of waves");
    check(got.problem == expected.problem, name + " problem");
    std::printf("%s: %zu pairs\n", name.c_str(), batch.atom.size());
  }
}
