#define PACKFLOW_ISA baseline
#include "ewald_kernel.inl"
