#pragma once

#include <stdint.h>

namespace packflow::cpu {

// Three functions that every instruction set has its own version of, in near_bits_*.inl:
//
//   NearBits near_bits(x, y, z, x0, y0, z0, surely2, maybe2)   compares kSearchStep points with the point 0
//   uint32_t after_bits(x, y)   bit k: x[k] > y, of kSearchStep integers
//   int append_places(to, place, bits)   writes place + k for the set bits k, ascending, and perhaps rubbish after
//   them, up
//                                        to kSearchStep numbers; returns the number of set bits

/// Which of kSearchStep points are near another; bit k is point k.
struct NearBits {
  uint32_t surely, maybe;  // squared distance below the one limit, and below the other
};

}  // namespace packflow::cpu
