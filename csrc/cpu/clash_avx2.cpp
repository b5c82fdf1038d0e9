#define PACKFLOW_ISA avx2
#include "near_bits_avx2.inl"

#include "clash_kernel.inl"
