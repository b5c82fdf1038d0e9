#define PACKFLOW_ISA avx2
#include "clash_kernel.inl"
