/* The ways of coding that this build has, and the choice among them by what the processor can do. */
#include "encode.h"

#if !defined(__wasm_simd128__)
#include "tile_scalar.h"
#endif
#if defined(__x86_64__)
#include "tile_avx2.h"

#include "tile_avx512.h"
#elif defined(__wasm_simd128__)
#define DECODER_ONLY
#include "tile_wasm.h"
#endif

/* Asked each time: nothing is remembered between calls. */
const fl_tile_ops *fl_tile_ops_for(uint32_t path) {
#if defined(__wasm_simd128__)
    return path == FL_PATH_BEST || path == FL_PATH_SIMD ? &ops_wasm : 0;
#else
#if defined(__x86_64__)
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
    int avx512 = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512ifma") &&
                 __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
                 __builtin_cpu_supports("gfni") && __builtin_cpu_supports("avx512vpopcntdq");
#if defined(FL_NO_AVX512)
    avx512 = 0; /* a build to measure the other way of such processors */
#endif
    if (avx2 && avx512 && (path == FL_PATH_BEST || path == FL_PATH_AVX512)) return &ops_avx512;
    if (avx2 && (path == FL_PATH_BEST || path == FL_PATH_SIMD)) return &ops_avx2;
#endif
    return path == FL_PATH_BEST || path == FL_PATH_PORTABLE ? &ops_scalar : 0;
#endif
}
