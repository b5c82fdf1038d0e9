#define PACKFLOW_ISA avx512
#define PACKFLOW_LANES 16
#define PACKFLOW_TILE_ROWS 14
#include "bond_attention_kernel.inl"
