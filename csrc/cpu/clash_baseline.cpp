#define PACKFLOW_ISA baseline
#include "clash_kernel.inl"
