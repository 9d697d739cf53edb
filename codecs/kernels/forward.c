/* Forward transform of a whole shard: colour, then 5/3 level by level, in Mallat order (SPEC 3.3, 3.4). */
#include "samples.h"

/* Columns that are lifted together: a strip of 65,536 rows is 8 MB, one of 4,096 rows stays in the L2 cache. */
#define STRIP 32u

/* The workspace holds one row of all components, one row, and one strip. */
size_t fl_wavelet_forward_workspace(const fl_info *info) {
    size_t rows = (size_t)info->width * (info->components + 1u), strip = (size_t)info->height * STRIP;
    return (rows + strip) * sizeof(int32_t);
}

/* One row of `n` samples, stride 1, split into low and high halves by way of `temp`. */
static void split_row(int32_t *row, uint32_t n, int32_t *temp) {
    if (n < 2) return;
    uint32_t lows = fl_low(n), highs = fl_high(n);
    int32_t *low = temp, *high = temp + lows;
    for (uint32_t i = 0; i < highs; i++) {
        uint32_t next = 2 * i + 2 < n ? 2 * i + 2 : 2 * i; /* mirrored at the end */
        high[i] = row[2 * i + 1] - ((row[2 * i] + row[next]) >> 1);
    }
    for (uint32_t i = 0; i < lows; i++) {
        int32_t before = high[i > 0 ? i - 1 : 0], after = high[i < highs ? i : highs - 1];
        low[i] = row[2 * i] + ((before + after + 2) >> 2);
    }
    fl_copy(row, temp, n * sizeof *row);
}

/* The same for `columns` <= STRIP neighbouring columns of `n` rows. */
static void split_columns(int32_t *plane, size_t stride, uint32_t n, uint32_t columns, int32_t *strip) {
    if (n < 2) return;
    uint32_t lows = fl_low(n), highs = fl_high(n);
    for (uint32_t i = 0; i < highs; i++) {
        const int32_t *before = plane + (size_t)(2 * i) * stride, *at = before + stride;
        const int32_t *after = 2 * i + 2 < n ? at + stride : before;
        int32_t *out = strip + (size_t)(lows + i) * STRIP;
        for (uint32_t x = 0; x < columns; x++) out[x] = at[x] - ((before[x] + after[x]) >> 1);
    }
    for (uint32_t i = 0; i < lows; i++) {
        const int32_t *before = strip + (size_t)(lows + (i > 0 ? i - 1 : 0)) * STRIP;
        const int32_t *after = strip + (size_t)(lows + (i < highs ? i : highs - 1)) * STRIP;
        const int32_t *at = plane + (size_t)(2 * i) * stride;
        int32_t *out = strip + (size_t)i * STRIP;
        for (uint32_t x = 0; x < columns; x++) out[x] = at[x] + ((before[x] + after[x] + 2) >> 2);
    }
    for (uint32_t y = 0; y < n; y++)
        fl_copy(plane + (size_t)y * stride, strip + (size_t)y * STRIP, columns * sizeof *plane);
}

fl_status fl_wavelet_forward(const fl_info *info, const void *samples, ptrdiff_t stride_c, ptrdiff_t stride_y,
                             ptrdiff_t stride_x, int32_t *planes, void *workspace) {
    size_t width = info->width, plane_size = width * info->height;
    int32_t *rows = workspace, *temp = rows + width * info->components, *strip = temp + width;
    int32_t low = fl_sample_min(info), high = fl_sample_max(info);
    for (uint32_t y = 0; y < info->height; y++) {
        uint32_t bad = 0;
        for (uint32_t c = 0; c < info->components; c++) {
            int32_t *row = rows + c * width;
            fl_load_row(info, samples, (ptrdiff_t)c * stride_c + (ptrdiff_t)y * stride_y, stride_x, info->width, row);
            for (size_t x = 0; x < width; x++) bad |= (uint32_t)(row[x] < low) | (uint32_t)(row[x] > high);
        }
        if (bad) return FL_INVALID; /* a sample that the head's bits can't hold */
        if (info->colour == FL_COLOUR_RCT) fl_rct_forward(rows, rows + width, rows + 2 * width, info->width);
        for (uint32_t c = 0; c < info->components; c++)
            fl_copy(planes + c * plane_size + y * width, rows + c * width, width * sizeof *rows);
    }
    for (uint32_t c = 0; c < info->components; c++) {
        int32_t *plane = planes + c * plane_size;
        for (uint32_t k = 0; k < info->levels; k++) {
            const fl_level *level = &info->level[k];
            /* Columns first: the inverse ends with them (SPEC 3.4). */
            for (uint32_t x = 0; x < level->width; x += STRIP)
                split_columns(plane + x, width, level->height, fl_min(STRIP, level->width - x), strip);
            for (uint32_t y = 0; y < level->height; y++) split_row(plane + y * width, level->width, temp);
        }
    }
    return FL_OK;
}

/* ---- error bounds (SPEC 2.4, 3.8) ------------------------------------------------------------------------------ */

static uint32_t largest(const int32_t *plane, size_t stride, uint32_t x0, uint32_t x1, uint32_t y0, uint32_t y1) {
    uint32_t most = 0;
    for (uint32_t y = y0; y < y1; y++)
        for (uint32_t x = x0; x < x1; x++) {
            int32_t v = plane[(size_t)y * stride + x];
            most = fl_max(most, (uint32_t)(v < 0 ? -v : v));
        }
    return most;
}

/* 1D inverse 5/3: an error of e in the high band changes even samples by ceil(e / 2) at most, odd ones by e more. */
static uint32_t lifted(uint32_t error) { return error + ((error + 1u) >> 1); }

/* Bound on what coefficient errors of at most `error` in HL, LH and HH add to any sample of this or a finer level:
 * rows give lifted(HL) in the low rows, LH + lifted(HH) in the high ones, columns lift the latter; an error of the LL
 * band reaches finer levels unamplified. */
static uint32_t spread(uint32_t error) { return lifted(error) + lifted(error + lifted(error)); }

/* Inverse RCT: G = Y - floor((U + V) / 4), R = V + G, B = U + G. */
static uint32_t colour_bound(const fl_info *info, const uint32_t *error) {
    uint32_t bound = 0;
    if (info->colour == FL_COLOUR_RCT) return error[0] + ((error[1] + error[2] + 3u) >> 2) + fl_max(error[1], error[2]);
    for (uint32_t c = 0; c < info->components; c++) bound = fl_max(bound, error[c]);
    return bound;
}

fl_status fl_wavelet_errors(fl_info *info, const int32_t *planes) {
    size_t width = info->width, plane_size = width * info->height;
    for (uint32_t k = 0; k <= info->levels; k++) {
        fl_level *level = &info->level[k];
        int is_base = k == info->levels;
        uint32_t most[FL_MAX_COMPONENTS];
        for (uint32_t c = 0; c < info->components; c++) {
            const int32_t *plane = planes + c * plane_size;
            uint32_t low_x = is_base ? 0 : fl_low(level->width), low_y = is_base ? 0 : fl_low(level->height);
            uint32_t right = largest(plane, width, low_x, level->width, 0, low_y);
            most[c] = fl_max(right, largest(plane, width, 0, level->width, low_y, level->height));
        }
        for (uint32_t n = 0; n <= level->layers; n++) {
            uint32_t error[FL_MAX_COMPONENTS];
            for (uint32_t c = 0; c < info->components; c++) {
                uint32_t cut = n == 0 ? FL_MAX_PLANES : is_base ? 0 : info->cut[c][k][n - 1u];
                uint32_t left = fl_min(most[c], (1u << cut) - 1u);
                error[c] = is_base ? left : spread(left);
            }
            level->error[n] = colour_bound(info, error);
        }
    }
    return FL_OK;
}
