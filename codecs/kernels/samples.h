/* Samples <-> components (samples.c). */
#ifndef FL_SAMPLES_H
#define FL_SAMPLES_H

#include "internal.h"

int32_t fl_sample_min(const fl_info *info);
int32_t fl_sample_max(const fl_info *info);
void fl_load_row(const fl_info *info, const void *samples, ptrdiff_t at, ptrdiff_t stride, uint32_t width,
                 int32_t *row);

#endif
