#define PACKFLOW_ISA avx2
#define PACKFLOW_LANES 8
#define PACKFLOW_TILE_VECTORS 2
#include "pair_refinement_kernel.inl"
