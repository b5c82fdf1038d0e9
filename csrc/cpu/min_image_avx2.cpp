#define PACKFLOW_ISA avx2
#include "min_image_kernel.inl"
