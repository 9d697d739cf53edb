/* Row operations: each loop of rows_ops.h for 16 and 32 bits, and on x86 once more for AVX2 (the build itself assumes
 * no more than the baseline). Which one runs is asked of the processor each time: nothing is remembered. */
#include "rows.h"

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
