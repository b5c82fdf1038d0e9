#define PACKFLOW_ISA avx512
#include "ewald_kernel.inl"
