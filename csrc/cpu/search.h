#pragma once

#include <stdint.h>

#include "packflow/images.h"

namespace packflow::cpu {

// The search that neighbors, rdf and amd share. All images of a crystal's atoms that can be near one of its atoms are
// laid out once; then each atom is compared with them, kSearchStep at a time: in float with a proven margin, and what
// falls within the margin is decided in double. A crystal with many images gets a grid of bins, so that an atom sees
// only those around it and the work grows with the number of atoms.

/// Images compared at once. The arrays that are read so go on for as many past the end.
constexpr int kSearchStep = 16;
/// Most images that every atom is compared with; with more there is a grid.
constexpr int kMostWithoutGrid = 4096;

/// A grid of cubes along x, y, z; the index of z runs fastest, so that a column of cubes is one range of images.
struct SearchGrid {
  float x, y, z;  // corner, Å
  float width;    // of a cube, Å
  int nx, ny, nz;
};

/// Plain arrays, filled by make_search. "Images" are sorted by atom, then by shift in lexicographic order; "places" are
/// the images in the order in which they are compared: cube by cube where there is a grid, else the same order.
struct ImageTable {
  // by atom
  WrappedAtom* wrapped;
  int32_t* self;                         // the atom's image without shift
  int32_t *shift_a, *shift_b, *shift_c;  // what wrapping subtracted
  float *atom_x, *atom_y, *atom_z;       // Å from the middle of the cell
  // by image
  int32_t *atom, *u, *v, *w;  // atom and shift, relative to the atom as given
  // by place
  float *x, *y, *z;   // Å from the middle of the cell
  int32_t* image;     // null without grid; goes on for a step as well
  int32_t* cube_end;  // [nx * ny * nz], places of the cubes up to each
  int32_t* found;     // room for the places or images that one atom finds, and a step more
};

/// Owns the arrays of one thread. Its functions are defined once, not per instruction set: they use the standard
/// library, whose templates must not be compiled for processors that may not be there.
class SearchMemory;

/// Make room in the table for a crystal. Throws std::bad_alloc, or std::invalid_argument for more images than an
/// int32 counts.
void reserve_atoms(SearchMemory& memory, ImageTable& table, int n_atoms);
void reserve_images(SearchMemory& memory, ImageTable& table, int64_t n_images);
void reserve_grid(SearchMemory& memory, ImageTable& table, int64_t n_images, int64_t n_cubes);

void sort_ascending(int32_t* first, int32_t* last);
void sort_ascending(double* first, double* last);

}  // namespace packflow::cpu
