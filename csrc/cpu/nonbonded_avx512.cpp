#define PACKFLOW_ISA avx512
#include "nonbonded_kernel.inl"
