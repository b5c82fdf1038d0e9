#define PACKFLOW_ISA baseline
#include "near_bits_baseline.inl"

#include "clash_kernel.inl"
