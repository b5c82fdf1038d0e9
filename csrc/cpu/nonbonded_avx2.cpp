#define PACKFLOW_ISA avx2
#include "nonbonded_kernel.inl"
