// The kernels for SIMD level baseline: 4 floats a vector.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define FLOWKIT_LANES 4
#define FLOWKIT_SIMD simd_baseline
#define FLOWKIT_SIMD_NAME "baseline"

#include "kernels/all.inl"
