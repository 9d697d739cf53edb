/* Inverse transform of a region of a level from the tiles under it (SPEC 3.4).
 *
 * A window is the part of one component at one level that the region needs. From the coarsest level down, the window
 * of level k + 1 (the LL band of level k) and the coefficients around it give the window of level k. */
#include "samples.h"

typedef struct {
    uint32_t start, end; /* [start, end) */
} span;

/* What a level needs of its low and high bands to give samples [want.start, want.end): odd sample 2i + 1 needs even
 * samples 2i and 2i + 2, and even sample 2i needs high coefficients i - 1 and i. */
static span low_span(span want, uint32_t n) { return (span){want.start >> 1, fl_min((want.end >> 1) + 1u, fl_low(n))}; }
static span high_span(span want, uint32_t n) {
    uint32_t start = want.start >> 1;
    uint32_t end = fl_min((want.end >> 1) + 1u, fl_high(n));
    start = start > 0 ? start - 1u : 0u;
    /* A row of one sample has no high band; at the odd end, mirroring asks for the last coefficient. */
    if (start >= end) start = end > 0 ? end - 1u : 0u;
    return (span){start, end};
}
static uint32_t length(span s) { return s.end - s.start; }

/* Sizes for a window of n samples: at most n / 2 + 2 low and n / 2 + 3 high coefficients. */
static size_t padded(uint32_t n) { return (size_t)n + 16u; }

/* Workspace, in int32: a final window a component, two windows in turn, low and high rows before the columns are
 * lifted (padded(height) / 2 of each), and four rows. */
static size_t window_size(uint32_t width, uint32_t height) { return padded(width) * padded(height); }
size_t fl_wavelet_region_workspace(const fl_info *info, uint32_t level, uint32_t width, uint32_t height) {
    (void)level;
    return (window_size(width, height) * (info->components + 3u) + 6u * padded(width)) * sizeof(int32_t);
}

/* Coefficients of one band row, columns [x.start, x.end) at band row y, collected from the tiles. */
typedef struct {
    const fl_info *info;
    const int32_t *const *tiles;
    uint32_t component, level;
    uint32_t right, lower; /* which band: HL is (1, 0), LH (0, 1), HH (1, 1) */
} band_source;

static void gather(const band_source *from, span x, uint32_t y, int32_t *out) {
    const fl_level *level = &from->info->level[from->level];
    uint32_t log2 = level->tile_log2 - 1u, tile_y = y >> log2;
    fl_extent ey = fl_tile_extent(level->height, level->tile_log2, tile_y);
    for (uint32_t at = x.start; at < x.end;) {
        uint32_t tile_x = at >> log2, stop = fl_min(x.end, (tile_x + 1u) << log2);
        fl_extent ex = fl_tile_extent(level->width, level->tile_log2, tile_x);
        size_t tile = level->first_tile + (size_t)tile_y * level->tiles_x + tile_x;
        const int32_t *coefs = from->tiles[tile * from->info->components + from->component];
        uint32_t count = stop - at;
        if (coefs) {
            if (from->lower) coefs += (size_t)ex.high * ey.low;
            if (from->lower && from->right) coefs += (size_t)ex.low * ey.high;
            uint32_t row = from->right ? ex.high : ex.low;
            fl_copy(out, coefs + (size_t)(y - ey.first) * row + (at - ex.first), count * sizeof *out);
        } else {
            fl_fill(out, 0, count * sizeof *out);
        }
        out += count;
        at = stop;
    }
}

/* Join low and high coefficients of one row into samples [want.start, want.end) of n. low[i - low.start] etc. `even`
 * has room for length(want) / 2 + 2. */
static void join_row(const int32_t *low, span ls, const int32_t *high, span hs, span want, uint32_t n, int32_t *even,
                     int32_t *out) {
    if (n < 2) {
        out[0] = low[0];
        return;
    }
    uint32_t highs = fl_high(n), lows = fl_low(n);
    uint32_t first = want.start >> 1, count = (want.end >> 1) + 1u - first; /* even samples first .. first + count */
    const int32_t *d = high - hs.start;                                     /* d[i] is high coefficient i */
    const int32_t *s = low - ls.start;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t i = first + k;
        if (i >= lows) { /* sample n mirrors to n - 2 */
            even[k] = even[k - 1u];
            continue;
        }
        int32_t before = d[i > 0 ? i - 1u : 0u], after = d[i < highs ? i : highs - 1u];
        even[k] = s[i] - ((before + after + 2) >> 2);
    }
    for (uint32_t x = want.start; x < want.end; x++) {
        uint32_t k = (x >> 1) - first;
        out[x - want.start] = x & 1u ? d[x >> 1] + ((even[k] + even[k + 1u]) >> 1) : even[k];
    }
}

/* Even rows, then odd rows, of the window; rows of low and high are `width` long. The same rule as join_row, a row at
 * a time. */
static void join_columns(const int32_t *low, span ls, const int32_t *high, span hs, span want, uint32_t n,
                         uint32_t width, int32_t *even, int32_t *out) {
    if (n < 2) {
        fl_copy(out, low, width * sizeof *out);
        return;
    }
    uint32_t highs = fl_high(n), lows = fl_low(n);
    int32_t *previous = even, *current = even + width; /* two even rows */
    uint32_t first = want.start >> 1, last = want.end >> 1;
    for (uint32_t i = first; i <= last; i++) {
        if (i < lows) {
            const int32_t *s = low + (size_t)(i - ls.start) * width;
            const int32_t *before = high + (size_t)((i > 0 ? i - 1u : 0u) - hs.start) * width;
            const int32_t *after = high + (size_t)((i < highs ? i : highs - 1u) - hs.start) * width;
            for (uint32_t x = 0; x < width; x++) current[x] = s[x] - ((before[x] + after[x] + 2) >> 2);
        } else { /* row n mirrors to n - 2 */
            fl_copy(current, previous, width * sizeof *current);
        }
        uint32_t odd = 2 * i - 1u; /* between the two even rows */
        if (i > first && odd >= want.start && odd < want.end) {
            const int32_t *d = high + (size_t)(i - 1u - hs.start) * width;
            int32_t *to = out + (size_t)(odd - want.start) * width;
            for (uint32_t x = 0; x < width; x++) to[x] = d[x] + ((previous[x] + current[x]) >> 1);
        }
        if (2 * i >= want.start && 2 * i < want.end)
            fl_copy(out + (size_t)(2 * i - want.start) * width, current, width * sizeof *out);
        int32_t *swap = previous;
        previous = current;
        current = swap;
    }
}

typedef struct {
    int32_t *low, *high; /* rows before the columns are lifted */
    int32_t *left, *right, *even;
} buffers;

/* Window of one level from the window of the next coarser one. */
static void finer_window(const fl_info *info, const int32_t *const *tiles, uint32_t component, uint32_t k, span x,
                         span y, const int32_t *coarser, int32_t *out, const buffers *b) {
    const fl_level *level = &info->level[k];
    span lx = low_span(x, level->width), hx = high_span(x, level->width);
    span ly = low_span(y, level->height), hy = high_span(y, level->height);
    uint32_t width = length(x);
    band_source hl = {info, tiles, component, k, 1, 0}, lh = {info, tiles, component, k, 0, 1};
    band_source hh = {info, tiles, component, k, 1, 1};
    for (uint32_t row = ly.start; row < ly.end; row++) {
        gather(&hl, hx, row, b->right);
        join_row(coarser + (size_t)(row - ly.start) * length(lx), lx, b->right, hx, x, level->width, b->even,
                 b->low + (size_t)(row - ly.start) * width);
    }
    for (uint32_t row = hy.start; row < hy.end; row++) {
        gather(&lh, lx, row, b->left);
        gather(&hh, hx, row, b->right);
        join_row(b->left, lx, b->right, hx, x, level->width, b->even, b->high + (size_t)(row - hy.start) * width);
    }
    join_columns(b->low, ly, b->high, hy, y, level->height, width, b->even, out);
}

fl_status fl_wavelet_region(const fl_info *info, uint32_t level, uint32_t x, uint32_t y, uint32_t width,
                            uint32_t height, const int32_t *const *tiles, void *samples, ptrdiff_t stride_c,
                            ptrdiff_t stride_y, ptrdiff_t stride_x, void *workspace) {
    if (level > info->levels || width < 1 || height < 1) return FL_INVALID;
    const fl_level *at = &info->level[level];
    if (x >= at->width || width > at->width - x || y >= at->height || height > at->height - y) return FL_INVALID;

    span xs[FL_MAX_LEVELS + 1], ys[FL_MAX_LEVELS + 1];
    xs[level] = (span){x, x + width};
    ys[level] = (span){y, y + height};
    for (uint32_t k = level; k < info->levels; k++) {
        xs[k + 1u] = low_span(xs[k], info->level[k].width);
        ys[k + 1u] = low_span(ys[k], info->level[k].height);
    }
    size_t window = window_size(width, height);
    int32_t *finals = workspace, *turns[2] = {finals + info->components * window, 0};
    turns[1] = turns[0] + window;
    buffers b;
    b.low = turns[1] + window;
    b.high = b.low + padded(width) * (padded(height) / 2);
    b.left = b.low + window;
    b.right = b.left + padded(width);
    b.even = b.right + padded(width); /* two rows for the columns */

    for (uint32_t c = 0; c < info->components; c++) {
        uint32_t k = info->levels;
        int32_t *current = k == level ? finals + c * window : turns[k & 1u];
        const int32_t *base = tiles[(size_t)info->level[k].first_tile * info->components + c];
        for (uint32_t row = ys[k].start; row < ys[k].end; row++) {
            int32_t *to = current + (size_t)(row - ys[k].start) * length(xs[k]);
            if (base)
                fl_copy(to, base + (size_t)row * info->level[k].width + xs[k].start, length(xs[k]) * sizeof *to);
            else
                fl_fill(to, 0, length(xs[k]) * sizeof *to);
        }
        while (k-- > level) {
            int32_t *finer = k == level ? finals + c * window : turns[k & 1u];
            finer_window(info, tiles, c, k, xs[k], ys[k], current, finer, &b);
            current = finer;
        }
    }
    for (uint32_t row = 0; row < height; row++) {
        int32_t *first = finals + (size_t)row * width;
        if (info->colour == FL_COLOUR_RCT) fl_rct_inverse(first, first + window, first + 2 * window, width);
        for (uint32_t c = 0; c < info->components; c++)
            fl_store_row(info, first + c * window, width, samples, (ptrdiff_t)c * stride_c + (ptrdiff_t)row * stride_y,
                         stride_x);
    }
    return FL_OK;
}
