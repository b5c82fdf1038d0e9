#define PACKFLOW_ISA baseline
#include "near_bits_baseline.inl"

#include "neighbors_kernel.inl"
