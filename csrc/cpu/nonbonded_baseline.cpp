#define PACKFLOW_ISA baseline
#include "nonbonded_kernel.inl"
