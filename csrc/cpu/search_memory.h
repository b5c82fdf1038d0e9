#pragma once

#include <stddef.h>

#include <memory>
#include <vector>

#include "search.h"

namespace packflow::cpu {

/// Memory that only grows; its contents are lost when it does.
template <class T>
class Room {
 public:
  T* reserve(size_t n) {
    if (n > size_) {
      data_.reset();
      size_ = n + n / 4;
      data_.reset(new T[size_]);  // not initialised
    }
    return data_.get();
  }

 private:
  std::unique_ptr<T[]> data_;
  size_t size_ = 0;
};

class SearchMemory {
 public:
  Room<WrappedAtom> wrapped;
  Room<int32_t> of_atoms, of_images, of_places, cube_end;
  Room<float> atom_coordinates, coordinates;
};

}  // namespace packflow::cpu
