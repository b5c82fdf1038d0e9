#define PACKFLOW_ISA baseline
#define PACKFLOW_LANES 4
#define PACKFLOW_TILE_ROWS 6
#include "bond_attention_kernel.inl"
