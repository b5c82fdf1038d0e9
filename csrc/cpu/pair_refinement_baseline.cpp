#define PACKFLOW_ISA baseline
#define PACKFLOW_LANES 4
#define PACKFLOW_TILE_VECTORS 2
#include "pair_refinement_kernel.inl"
