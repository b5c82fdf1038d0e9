#pragma once

#include <stdint.h>

namespace packflow::cpu {

/// Which of kSearchStep points are near another; bit k is point k.
struct NearBits {
  uint32_t surely, maybe;  // squared distance below the one limit, and below the other
};

}  // namespace packflow::cpu
