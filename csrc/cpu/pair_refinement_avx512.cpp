#define PACKFLOW_ISA avx512
#define PACKFLOW_LANES 16
#define PACKFLOW_TILE_VECTORS 4
#include "pair_refinement_kernel.inl"
