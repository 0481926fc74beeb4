// The kernels for SIMD level x86-64-v4: 16 floats a vector.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define FLOWKIT_LANES 16
#define FLOWKIT_SIMD simd_v4
#define FLOWKIT_SIMD_NAME "x86-64-v4"

#include "kernels/all.inl"
