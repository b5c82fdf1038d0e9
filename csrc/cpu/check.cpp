#include "packflow/check.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

#include "packflow/lattice.h"

namespace packflow::cpu {
namespace {

constexpr double kFarthest = 1e9;    // Å; the spacing of doubles there is 1e-7 Å
constexpr double kThinnest = 1e-4;   // Å
constexpr double kMostCells = 1e9;   // between an atom and the origin; a difference of two fits an int32
constexpr double kMostImages = 1e6;  // of one atom
constexpr double kMostHeld = 2e7;    // images of all atoms of a crystal together

template <class... Words>
std::string text(const Words&... words) {
  std::ostringstream message;
  (message << ... << words);
  return message.str();
}

template <class Real>
void check_pointers(const CrystalView<Real>& crystals) {
  int64_t last = 0;
  for (int64_t c = 0; c <= crystals.n_crystals; ++c) {
    const int64_t pointer = crystals.atom_ptr[c];
    if (pointer < last || (c == 0 && pointer != 0) || (c == crystals.n_crystals && pointer != crystals.n_atoms)) {
      throw std::invalid_argument(text("atom_ptr must rise from 0 to the number of atoms, ", crystals.n_atoms,
                                       ", without a step down, got ", pointer, " at index ", c, " after ", last));
    }
    last = pointer;
  }
}

/// The cell is known to be good.
template <class Real>
std::string position_problem(const CrystalView<Real>& crystals, int64_t crystal) {
  const int64_t first = 3 * int64_t(crystals.atom_ptr[crystal]), last = 3 * int64_t(crystals.atom_ptr[crystal + 1]);
  const double height = make_lattice(crystals.cell + 9 * crystal).min_height;
  const Real farthest = Real(std::min(kFarthest, kMostCells * height / 2));
  int all_near = 1;
  for (int64_t k = first; k < last; ++k) all_near &= std::abs(crystals.positions[k]) <= farthest;
  if (all_near) return "";
  int64_t k = first;
  while (std::abs(crystals.positions[k]) <= farthest) ++k;
  return text("positions must be finite and at most ", double(farthest), " Å from the origin, got ",
              crystals.positions[k], " for atom ", (k - first) / 3);
}

template <class Real>
std::string cell_problem(const CrystalView<Real>& crystals, int64_t crystal, double cutoff) {
  const Real* cell = crystals.cell + 9 * crystal;
  const Lattice l = make_lattice(cell);
  // Written so that NaN fails.
  if (!(l.height_a >= kThinnest && l.height_b >= kThinnest && l.height_c >= kThinnest && l.height_a <= kFarthest &&
        l.height_b <= kFarthest && l.height_c <= kFarthest)) {
    return text("cell must be finite and not flat, got volume ", std::abs(dot(l.a, cross(l.b, l.c))), " Å3 for a = (",
                cell[0], ", ", cell[1], ", ", cell[2], "), b = (", cell[3], ", ", cell[4], ", ", cell[5], "), c = (",
                cell[6], ", ", cell[7], ", ", cell[8], ") Å");
  }
  const double n_images = (2 * cutoff / l.height_a + 1) * (2 * cutoff / l.height_b + 1) * (2 * cutoff / l.height_c + 1);
  const double n_atoms = crystals.atom_ptr[crystal + 1] - crystals.atom_ptr[crystal];
  if (!(n_images <= kMostImages && n_images * n_atoms <= kMostHeld)) {
    return text("cell must have at most ", kMostImages, " images of an atom within ", cutoff, " Å, and ", kMostHeld,
                " of all atoms, got ", n_images, " for each of ", n_atoms, " atoms and heights of ", l.height_a, ", ",
                l.height_b, " and ", l.height_c, " Å");
  }
  return "";
}

}  // namespace

template <class Real>
std::vector<std::string> crystal_problems(const CrystalView<Real>& crystals, const double* cutoff) {
  check_pointers(crystals);
  std::vector<std::string> problems;
  problems.reserve(crystals.n_crystals);
  for (int64_t c = 0; c < crystals.n_crystals; ++c) {
    problems.push_back(cell_problem(crystals, c, cutoff[c]));
    if (problems.back().empty()) problems.back() = position_problem(crystals, c);
  }
  return problems;
}

template std::vector<std::string> crystal_problems(const CrystalView<float>&, const double*);
template std::vector<std::string> crystal_problems(const CrystalView<double>&, const double*);

}  // namespace packflow::cpu
