#define PACKFLOW_ISA avx512
#include "min_image_kernel.inl"
