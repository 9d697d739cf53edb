/* Row operations: each loop of rows_ops.h for 16 and 32 bits, and on x86 once more for AVX2 (the build itself assumes
 * no more than the baseline). Which one runs is asked of the processor each time: nothing is remembered. */
#include "rows.h"

/* Samples that are clipped before they are interleaved. */
#define FL_RUN 64u

/* 16 bytes each of three rows as 48 of pixels. Six shuffles of two vectors; no compiler finds them by itself. */
static inline __attribute__((always_inline)) void fl_interleave_3(const uint8_t *a, const uint8_t *b, const uint8_t *c,
                                                                  uint8_t *to) {
    typedef uint8_t bytes __attribute__((vector_size(16)));
    bytes x, y, z, pixels[3];
    fl_copy(&x, a, 16);
    fl_copy(&y, b, 16);
    fl_copy(&z, c, 16);
    /* Places that the first shuffle leaves to z hold 0. */
    pixels[0] = __builtin_shufflevector(x, y, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
    pixels[1] = __builtin_shufflevector(x, y, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
    pixels[2] = __builtin_shufflevector(x, y, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
    pixels[0] = __builtin_shufflevector(pixels[0], z, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15);
    pixels[1] = __builtin_shufflevector(pixels[1], z, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15);
    pixels[2] = __builtin_shufflevector(pixels[2], z, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31);
    fl_copy(to, pixels, sizeof pixels);
}

#define TARGET
#define T int16_t
#define ROWS fl_rows_16
#define NAME(operation) operation##_16
#include "rows_ops.h"
#undef T
#undef ROWS
#undef NAME

#define T int32_t
#define ROWS fl_rows_32
#define NAME(operation) operation##_32
#include "rows_ops.h"
#undef T
#undef ROWS
#undef NAME
#undef TARGET

#if defined(__x86_64__) && !defined(__AVX2__)
#define TARGET __attribute__((target("avx2")))
#define T int16_t
#define ROWS fl_rows_16
#define NAME(operation) operation##_16_avx2
#include "rows_ops.h"
#undef T
#undef ROWS
#undef NAME

#define T int32_t
#define ROWS fl_rows_32
#define NAME(operation) operation##_32_avx2
#include "rows_ops.h"

const fl_rows_16 *fl_get_rows_16(void) { return __builtin_cpu_supports("avx2") ? &rows_16_avx2 : &rows_16; }
const fl_rows_32 *fl_get_rows_32(void) { return __builtin_cpu_supports("avx2") ? &rows_32_avx2 : &rows_32; }
#else
const fl_rows_16 *fl_get_rows_16(void) { return &rows_16; }
const fl_rows_32 *fl_get_rows_32(void) { return &rows_32; }
#endif
