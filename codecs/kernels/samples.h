/* Samples <-> components (samples.c). */
#ifndef FL_SAMPLES_H
#define FL_SAMPLES_H

#include "internal.h"

/* The range of coded samples: of the numbers of table entries where there is a value table. */
int32_t fl_sample_min(const fl_info *info);
int32_t fl_sample_max(const fl_info *info);
void fl_load_row(const fl_info *info, const void *samples, ptrdiff_t at, ptrdiff_t stride, uint32_t width,
                 int32_t *row);

#endif
