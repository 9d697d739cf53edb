/* Samples <-> components (samples.c). */
#ifndef FL_SAMPLES_H
#define FL_SAMPLES_H

#include "internal.h"

int32_t fl_sample_min(const fl_info *info);
int32_t fl_sample_max(const fl_info *info);
void fl_load_row(const fl_info *info, const void *samples, ptrdiff_t at, ptrdiff_t stride, uint32_t width,
                 int32_t *row);
void fl_store_row(const fl_info *info, const int32_t *row, uint32_t width, void *samples, ptrdiff_t at,
                  ptrdiff_t stride);
void fl_rct_forward(int32_t *r, int32_t *g, int32_t *b, uint32_t width);
void fl_rct_inverse(int32_t *y, int32_t *u, int32_t *v, uint32_t width);

#endif
