/* Row operations: each loop of rows_ops.h for 16 and 32 bits, and on x86 once more for AVX2 and for AVX-512 (the build
 * itself assumes no more than the baseline). Which one runs is asked of the processor each time: nothing is remembered.
 */
#include "rows.h"

#define TARGET
#define T int16_t
#define UNSIGNED uint16_t
#define ROWS fl_rows_16
#define NAME(operation) operation##_16
#include "rows_ops.h"
#undef T
#undef UNSIGNED
#undef ROWS
#undef NAME

#define T int32_t
#define UNSIGNED uint32_t
#define ROWS fl_rows_32
#define NAME(operation) operation##_32
#include "rows_ops.h"
#undef T
#undef UNSIGNED
#undef ROWS
#undef NAME
#undef TARGET

#if defined(__x86_64__)
#define TARGET FL_TARGET_AVX2
#define T int16_t
#define UNSIGNED uint16_t
#define ROWS fl_rows_16
#define NAME(operation) operation##_16_avx2
#include "rows_ops.h"
#undef T
#undef UNSIGNED
#undef ROWS
#undef NAME

#define T int32_t
#define UNSIGNED uint32_t
#define ROWS fl_rows_32
#define NAME(operation) operation##_32_avx2
#include "rows_ops.h"
#undef T
#undef UNSIGNED
#undef ROWS
#undef NAME
#undef TARGET

#define TARGET FL_TARGET_AVX512
#define T int16_t
#define UNSIGNED uint16_t
#define ROWS fl_rows_16
#define NAME(operation) operation##_16_avx512
#include "rows_ops.h"
#undef T
#undef UNSIGNED
#undef ROWS
#undef NAME

#define T int32_t
#define UNSIGNED uint32_t
#define ROWS fl_rows_32
#define NAME(operation) operation##_32_avx512
#include "rows_ops.h"

int fl_has_avx512(void) {
#if defined(FL_NO_AVX512)
    return 0; /* as in paths.c */
#else
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi");
#endif
}

const fl_rows_16 *fl_get_rows_16(void) {
    return fl_has_avx512() ? &rows_16_avx512 : __builtin_cpu_supports("avx2") ? &rows_16_avx2 : &rows_16;
}
const fl_rows_32 *fl_get_rows_32(void) {
    return fl_has_avx512() ? &rows_32_avx512 : __builtin_cpu_supports("avx2") ? &rows_32_avx2 : &rows_32;
}
#else
const fl_rows_16 *fl_get_rows_16(void) { return &rows_16; }
const fl_rows_32 *fl_get_rows_32(void) { return &rows_32; }
#endif
