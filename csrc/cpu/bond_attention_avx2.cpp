#define PACKFLOW_ISA avx2
#define PACKFLOW_LANES 8
#define PACKFLOW_TILE_ROWS 6
#include "bond_attention_kernel.inl"
