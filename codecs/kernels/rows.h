/* Arithmetic on rows of samples, in 16 and in 32 bits (rows.c): what both directions of all transforms are made of.
 *
 * A row operation reads whole rows and writes another; outputs overlap no input, except where said. Rows across and
 * rows of rows (columns) use the same operations: a column step is one operation on a few rows. */
#ifndef FL_ROWS_H
#define FL_ROWS_H

#include "internal.h"

/* Samples as they are stored. */
typedef enum { FL_UINT8, FL_INT8, FL_UINT16, FL_INT16 } fl_storage;

#define FL_ROWS(T, NAME)                                                                                               \
    typedef struct {                                                                                                   \
        /* Coefficients as T, cut to it; T as coefficients; the largest magnitude. */                                  \
        void (*take_16)(const int16_t *from, uint32_t n, T *to);                                                       \
        void (*take_32)(const int32_t *from, uint32_t n, T *to);                                                       \
        /* Coefficients that are known down to plane `low` (SPEC 3.7). */                                              \
        void (*cut)(const int32_t *from, uint32_t n, uint32_t low, T *to);                                             \
        void (*put)(const T *from, uint32_t n, int32_t *to);                                                           \
        uint32_t (*reach)(const T *row, uint32_t n);                                                                   \
        void (*split)(const T *from, uint32_t pairs, T *even, T *odd);                                                 \
        /* Steps of the inverse (SPEC 3.4); the forward ones add what these subtract. */                               \
        void (*even_down)(const T *s, const T *before, const T *after, uint32_t n, T *x);                              \
        void (*even_up)(const T *x, const T *before, const T *after, uint32_t n, T *s);                                \
        void (*odd_53_up)(const T *d, const T *e0, const T *e1, uint32_t n, T *x);                                     \
        void (*odd_53_down)(const T *x, const T *e0, const T *e1, uint32_t n, T *d);                                   \
        void (*odd_97_up)(const T *d, const T *em, const T *e0, const T *e1, const T *e2, uint32_t n, T *x);           \
        void (*odd_97_down)(const T *x, const T *em, const T *e0, const T *e1, const T *e2, uint32_t n, T *d);         \
        void (*haar_up)(const T *s, const T *d, uint32_t n, T *a, T *b);                                               \
        void (*haar_down)(const T *a, const T *b, uint32_t n, T *s, T *d);                                             \
        /* The last steps of the inverse across: even samples and details, mirrored as needed, to pairs of samples. */ \
        void (*pairs_53)(const T *even, const T *d, uint32_t pairs, T *to);                                            \
        void (*pairs_97)(const T *even, const T *d, uint32_t pairs, T *to);                                            \
        void (*pairs_haar)(const T *s, const T *d, uint32_t pairs, T *to);                                             \
        /* Colour (SPEC 3.3). The forward ones work in place. */                                                       \
        void (*rct_join)(const T *y, const T *u, const T *v, uint32_t n, T *r, T *g, T *b);                            \
        void (*ycocg_join)(const T *y, const T *co, const T *cg, uint32_t n, T *r, T *g, T *b);                        \
        void (*rct_split)(T * r, T *g, T *b, uint32_t n);                                                              \
        void (*ycocg_split)(T * r, T *g, T *b, uint32_t n);                                                            \
        /* Stored samples less `middle` to T, cut to it; and clipped to [low, high], with it, and stored. */           \
        void (*load)(fl_storage storage, const void *from, uint32_t n, int32_t middle, T *row);                        \
        void (*range)(const T *row, uint32_t n, int32_t *least, int32_t *most); /* widens [least, most] */             \
        void (*store_8)(const T *row, uint32_t n, int32_t low, int32_t high, uint8_t *to);                             \
        void (*store_16)(const T *row, uint32_t n, int32_t low, int32_t high, int32_t middle, uint16_t *to);           \
        /* The largest difference of stored samples. */                                                                \
        uint32_t (*apart)(fl_storage storage, const void *a, const void *b, uint32_t n);                               \
    } NAME

FL_ROWS(int16_t, fl_rows_16);
FL_ROWS(int32_t, fl_rows_32);
#undef FL_ROWS

/* What rows are best aligned to, and the first such address in a buffer with that much to spare. */
#define FL_ALIGN 64u
static inline void *fl_align(void *p) { return (uint8_t *)p + (-(uintptr_t)p & (FL_ALIGN - 1u)); }

/* The fastest for this processor; all give the same bits. */
const fl_rows_16 *fl_get_rows_16(void);
const fl_rows_32 *fl_get_rows_32(void);

#if defined(__x86_64__)
#define FL_TARGET_AVX2 __attribute__((target("avx2")))
/* gcc takes vectors of 32 bytes unless it is told otherwise; clang takes 64 by itself. */
#if defined(__clang__)
#define FL_TARGET_AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")))
#else
#define FL_TARGET_AVX512                                                                                               \
    __attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,prefer-vector-width=512")))
#endif
int fl_has_avx512(void);
#endif

#endif
