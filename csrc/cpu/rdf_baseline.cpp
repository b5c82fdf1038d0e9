#define PACKFLOW_ISA baseline
#include "near_bits_baseline.inl"

#include "rdf_kernel.inl"
