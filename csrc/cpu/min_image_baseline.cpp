#define PACKFLOW_ISA baseline
#include "min_image_kernel.inl"
