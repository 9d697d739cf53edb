/* Forward transform of a whole shard: colour, then all levels row by row, in Mallat order (SPEC 3.3, 3.4): in 16 bits
 * if that is exact, in 32 bits otherwise. */
#include "rows.h"
#include "samples.h"
#include "transform.h"

/* What is to be transformed: the arguments of fl_wavelet_forward. */
typedef struct {
    const fl_info *info;
    const uint8_t *samples;
    fl_layout layout;
    uint32_t any; /* whether any byte is a sample: there is nothing to check, and all fit int16 */
} picture;

/* Beside a row: one mirrored value before it, two after it; as many as keep rows of int16 aligned to 64 bytes. */
#define BESIDE 32u

/* Rows that all components share, and rows of a level. */
#define SHARED_ROWS 5u
#define NODE_ROWS 8u

static size_t row_room(uint32_t width) { return (((size_t)width + 2u + BESIDE - 1u) / BESIDE + 1u) * BESIDE; }

/* Up to which magnitude M of samples int16 holds all that one level computes (and so all that colour transforms do).
 *
 * S-Haar: a difference of differences is at most 4 M. 5/3: a detail is at most 2 M, one of both directions 4 M; two of
 * those and 2 are added up. 9/7-M: a detail is at most 9/4 M + 1, a sum of four and 8 at most 4 x (9/4 M + 1) + 8, a
 * detail of both directions 9/4 (9/4 M + 1) + 1; two of those and 2 are less than 10.2 M + 9. */
static uint32_t narrow_limit(uint32_t transform) {
    return transform == FL_TRANSFORM_HAAR ? 8191u : transform == FL_TRANSFORM_53 ? 4095u : 3200u;
}

#define T int16_t
#define ROWS fl_rows_16
#define NAME(function) function##_16
#include "analysis.h"
#undef T
#undef ROWS
#undef NAME

#define T int32_t
#define ROWS fl_rows_32
#define NAME(function) function##_32
#include "analysis.h"
#undef T
#undef ROWS
#undef NAME

/* In rows of int32: those shared, those of each level; and what aligns them. */
size_t fl_wavelet_forward_workspace(const fl_info *info) {
    size_t rows = SHARED_ROWS * row_room(info->width);
    for (uint32_t k = 0; k <= info->levels && k <= FL_MAX_LEVELS; k++)
        rows += NODE_ROWS * info->components * row_room(info->level[k].width);
    return rows * sizeof(int32_t) + FL_ALIGN;
}

fl_status fl_wavelet_forward(const fl_info *info, const void *samples, ptrdiff_t stride_c, ptrdiff_t stride_y,
                             ptrdiff_t stride_x, int32_t *planes, void *workspace) {
    if (info->levels > FL_MAX_LEVELS) return FL_INVALID;
    picture p = {info, samples, fl_layout_of(info, stride_c, stride_y, stride_x), info->bits == 8 && info->values == 0};
    void *rows = fl_align(workspace);
    fl_status status = forward_16(&p, fl_get_rows_16(), planes, rows);
    return status == FL_OK ? status : forward_32(&p, fl_get_rows_32(), planes, rows);
}
