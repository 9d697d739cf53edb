/* Line-based inverse transform for one integer type: included by region.c with T, ROWS and NAME(function) defined.
 *
 * Every level is a node that gives its rows one after the other and asks the next coarser node for the rows that it
 * needs. State of a node:
 *   next        the sample row to give next
 *   next_even   the even row (lifted down) to make next; the last four are kept, row i in even[i & 3]
 *   next_high   the high row (joined across, not yet lifted down) to make next; the last four are kept
 *   low, high   seen so far: the largest magnitude in rows from the coarser node, and of coefficients
 * An odd row i needs even rows i - 1 .. i + 2 and high row i; even row i + 2 needs high rows i + 1 and i + 2: four rows
 * each are enough. So the memory is a few rows a level, and stays in the cache whatever the region. */

typedef struct {
    fl_span x;
    fl_steps across, down;
    uint32_t next, next_even, next_high, low, high;
    T *even[4], *high_rows[4], *odd;
} NAME(node);

typedef struct {
    const picture *picture;
    const ROWS *rows;
    uint32_t component;
    uint32_t narrow; /* 0 as soon as a sample might not have fitted T */
    uint32_t end;    /* the level whose rows come from NAME(give), and which of them it wants */
    fl_span given_x;
    uint32_t given_y;
    T *given;
    void *coarser;                           /* see NAME(give) */
    T *low_row, *high_row, *even_row, *line; /* scratch, shared by all components */
    NAME(node) node[FL_MAX_LEVELS];
} NAME(stream);

/* Row s->given_y of level s->end, columns s->given_x, to s->given. */
static void NAME(give)(NAME(stream) * s);

/* Coefficients [x, x + n) of a row of a tile's band b, as its first layers have them. Returns the most that any of the
 * band may be then. */
static uint32_t NAME(take_cut)(const NAME(stream) * s, const fl_level *level, const fl_tile_report *report, uint32_t b,
                               uint32_t x, uint32_t y, uint32_t n, T *to) {
    const fl_cut *cut = s->picture->cut;
    const int32_t *row = fl_plane_row(s->picture, s->component, y + (b > 0 ? fl_low(level->height) : 0u));
    const uint32_t most = report->most[s->component][b];
    const uint32_t low = cut->layers > level->layers ? 0u : report->cut[cut->layers][s->component][b];
    row += x + (b == 1 ? 0u : fl_low(level->width));
    if (most >> low == 0) {
        fl_fill(to, 0, n * sizeof *to);
        return 0;
    }
    if (low == 0)
        s->rows->take_32(row, n, to);
    else
        s->rows->cut(row, n, low, to);
    return most + (1u << low >> 1);
}

/* Coefficients [x.start, x.end) of band row y, collected from the tiles. The band: HL is (1, 0), LH (0, 1), HH (1, 1).
 */
static void NAME(gather)(NAME(stream) * s, uint32_t k, uint32_t right, uint32_t lower, fl_span x, uint32_t y, T *to) {
    const picture *p = s->picture;
    const fl_level *level = &p->info->level[k];
    uint32_t log2 = level->tile_log2 - 1u, tile_y = y >> log2, most = 0, count;
    fl_extent ey = fl_tile_extent(level->height, level->tile_log2, tile_y);
    uint32_t own_y = y - ey.first;
    int more = own_y + AHEAD < (lower ? ey.high : ey.low);
    size_t tiles = level->first_tile + (size_t)tile_y * level->tiles_x;
    for (uint32_t at = x.start; at < x.end; at += count, to += count) {
        uint32_t tile_x = at >> log2;
        count = fl_min(x.end, (tile_x + 1u) << log2) - at;
        fl_extent ex = fl_tile_extent(level->width, level->tile_log2, tile_x);
        const uint8_t *trimmed = p->trimmed ? &p->trimmed[2u * (tiles + tile_x)] : NOT_TRIMMED;
        size_t low_x = ex.low - trimmed[0], high_x = ex.high - trimmed[0];
        size_t low_y = ey.low - trimmed[1], high_y = ey.high - trimmed[1], own_x = at - ex.first;
        size_t hl = high_x * low_y, lh = low_x * high_y, hh = high_x * high_y, row = right ? high_x : low_x;
        size_t from = s->component * (hl + lh + hh) + (lower ? hl : 0u) + (lower && right ? lh : 0u) +
                      (own_y - trimmed[1]) * row + (own_x - trimmed[0]);
        const void *coefs = p->cut ? 0 : p->tiles[tiles + tile_x];
        if (p->cut) {
            const fl_tile_report *report = &p->cut->reports[tiles + tile_x];
            const uint32_t b = (lower ? 1u : 0u) + (lower && right ? 1u : 0u);
            most = fl_max(most, NAME(take_cut)(s, level, report, b, at, y, count, to));
        } else if (!coefs || own_x < trimmed[0] || own_y < trimmed[1]) {
            fl_fill(to, 0, count * sizeof *to);
        } else if (p->wide[tiles + tile_x]) {
            const int32_t *values = coefs;
            if (more) prefetch(values + from + AHEAD * row, count * sizeof *values);
            if (sizeof(T) == 2) most = fl_max(most, fl_get_rows_32()->reach(values + from, count));
            s->rows->take_32(values + from, count, to);
        } else {
            const int16_t *values = coefs;
            if (more) prefetch(values + from + AHEAD * row, count * sizeof *values);
            s->rows->take_16(values + from, count, to);
        }
    }
    if (sizeof(T) == 2) {
        if (!p->cut) most = fl_max(most, s->rows->reach(to - fl_length(x), fl_length(x)));
        s->node[k].high = fl_max(s->node[k].high, most);
    }
}

/* Low coefficients and the high ones that lie in s->high_row (see fetch_high) to samples: whole pairs, from an even one
 * on. */
static void NAME(join_across)(const NAME(stream) * s, const fl_steps *a, const T *low, T *to) {
    const ROWS *rows = s->rows;
    T *d = s->high_row + BESIDE, *e = s->even_row + BESIDE; /* high coefficient, even sample even.start */
    uint32_t pairs = a->end - a->first, whole = fl_min(a->end, a->highs) - a->first;
    uint32_t count = fl_length(a->even), shift = a->first - a->even.start;
    const T *evens = low;
    if (s->picture->info->transform == FL_TRANSFORM_HAAR) {
        rows->pairs_haar(low, d, whole, to);
    } else if (a->highs > 0) {
        /* Mirror what lies beyond the ends. */
        if (a->even.start == 0) d[-1] = d[0];
        if (a->even.end > a->highs) d[count - 1u] = d[(int64_t)count - 2];
        rows->even_down(low, d - 1, d, count, e);
        e[-1] = e[count > 1u ? 1u : 0u];
        e[count] = a->highs < a->lows && count > 1u ? e[count - 2u] : e[count - 1u];
        e[count + 1u] = e[count > 1u ? count - 2u : 0u];
        evens = e + shift;
        (s->picture->info->transform == FL_TRANSFORM_97M ? rows->pairs_97 : rows->pairs_53)(evens, d + shift, whole,
                                                                                            to);
    }
    if (whole < pairs) { /* an even sample without a partner */
        to[2u * whole] = evens[whole];
        to[2u * whole + 1u] = 0;
    }
}

/* Fetch high coefficients of a row to where join_across expects them. */
static void NAME(fetch_high)(NAME(stream) * s, uint32_t k, uint32_t lower, uint32_t y) {
    const fl_steps *a = &s->node[k].across;
    NAME(gather)(s, k, 1, lower, a->high, y, s->high_row + (BESIDE + a->high.start - a->even.start));
}

static const T *NAME(next_row)(NAME(stream) * s, uint32_t k);

/* Row i of (LL, HL), joined across, into s->line. */
static void NAME(low_line)(NAME(stream) * s, uint32_t k, uint32_t i, T *to) {
    NAME(node) *n = &s->node[k];
    const T *coarser = NAME(next_row)(s, k + 1u);
    if (sizeof(T) == 2) n->low = fl_max(n->low, s->rows->reach(coarser, fl_length(n->across.even)));
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
    int haar = s->picture->info->transform == FL_TRANSFORM_HAAR, lone = down->highs == 0 || (haar && i >= down->highs);
    T *even = n->even[i & 3u];
    NAME(low_line)(s, k, i, lone ? even : s->line);
    if (!lone) {
        uint32_t before = i > 0 && !haar ? i - 1u : i, after = fl_min(i, down->highs - 1u);
        for (; n->next_high <= after; n->next_high++)
            NAME(high_line)(s, k, n->next_high, n->high_rows[n->next_high & 3u]);
        if (haar)
            s->rows->haar_up(s->line, n->high_rows[i & 3u], width, even, n->odd);
        else
            s->rows->even_down(s->line, n->high_rows[before & 3u], n->high_rows[after & 3u], width, even);
    }
    if (sizeof(T) == 2) s->narrow &= fits_narrow(s->picture->info, n->low, n->high);
}

/* Even row j, mirrored beyond the ends. */
static const T *NAME(mirrored)(const NAME(node) * n, int64_t j) {
    return n->even[fl_mirror_even(j, n->down.lows, n->down.highs) & 3u];
}

/* The next sample row of level k; valid until the one after it is asked for. */
static const T *NAME(next_row)(NAME(stream) * s, uint32_t k) {
    uint32_t transform = s->picture->info->transform;
    if (k == s->end) {
        NAME(give)(s);
        s->given_y++;
        return s->given;
    }
    NAME(node) *n = &s->node[k];
    const fl_steps *down = &n->down;
    uint32_t y = n->next++, i = y >> 1, odd = y & 1u, from = n->x.start & 1u, last = i;
    if (odd && transform != FL_TRANSFORM_HAAR)
        last = fl_min(i + (transform == FL_TRANSFORM_97M ? 2u : 1u), down->lows - 1u);
    while (n->next_even <= last) NAME(make_even)(s, k);
    if (!odd) return n->even[i & 3u] + from;
    if (transform != FL_TRANSFORM_HAAR) {
        uint32_t width = 2u * (n->across.end - n->across.first);
        const T *d = n->high_rows[i & 3u], *e0 = n->even[i & 3u], *e1 = NAME(mirrored)(n, (int64_t)i + 1);
        if (transform == FL_TRANSFORM_97M)
            s->rows->odd_97_up(d, NAME(mirrored)(n, (int64_t)i - 1), e0, e1, NAME(mirrored)(n, (int64_t)i + 2), width,
                               n->odd);
        else
            s->rows->odd_53_up(d, e0, e1, width, n->odd);
    }
    return n->odd + from;
}

/* Set up a stream of rows of `level` from those of level `end`, with rows taken from *room; what it needs of them. */
static area NAME(open)(NAME(stream) * s, const picture *p, const ROWS *rows, uint32_t component, uint32_t level,
                       uint32_t end, area want, T *shared, T **room) {
    size_t width = row_room(p->width, level - p->level);
    s->picture = p;
    s->rows = rows;
    s->component = component;
    s->narrow = 1;
    s->end = end;
    s->low_row = shared;
    s->high_row = shared + width;
    s->even_row = shared + 2 * width;
    s->line = shared + 3 * width;
    for (uint32_t k = level; k < end; k++) {
        NAME(node) *n = &s->node[k];
        n->x = want.x;
        n->across = fl_plan_steps(p->info->transform, want.x, p->info->level[k].width);
        n->down = fl_plan_steps(p->info->transform, want.y, p->info->level[k].height);
        n->next = want.y.start;
        n->next_even = n->down.even.start;
        n->next_high = n->down.high.start;
        n->low = n->high = 0;
        size_t step = row_room(p->width, k - p->level);
        for (uint32_t i = 0; i < 4u; i++, *room += 2 * step) {
            n->even[i] = *room;
            n->high_rows[i] = *room + step;
        }
        n->odd = *room;
        *room += step;
        want = (area){n->across.even, n->down.even};
    }
    s->given = *room;
    *room += row_room(p->width, end - p->level);
    s->given_x = want.x;
    s->given_y = want.y.start;
    return want;
}

/* Samples [from, from + n) of rows of all components, n <= FL_RUN: colour, clipping, storing. */
static void NAME(store)(const picture *p, const ROWS *rows, const T *const *ready, uint32_t from, uint32_t n,
                        uint8_t *to) {
    const fl_info *info = p->info;
    const fl_layout *l = &p->layout;
    T colour[3][FL_RUN];
    fl_run run;
    const T *row[FL_MAX_COMPONENTS];
    int32_t middle = fl_sample_middle(info), low = fl_sample_min(info) - middle, high = fl_sample_max(info) - middle;
    for (uint32_t c = 0; c < info->components; c++) row[c] = ready[c] + from;
    if (info->colour != FL_COLOUR_NONE) {
        (info->colour == FL_COLOUR_RCT ? rows->rct_join : rows->ycocg_join)(row[0], row[1], row[2], n, colour[0],
                                                                            colour[1], colour[2]);
        for (uint32_t c = 0; c < 3u; c++) row[c] = colour[c];
    }
    for (uint32_t c = 0; c < info->components; c++) {
        void *direct = to + (ptrdiff_t)c * l->stride_c * l->size;
        uint8_t *bytes = fl_is_planar(l) ? direct : run.bytes[c];
        uint16_t *words = fl_is_planar(l) ? direct : run.words[c];
        if (p->values) {
            uint16_t entry[FL_RUN];
            rows->store_16(row[c], n, low, high, middle, entry);
            for (uint32_t i = 0; i < n; i++) {
                if (l->size == 1)
                    bytes[i] = (uint8_t)p->values[entry[i]];
                else
                    words[i] = p->values[entry[i]];
            }
        } else if (l->size == 1) {
            rows->store_8(row[c], n, low, high, bytes);
        } else {
            rows->store_16(row[c], n, low, high, middle, words);
        }
    }
    if (!fl_is_planar(l)) fl_join_run(l, &run, n, to);
}

/* Samples [from, from + n) of a row, which lie at `ready`, and those that they are compared with. */
static void NAME(compare)(const picture *p, const ROWS *rows, const uint8_t *ready, const uint8_t *with, uint32_t n) {
    const fl_layout *own = &p->layout, *other = &p->compared_layout;
    fl_run run;
    if (!fl_is_planar(other)) fl_split_run(other, with, n, &run);
    for (uint32_t c = 0; c < p->info->components; c++) {
        const void *part = other->size == 1 ? (const void *)run.bytes[c] : run.words[c];
        if (fl_is_planar(other)) part = with + (ptrdiff_t)c * other->stride_c * other->size;
        *p->apart =
            fl_max(*p->apart, rows->apart(other->storage, ready + (ptrdiff_t)c * own->stride_c * own->size, part, n));
    }
}

/* `height` rows of samples, the first of which is row `first` of the output, until all are made (T = int32_t), or until
 * one might not fit T; how many. */
static uint32_t NAME(make)(const picture *p, const ROWS *rows, NAME(stream) * streams, uint32_t first,
                           uint32_t height) {
    for (uint32_t row = 0; row < height; row++) {
        const T *ready[FL_MAX_COMPONENTS];
        uint32_t narrow = 1;
        for (uint32_t c = 0; c < p->info->components; c++) {
            ready[c] = NAME(next_row)(&streams[c], p->level);
            narrow &= streams[c].narrow;
        }
        if (sizeof(T) == 2 && !narrow) return row;
        for (uint32_t c = 0; p->keep && c < p->info->components; c++)
            rows->put(ready[c], p->width, fl_made_row(p->keep, c, p->keep->first + first + row));
        for (uint32_t from = 0; from < p->width; from += FL_RUN) {
            ptrdiff_t at = (ptrdiff_t)(first + row) * p->layout.stride_y + (ptrdiff_t)from * p->layout.stride_x;
            const uint32_t n = fl_min(FL_RUN, p->width - from);
            uint8_t *made = p->samples + at * p->layout.size;
            NAME(store)(p, rows, ready, from, n, made);
            if (!p->compared) continue;
            at = (ptrdiff_t)(first + row) * p->compared_layout.stride_y + (ptrdiff_t)from * p->compared_layout.stride_x;
            NAME(compare)(p, rows, made, p->compared + at * p->compared_layout.size, n);
        }
    }
    return height;
}
