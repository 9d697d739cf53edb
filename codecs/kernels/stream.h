/* Line-based inverse transform for one integer type: included by region.c with T, ROWS and NAME(function) defined.
 *
 * Every level is a node that gives its rows one after the other and asks the next coarser node for the rows that it
 * needs. State of a node:
 *   next        the sample row to give next
 *   next_even   the even row (lifted down) to make next; the last four are kept, row i in even[i & 3]
 *   next_high   the high row (joined across, not yet lifted down) to make next; the last four are kept
 *   low, high   seen so far: OR of the magnitudes of the rows from the coarser node, and of the tiles' coefficients
 * An odd row i needs even rows i - 1 .. i + 2 and high row i; even row i + 2 needs high rows i + 1 and i + 2: four rows
 * each are enough. So the memory is a few rows a level, and stays in the cache whatever the region. */

typedef struct {
    fl_span x;
    fl_steps across, down;
    uint32_t next, next_even, next_high, low, high;
    T *even[4], *high_rows[4], *odd;
} NAME(node);

typedef struct {
    const fl_info *info;
    const int32_t *const *tiles;
    const ROWS *rows;
    uint32_t component;
    uint32_t narrow; /* 0 as soon as a sample might not have fitted T */
    uint32_t base_row;
    fl_span base_x;
    T *base;
    T *low_row, *high_row, *even_row, *odd_row, *line; /* scratch, shared by all components */
    NAME(node) node[FL_MAX_LEVELS];
} NAME(stream);

/* Coefficients [x.start, x.end) of band row y, collected from the tiles. The band: HL is (1, 0), LH (0, 1), HH (1, 1).
 */
static void NAME(gather)(NAME(stream) * s, uint32_t k, uint32_t right, uint32_t lower, fl_span x, uint32_t y, T *to) {
    const fl_level *level = &s->info->level[k];
    uint32_t log2 = level->tile_log2 - 1u, tile_y = y >> log2, seen = 0;
    fl_extent ey = fl_tile_extent(level->height, level->tile_log2, tile_y);
    for (uint32_t at = x.start; at < x.end;) {
        uint32_t tile_x = at >> log2, stop = fl_min(x.end, (tile_x + 1u) << log2), count = stop - at;
        fl_extent ex = fl_tile_extent(level->width, level->tile_log2, tile_x);
        size_t tile = level->first_tile + (size_t)tile_y * level->tiles_x + tile_x;
        const int32_t *coefs = s->tiles[tile * s->info->components + s->component];
        if (coefs) {
            if (lower) coefs += (size_t)ex.high * ey.low;
            if (lower && right) coefs += (size_t)ex.low * ey.high;
            seen |=
                s->rows->take(coefs + (size_t)(y - ey.first) * (right ? ex.high : ex.low) + (at - ex.first), count, to);
        } else {
            fl_fill(to, 0, count * sizeof *to);
        }
        to += count;
        at = stop;
    }
    s->node[k].high |= seen;
}

/* Low coefficients and the high ones that lie in s->high_row (see join_high) to samples: whole pairs, from an even one
 * on. */
static void NAME(join_across)(const NAME(stream) * s, const fl_steps *a, const T *low, T *to) {
    const ROWS *rows = s->rows;
    T *d = s->high_row, *e = s->even_row + 1, *o = s->odd_row;
    uint32_t pairs = a->end - a->first, whole = fl_min(a->end, a->highs) - a->first;
    uint32_t count = fl_length(a->even), shift = a->first - a->even.start;
    if (a->highs == 0) { /* n = 1 */
        to[0] = low[0];
        to[1] = 0;
        return;
    }
    if (s->info->transform == FL_TRANSFORM_HAAR) {
        rows->haar_join(low, d + 1, whole, e, o);
        if (whole < pairs) e[whole] = low[whole];
    } else {
        /* d[0] is high coefficient even.start - 1, e[0] even sample even.start; mirror what lies beyond the ends. */
        if (a->even.start == 0) d[0] = d[1];
        if (a->even.end > a->highs) d[count] = d[count - 1u];
        rows->even_down(low, d, d + 1, count, e);
        e[-1] = e[count > 1u ? 1u : 0u];
        e[count] = a->highs < a->lows && count > 1u ? e[count - 2u] : e[count - 1u];
        e[count + 1u] = e[count > 1u ? count - 2u : 0u];
        e += shift;
        if (s->info->transform == FL_TRANSFORM_97M)
            rows->odd_97_up(d + shift + 1, e - 1, e, e + 1, e + 2, whole, o);
        else
            rows->odd_53_up(d + shift + 1, e, e + 1, whole, o);
    }
    if (whole < pairs) o[whole] = 0;
    rows->interleave(e, o, pairs, to);
}

/* Fetch high coefficients of a row to where join_across expects them. */
static void NAME(fetch_high)(NAME(stream) * s, uint32_t k, uint32_t lower, uint32_t y) {
    const fl_steps *a = &s->node[k].across;
    NAME(gather)(s, k, 1, lower, a->high, y, s->high_row + (a->high.start + 1u - a->even.start));
}

static const T *NAME(next_row)(NAME(stream) * s, uint32_t k);

/* Row i of (LL, HL), joined across, into s->line. */
static void NAME(low_line)(NAME(stream) * s, uint32_t k, uint32_t i, T *to) {
    NAME(node) *n = &s->node[k];
    const T *coarser = NAME(next_row)(s, k + 1u);
    if (sizeof(T) == 2) n->low |= s->rows->reach(coarser, fl_length(n->across.even));
    NAME(fetch_high)(s, k, 0, i);
    NAME(join_across)(s, &n->across, coarser, to);
}

/* Row i of (LH, HH), joined across. */
static void NAME(high_line)(NAME(stream) * s, uint32_t k, uint32_t i, T *to) {
    NAME(node) *n = &s->node[k];
    NAME(gather)(s, k, 0, 1, n->across.even, i, s->low_row);
    NAME(fetch_high)(s, k, 1, i);
    NAME(join_across)(s, &n->across, s->low_row, to);
}

/* The even row n->next_even; for S-Haar the odd one of the pair too. */
static void NAME(make_even)(NAME(stream) * s, uint32_t k) {
    NAME(node) *n = &s->node[k];
    const fl_steps *down = &n->down;
    uint32_t i = n->next_even++, width = 2u * (n->across.end - n->across.first);
    int haar = s->info->transform == FL_TRANSFORM_HAAR, lone = down->highs == 0 || (haar && i >= down->highs);
    T *even = n->even[i & 3u];
    NAME(low_line)(s, k, i, lone ? even : s->line);
    if (!lone) {
        uint32_t before = i > 0 && !haar ? i - 1u : i, after = fl_min(i, down->highs - 1u);
        for (; n->next_high <= after; n->next_high++)
            NAME(high_line)(s, k, n->next_high, n->high_rows[n->next_high & 3u]);
        if (haar)
            s->rows->haar_join(s->line, n->high_rows[i & 3u], width, even, n->odd);
        else
            s->rows->even_down(s->line, n->high_rows[before & 3u], n->high_rows[after & 3u], width, even);
    }
    if (sizeof(T) == 2) s->narrow &= fits_narrow(s->info->transform, n->low, n->high);
}

/* Even row j of a level with `lows` of them, mirrored beyond the ends. */
static const T *NAME(mirrored)(const NAME(node) * n, int64_t j) {
    int64_t lows = n->down.lows, twice = lows + n->down.highs - 1;
    if (j < 0) j = -j;
    if (j >= lows) j = twice - j;
    return n->even[(j < 0 ? 0 : j) & 3];
}

/* The next sample row of level k; valid until the one after it is asked for. */
static const T *NAME(next_row)(NAME(stream) * s, uint32_t k) {
    const fl_info *info = s->info;
    if (k == info->levels) {
        const int32_t *base = s->tiles[(size_t)info->level[k].first_tile * info->components + s->component];
        uint32_t row = s->base_row++, count = fl_length(s->base_x);
        if (base) {
            uint32_t seen = s->rows->take(base + (size_t)row * info->level[k].width + s->base_x.start, count, s->base);
            if (sizeof(T) == 2) s->narrow &= fits_narrow(info->transform, seen, 0);
        } else {
            fl_fill(s->base, 0, count * sizeof *s->base);
        }
        return s->base;
    }
    NAME(node) *n = &s->node[k];
    const fl_steps *down = &n->down;
    uint32_t y = n->next++, i = y >> 1, odd = y & 1u, from = n->x.start & 1u, last = i;
    if (odd && info->transform != FL_TRANSFORM_HAAR)
        last = fl_min(i + (info->transform == FL_TRANSFORM_97M ? 2u : 1u), down->lows - 1u);
    while (n->next_even <= last) NAME(make_even)(s, k);
    if (!odd) return n->even[i & 3u] + from;
    if (info->transform != FL_TRANSFORM_HAAR) {
        uint32_t width = 2u * (n->across.end - n->across.first);
        const T *d = n->high_rows[i & 3u], *e0 = n->even[i & 3u], *e1 = NAME(mirrored)(n, (int64_t)i + 1);
        if (info->transform == FL_TRANSFORM_97M)
            s->rows->odd_97_up(d, NAME(mirrored)(n, (int64_t)i - 1), e0, e1, NAME(mirrored)(n, (int64_t)i + 2), width,
                               n->odd);
        else
            s->rows->odd_53_up(d, e0, e1, width, n->odd);
    }
    return n->odd + from;
}

/* Set up the streams of all components for a region of `level`; returns the end of the rows taken from `room`. */
static T *NAME(open)(const fl_info *info, const int32_t *const *tiles, const ROWS *rows, uint32_t level, fl_span x,
                     fl_span y, T *room, NAME(stream) * streams) {
    size_t width = row_room(fl_length(x), 0);
    T *shared = room;
    room += 5 * width;
    for (uint32_t c = 0; c < info->components; c++) {
        NAME(stream) *s = &streams[c];
        s->info = info;
        s->tiles = tiles;
        s->rows = rows;
        s->component = c;
        s->narrow = 1;
        s->low_row = shared;
        s->high_row = shared + width;
        s->even_row = shared + 2 * width;
        s->odd_row = shared + 3 * width;
        s->line = shared + 4 * width;
        fl_span xs = x, ys = y;
        for (uint32_t k = level; k < info->levels; k++) {
            NAME(node) *n = &s->node[k];
            n->x = xs;
            n->across = fl_plan_steps(info->transform, xs, info->level[k].width);
            n->down = fl_plan_steps(info->transform, ys, info->level[k].height);
            n->next = ys.start;
            n->next_even = n->down.even.start;
            n->next_high = n->down.high.start;
            n->low = n->high = 0;
            size_t step = row_room(fl_length(x), k - level);
            for (uint32_t i = 0; i < 4u; i++, room += 2 * step) {
                n->even[i] = room;
                n->high_rows[i] = room + step;
            }
            n->odd = room;
            room += step;
            xs = n->across.even;
            ys = n->down.even;
        }
        s->base = room;
        room += row_room(fl_length(x), info->levels - level);
        s->base_x = xs;
        s->base_row = ys.start;
    }
    return room;
}

/* Rows of samples until all are made (T = int32_t), or until one might not fit T; how many. */
static uint32_t NAME(picture)(const fl_info *info, const int32_t *const *tiles, const ROWS *rows, uint32_t level,
                              fl_span x, fl_span y, const output *out, void *workspace) {
    NAME(stream) streams[FL_MAX_COMPONENTS];
    T *colour[3], *room = NAME(open)(info, tiles, rows, level, x, y, workspace, streams);
    for (uint32_t c = 0; c < 3u; c++) colour[c] = room + c * row_room(fl_length(x), 0);
    int32_t low = fl_sample_min(info), high = fl_sample_max(info);
    uint32_t width = fl_length(x);
    for (uint32_t row = 0; row < fl_length(y); row++) {
        const T *ready[FL_MAX_COMPONENTS];
        uint32_t narrow = 1;
        for (uint32_t c = 0; c < info->components; c++) {
            ready[c] = NAME(next_row)(&streams[c], level);
            narrow &= streams[c].narrow;
        }
        if (sizeof(T) == 2 && !narrow) return row;
        if (info->colour != FL_COLOUR_NONE) {
            (info->colour == FL_COLOUR_RCT ? rows->rct_join : rows->ycocg_join)(ready[0], ready[1], ready[2], width,
                                                                                colour[0], colour[1], colour[2]);
            for (uint32_t c = 0; c < 3u; c++) ready[c] = colour[c];
        }
        ptrdiff_t at = (ptrdiff_t)row * out->stride_y;
        if (info->values > 0) {
            for (uint32_t c = 0; c < info->components; c++)
                for (uint32_t i = 0; i < width; i++) {
                    int32_t entry = ready[c][i] < 0 ? 0 : ready[c][i] > high ? high : ready[c][i];
                    store_one(out, info->bits, at + (ptrdiff_t)c * out->stride_c + (ptrdiff_t)i * out->stride_x,
                              out->values[entry]);
                }
        } else if (info->bits > 8) {
            for (uint32_t c = 0; c < info->components; c++)
                rows->store_16(ready[c], width, low, high, (uint16_t *)out->samples + at + (ptrdiff_t)c * out->stride_c,
                               out->stride_x);
        } else if (info->components == 3 && out->stride_c == 1 && out->stride_x == 3) {
            rows->store_8x3(ready[0], ready[1], ready[2], width, low, high, (uint8_t *)out->samples + at);
        } else {
            for (uint32_t c = 0; c < info->components; c++)
                rows->store_8(ready[c], width, low, high, (uint8_t *)out->samples + at + (ptrdiff_t)c * out->stride_c,
                              out->stride_x);
        }
    }
    return fl_length(y);
}
