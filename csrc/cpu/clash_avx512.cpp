#define PACKFLOW_ISA avx512
#include "near_bits_avx512.inl"

#include "clash_kernel.inl"
