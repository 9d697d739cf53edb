/* Forward transform of a whole shard: colour, then level by level, in Mallat order (SPEC 3.3, 3.4). */
#include "rows.h"
#include "samples.h"

/* Columns that are lifted together: a strip of 4,096 rows is 1 MB and stays in the L2 cache. */
#define STRIP 64u

/* Mirrored values beside a row: one before it, two after it; sixteen keep rows aligned. */
#define ROOM(n) ((size_t)(n) + 16u)

/* The workspace holds one row of all components, four rows with their mirrored ends, and one strip. */
size_t fl_wavelet_forward_workspace(const fl_info *info) {
    size_t rows = (size_t)info->width * info->components + 4u * ROOM(info->width), strip = (size_t)info->height * STRIP;
    return (rows + strip) * sizeof(int32_t);
}

typedef struct {
    const fl_rows_32 *rows;
    uint32_t transform;
    int32_t *even, *odd, *high, *strip; /* the rows begin 4 values after their room does */
} lifting;

/* One row of `n` samples, stride 1, split into its low and high half. */
static void split_across(const lifting *l, int32_t *row, uint32_t n) {
    if (n < 2) return;
    uint32_t lows = fl_low(n), highs = fl_high(n);
    int32_t *e = l->even, *d = l->high;
    l->rows->split(row, highs, e, l->odd);
    if (lows > highs) e[highs] = row[n - 1u];
    if (l->transform == FL_TRANSFORM_HAAR) {
        l->rows->haar_split(e, l->odd, highs, row, d);
        if (lows > highs) row[highs] = e[highs];
    } else {
        e[-1] = e[lows > 1u ? 1u : 0u];
        e[lows] = lows > highs ? e[lows > 1u ? lows - 2u : 0u] : e[lows - 1u];
        e[lows + 1u] = e[lows > 1u ? lows - 2u : 0u];
        if (l->transform == FL_TRANSFORM_97M)
            l->rows->odd_97_down(l->odd, e - 1, e, e + 1, e + 2, highs, d);
        else
            l->rows->odd_53_down(l->odd, e, e + 1, highs, d);
        d[-1] = d[0];
        d[highs] = d[highs - 1u];
        l->rows->even_up(e, d - 1, d, lows, row);
    }
    fl_copy(row + lows, d, highs * sizeof *row);
}

/* Even sample j of `lows` + `highs` samples, mirrored beyond the ends. */
static size_t mirrored(int64_t j, uint32_t lows, uint32_t highs) {
    if (j < 0) j = -j;
    if (j >= (int64_t)lows) j = (int64_t)lows + highs - 1 - j;
    return j < 0 ? 0 : (size_t)j;
}

/* The same for `columns` <= STRIP neighbouring columns of `n` rows. */
static void split_down(const lifting *l, int32_t *plane, size_t stride, uint32_t n, uint32_t columns) {
    if (n < 2) return;
    uint32_t lows = fl_low(n), highs = fl_high(n);
    int32_t *low = l->strip, *high = low + (size_t)lows * STRIP;
    for (uint32_t i = 0; i < highs; i++) {
        const int32_t *e0 = plane + 2 * i * stride, *x = e0 + stride;
        const int32_t *e1 = plane + 2 * stride * mirrored((int64_t)i + 1, lows, highs);
        int32_t *d = high + (size_t)i * STRIP;
        if (l->transform == FL_TRANSFORM_HAAR)
            l->rows->haar_split(e0, x, columns, low + (size_t)i * STRIP, d);
        else if (l->transform == FL_TRANSFORM_53)
            l->rows->odd_53_down(x, e0, e1, columns, d);
        else
            l->rows->odd_97_down(x, plane + 2 * stride * mirrored((int64_t)i - 1, lows, highs), e0, e1,
                                 plane + 2 * stride * mirrored((int64_t)i + 2, lows, highs), columns, d);
    }
    if (l->transform != FL_TRANSFORM_HAAR)
        for (uint32_t i = 0; i < lows; i++)
            l->rows->even_up(plane + 2 * i * stride, high + (size_t)(i > 0 ? i - 1u : 0u) * STRIP,
                             high + (size_t)fl_min(i, highs - 1u) * STRIP, columns, low + (size_t)i * STRIP);
    else if (lows > highs)
        fl_copy(low + (size_t)highs * STRIP, plane + 2 * highs * stride, columns * sizeof *plane);
    for (uint32_t y = 0; y < n; y++) fl_copy(plane + y * stride, low + (size_t)y * STRIP, columns * sizeof *plane);
}

fl_status fl_wavelet_forward(const fl_info *info, const void *samples, ptrdiff_t stride_c, ptrdiff_t stride_y,
                             ptrdiff_t stride_x, int32_t *planes, void *workspace) {
    size_t width = info->width, plane_size = width * info->height, room = ROOM(width);
    int32_t *loaded = workspace, *scratch = loaded + width * info->components;
    lifting l = {fl_get_rows_32(),   info->transform,        scratch + 4,
                 scratch + 4 + room, scratch + 4 + 2 * room, scratch + 4 * room};
    int32_t low = fl_sample_min(info), high = fl_sample_max(info);
    for (uint32_t y = 0; y < info->height; y++) {
        uint32_t bad = 0;
        for (uint32_t c = 0; c < info->components; c++) {
            int32_t *row = loaded + c * width;
            fl_load_row(info, samples, (ptrdiff_t)c * stride_c + (ptrdiff_t)y * stride_y, stride_x, info->width, row);
            for (size_t x = 0; x < width; x++) bad |= (uint32_t)(row[x] < low) | (uint32_t)(row[x] > high);
        }
        if (bad) return FL_INVALID; /* a sample that the head's bits can't hold */
        if (info->colour != FL_COLOUR_NONE)
            (info->colour == FL_COLOUR_RCT ? l.rows->rct_split : l.rows->ycocg_split)(loaded, loaded + width,
                                                                                      loaded + 2 * width, info->width);
        for (uint32_t c = 0; c < info->components; c++)
            fl_copy(planes + c * plane_size + y * width, loaded + c * width, width * sizeof *loaded);
    }
    for (uint32_t c = 0; c < info->components; c++) {
        int32_t *plane = planes + c * plane_size;
        for (uint32_t k = 0; k < info->levels; k++) {
            const fl_level *level = &info->level[k];
            /* Columns first: the inverse ends with them (SPEC 3.4). */
            for (uint32_t x = 0; x < level->width; x += STRIP)
                split_down(&l, plane + x, width, level->height, fl_min(STRIP, level->width - x));
            for (uint32_t y = 0; y < level->height; y++) split_across(&l, plane + y * width, level->width);
        }
    }
    return FL_OK;
}
