#define PACKFLOW_ISA avx2
#include "ewald_kernel.inl"
