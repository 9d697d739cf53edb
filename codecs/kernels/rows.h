/* Arithmetic on rows of samples, in 16 and in 32 bits (rows.c): what both directions of all transforms are made of.
 *
 * A row operation reads whole rows and writes another; outputs overlap no input, except where said. Rows across and
 * rows of rows (columns) use the same operations: a column step is one operation on a few rows. */
#ifndef FL_ROWS_H
#define FL_ROWS_H

#include "internal.h"

#define FL_ROWS(T, NAME)                                                                                               \
    typedef struct {                                                                                                   \
        /* to = from, cut to T; the OR of v ^ (v >> 31): no |v| is above it by more than 1. */                         \
        uint32_t (*take)(const int32_t *from, uint32_t n, T *to);                                                      \
        uint32_t (*reach)(const T *row, uint32_t n); /* the same OR of a row */                                        \
        void (*interleave)(const T *even, const T *odd, uint32_t pairs, T *to);                                        \
        void (*split)(const T *from, uint32_t pairs, T *even, T *odd);                                                 \
        /* Steps of the inverse (SPEC 3.4); the forward ones add what these subtract. */                               \
        void (*even_down)(const T *s, const T *before, const T *after, uint32_t n, T *x);                              \
        void (*even_up)(const T *x, const T *before, const T *after, uint32_t n, T *s);                                \
        void (*odd_53_up)(const T *d, const T *e0, const T *e1, uint32_t n, T *x);                                     \
        void (*odd_53_down)(const T *x, const T *e0, const T *e1, uint32_t n, T *d);                                   \
        void (*odd_97_up)(const T *d, const T *em, const T *e0, const T *e1, const T *e2, uint32_t n, T *x);           \
        void (*odd_97_down)(const T *x, const T *em, const T *e0, const T *e1, const T *e2, uint32_t n, T *d);         \
        void (*haar_join)(const T *s, const T *d, uint32_t n, T *a, T *b);                                             \
        void (*haar_split)(const T *a, const T *b, uint32_t n, T *s, T *d);                                            \
        /* Colour (SPEC 3.3). The forward ones work in place. */                                                       \
        void (*rct_join)(const T *y, const T *u, const T *v, uint32_t n, T *r, T *g, T *b);                            \
        void (*ycocg_join)(const T *y, const T *co, const T *cg, uint32_t n, T *r, T *g, T *b);                        \
        void (*rct_split)(T * r, T *g, T *b, uint32_t n);                                                              \
        void (*ycocg_split)(T * r, T *g, T *b, uint32_t n);                                                            \
        /* Clip to [low, high] and store, `stride` samples apart; or three rows interleaved. */                        \
        void (*store_8)(const T *row, uint32_t n, int32_t low, int32_t high, uint8_t *to, ptrdiff_t stride);           \
        void (*store_16)(const T *row, uint32_t n, int32_t low, int32_t high, uint16_t *to, ptrdiff_t stride);         \
        void (*store_8x3)(const T *r, const T *g, const T *b, uint32_t n, int32_t low, int32_t high, uint8_t *to);     \
    } NAME

FL_ROWS(int16_t, fl_rows_16);
FL_ROWS(int32_t, fl_rows_32);
#undef FL_ROWS

/* The fastest for this processor; all give the same bits. */
const fl_rows_16 *fl_get_rows_16(void);
const fl_rows_32 *fl_get_rows_32(void);

#endif
