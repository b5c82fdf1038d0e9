#include "search.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "search_memory.h"

namespace packflow::cpu {

void reserve_atoms(SearchMemory& memory, ImageTable& table, int n_atoms) {
  const size_t n = n_atoms;
  table.wrapped = memory.wrapped.reserve(n);
  table.self = memory.of_atoms.reserve(4 * n);
  table.shift_a = table.self + n;
  table.shift_b = table.shift_a + n;
  table.shift_c = table.shift_b + n;
  table.atom_x = memory.atom_coordinates.reserve(3 * n);
  table.atom_y = table.atom_x + n;
  table.atom_z = table.atom_y + n;
}

void reserve_images(SearchMemory& memory, ImageTable& table, int64_t n_images) {
  if (n_images > std::numeric_limits<int32_t>::max() / 2) {
    throw std::invalid_argument("a crystal has too many images within the cutoff: " + std::to_string(n_images));
  }
  const size_t n = n_images, padded = n + kSearchStep;
  table.atom = memory.of_images.reserve(5 * n + kSearchStep);
  table.u = table.atom + n;
  table.v = table.u + n;
  table.w = table.v + n;
  table.found = table.w + n;
  // Twice: a grid puts the coordinates in another order.
  table.x = memory.coordinates.reserve(6 * padded);
  table.y = table.x + padded;
  table.z = table.y + padded;
  table.image = nullptr;
  table.cube_end = nullptr;
}

void reserve_grid(SearchMemory& memory, ImageTable& table, int64_t n_images, int64_t n_cubes) {
  const size_t n = n_images, padded = n + kSearchStep;
  table.image = memory.of_places.reserve(padded);
  table.cube_end = memory.cube_end.reserve(n_cubes);
  table.x += 3 * padded;
  table.y += 3 * padded;
  table.z += 3 * padded;
}

void sort_ascending(int32_t* first, int32_t* last) { std::sort(first, last); }

void sort_ascending(double* first, double* last) { std::sort(first, last); }

}  // namespace packflow::cpu
