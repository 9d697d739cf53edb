/* Samples as callers store them, and rows of single components (samples.c). */
#ifndef FL_SAMPLES_H
#define FL_SAMPLES_H

#include "rows.h"

/* The range of coded samples: of the numbers of table entries where there is a value table. */
int32_t fl_sample_min(const fl_info *info);
int32_t fl_sample_max(const fl_info *info);
/* What samples of more than 8 bits are less by while they are transformed: the middle of their range, so that more of
 * them fit 16 bits. Every step of every transform, forward and back, passes such a constant on; details and colour
 * differences don't change. Only the coarsest coefficients see it, and SPEC 3.3 and 3.4 don't have it. */
int32_t fl_sample_middle(const fl_info *info);
/* What the coarsest coefficients of a component are less by then. */
int32_t fl_base_middle(const fl_info *info, uint32_t component);

/* Where samples lie. */
typedef struct {
    fl_storage storage;
    uint32_t components;
    ptrdiff_t size;                         /* of a sample, in bytes */
    ptrdiff_t stride_c, stride_y, stride_x; /* in samples */
} fl_layout;

fl_layout fl_layout_of(const fl_info *info, ptrdiff_t stride_c, ptrdiff_t stride_y, ptrdiff_t stride_x);

/* Neighbouring samples that are handled together: they stay in the L1 cache from one step to the next. */
#define FL_RUN 512u
typedef union {
    uint8_t bytes[FL_MAX_COMPONENTS][FL_RUN];
    uint16_t words[FL_MAX_COMPONENTS][FL_RUN];
} fl_run;

/* Whether samples of a row and component lie one after the other, and need no run. */
static inline int fl_is_planar(const fl_layout *l) { return l->stride_x == 1; }
/* Samples [0, n) of all components, n <= FL_RUN, to rows of a run, and back. */
void fl_split_run(const fl_layout *l, const void *samples, uint32_t n, fl_run *run);
void fl_join_run(const fl_layout *l, const fl_run *run, uint32_t n, void *samples);

#endif
