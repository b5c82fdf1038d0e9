#include "packflow/check.h"

#include <cmath>
#include <sstream>
#include <stdexcept>

#include "packflow/lattice.h"

namespace packflow::cpu {
namespace {

constexpr double kFarthest = 1e9;    // Å; the spacing of doubles there is 1e-7 Å
constexpr double kThinnest = 1e-4;   // Å
constexpr double kMostImages = 1e6;  // of one atom

template <class... Words>
[[noreturn]] void fail(const Words&... words) {
  std::ostringstream message;
  (message << ... << words);
  throw std::invalid_argument(message.str());
}

template <class Real>
void check_pointers(const CrystalView<Real>& crystals, int64_t n_atoms) {
  int64_t last = 0;
  for (int64_t c = 0; c <= crystals.n_crystals; ++c) {
    const int64_t pointer = crystals.atom_ptr[c];
    if (pointer < last || (c == 0 && pointer != 0) || (c == crystals.n_crystals && pointer != n_atoms)) {
      fail("atom_ptr must rise from 0 to the number of atoms, ", n_atoms, ", without a step down, got ", pointer,
           " at index ", c, " after ", last);
    }
    last = pointer;
  }
}

template <class Real>
void check_positions(const CrystalView<Real>& crystals, int64_t crystal) {
  const int64_t first = 3 * int64_t(crystals.atom_ptr[crystal]), last = 3 * int64_t(crystals.atom_ptr[crystal + 1]);
  int all_near = 1;
  for (int64_t k = first; k < last; ++k) all_near &= std::abs(crystals.positions[k]) <= Real(kFarthest);
  if (all_near) return;
  int64_t k = first;
  while (std::abs(crystals.positions[k]) <= Real(kFarthest)) ++k;
  fail("positions of crystal ", crystal, " must be finite and at most ", kFarthest, " Å from the origin, got ",
       crystals.positions[k], " for atom ", k / 3);
}

template <class Real>
void check_cell(const CrystalView<Real>& crystals, int64_t crystal, double cutoff) {
  const Real* cell = crystals.cell + 9 * crystal;
  const Lattice l = make_lattice(cell);
  // Written so that NaN fails.
  if (!(l.height_a >= kThinnest && l.height_b >= kThinnest && l.height_c >= kThinnest && l.height_a <= kFarthest &&
        l.height_b <= kFarthest && l.height_c <= kFarthest)) {
    fail("cell of crystal ", crystal, " must be finite and not flat, got volume ", std::abs(dot(l.a, cross(l.b, l.c))),
         " Å3 for a = (", cell[0], ", ", cell[1], ", ", cell[2], "), b = (", cell[3], ", ", cell[4], ", ", cell[5],
         "), c = (", cell[6], ", ", cell[7], ", ", cell[8], ") Å");
  }
  const double n_images = (2 * cutoff / l.height_a + 1) * (2 * cutoff / l.height_b + 1) * (2 * cutoff / l.height_c + 1);
  if (!(n_images <= kMostImages)) {
    fail("cell of crystal ", crystal, " must have at most ", kMostImages, " images of an atom within ", cutoff,
         " Å, got ", n_images, " for heights of ", l.height_a, ", ", l.height_b, " and ", l.height_c, " Å");
  }
}

}  // namespace

template <class Real>
void check_crystals(const CrystalView<Real>& crystals, int64_t n_atoms, double cutoff) {
  check_pointers(crystals, n_atoms);
  for (int64_t c = 0; c < crystals.n_crystals; ++c) {
    check_positions(crystals, c);
    check_cell(crystals, c, cutoff);
  }
}

template void check_crystals(const CrystalView<float>&, int64_t, double);
template void check_crystals(const CrystalView<double>&, int64_t, double);

}  // namespace packflow::cpu
