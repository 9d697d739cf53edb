/* Inverse transform of a region of a level from the tiles under it (SPEC 3.4): row by row, in 16 bits as long as that
 * is exact, in 32 bits otherwise. */
#include "rows.h"
#include "samples.h"
#include "transform.h"

typedef struct {
    void *samples;
    ptrdiff_t stride_c, stride_y, stride_x;
    const uint16_t *values;
} output;

static void store_one(const output *out, uint32_t bits, ptrdiff_t at, uint16_t value) {
    if (bits > 8)
        ((uint16_t *)out->samples)[at] = value;
    else
        ((uint8_t *)out->samples)[at] = (uint8_t)value;
}

/* Room for a row `depth` levels below a region of `width` samples. fl_plan_steps asks for at most width / 2 + 3.5 low
 * coefficients of a row of `width` samples, so for width / 2^depth + 7; rows are whole pairs (+ 2) with up to three
 * mirrored values beside them. */
static size_t row_room(uint32_t width, uint32_t depth) { return ((((size_t)width >> depth) + 16u) | 15u) + 1u; }

/* Whether int16 holds all that one level computes from low samples of at most M = low + 1 in magnitude and coefficients
 * of at most m = high + 1, and what colour transforms make of the result.
 *
 * One direction of the 5/3 and of S-Haar gives at most M + 1.5 m + 2, two directions M + 5.25 m + 10. Up to 13,000,
 * every sum is below 2 x 13,000 + 2, and the inverse colour transforms stay below 2.5 x 13,000 + 1 < 2^15. One
 * direction of the 9/7-M gives at most 1.25 M + 1.625 m + 4, two 1.5625 M + 6.7 m + 16; up to 8,000, its sum of four is
 * below 4 x 8,000 + 8. */
static uint32_t fits_narrow(uint32_t transform, uint32_t low, uint32_t high) {
    uint64_t M = (uint64_t)low + 1u, m = (uint64_t)high + 1u;
    if (transform == FL_TRANSFORM_97M) return 100u * M + 432u * m + 1024u <= 64u * 8000u;
    return 4u * M + 21u * m + 40u <= 4u * 13000u;
}

#define T int16_t
#define ROWS fl_rows_16
#define NAME(function) function##_16
#include "stream.h"
#undef T
#undef ROWS
#undef NAME

#define T int32_t
#define ROWS fl_rows_32
#define NAME(function) function##_32
#include "stream.h"
#undef T
#undef ROWS
#undef NAME

/* In rows of int32: five that all components share, nine a level, one of the base, three for colours. */
size_t fl_wavelet_region_workspace(const fl_info *info, uint32_t level, uint32_t width, uint32_t height) {
    (void)height;
    size_t rows = 8u * row_room(width, 0);
    for (uint32_t k = level; k <= info->levels && k <= FL_MAX_LEVELS; k++)
        rows += (k < info->levels ? 9u : 1u) * info->components * row_room(width, k - level);
    return rows * sizeof(int32_t);
}

fl_status fl_wavelet_region(const fl_info *info, uint32_t level, uint32_t x, uint32_t y, uint32_t width,
                            uint32_t height, const int32_t *const *tiles, const uint16_t *values, void *samples,
                            ptrdiff_t stride_c, ptrdiff_t stride_y, ptrdiff_t stride_x, void *workspace) {
    if (info->levels >= FL_MAX_LEVELS || level > info->levels || width < 1 || height < 1) return FL_INVALID;
    const fl_level *at = &info->level[level];
    if (x >= at->width || width > at->width - x || y >= at->height || height > at->height - y) return FL_INVALID;
    if (info->values > 0 && !values) return FL_INVALID;
    fl_span xs = {x, x + width}, ys = {y, y + height};
    output out = {samples, stride_c, stride_y, stride_x, values};
    uint32_t done = picture_16(info, tiles, fl_get_rows_16(), level, xs, ys, &out, workspace);
    if (done < height) {
        ys.start += done;
        out.samples = (uint8_t *)samples + (ptrdiff_t)done * stride_y * (info->bits > 8 ? 2 : 1);
        picture_32(info, tiles, fl_get_rows_32(), level, xs, ys, &out, workspace);
    }
    return FL_OK;
}
