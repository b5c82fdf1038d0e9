#define PACKFLOW_ISA avx512
#include "clash_kernel.inl"
