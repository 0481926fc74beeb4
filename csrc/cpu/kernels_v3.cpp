// The kernels for SIMD level x86-64-v3: 8 floats a vector.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#pragma GCC target("arch=x86-64-v3")
#define FLOWKIT_LANES 8
#define FLOWKIT_SIMD simd_v3
#define FLOWKIT_SIMD_NAME "x86-64-v3"

#include "kernels/all.inl"
