/* Line-based forward transform for one integer type: included by forward.c with T, ROWS and NAME(function) defined.
 *
 * Every level is a node that takes its rows one after the other, lifts them down as soon as they allow it, splits the
 * results across, and gives the low part to the next coarser node. State of a node:
 *   taken        rows taken so far
 *   pair         the pair of rows (2i, 2i + 1) to lift next
 *   even, odd    the last rows taken: row 2i in even[i & 3], row 2i + 1 in odd[i & 1]
 *   details      high rows, not yet split across: row i in details[i & 1]
 * High row i needs even rows i - 1 .. i + 2, low row i high rows i - 1 and i. So the memory is a few rows a level, and
 * stays in the cache whatever the picture. The coarsest level is a node that puts its rows where they belong. */

typedef struct {
    uint32_t width, height, taken, pair;
    T *even[4], *odd[2], *details[2];
} NAME(node);

typedef struct {
    const fl_info *info;
    const ROWS *rows;
    int32_t middle;  /* that the coarsest coefficients are less by */
    uint32_t narrow; /* 0 as soon as a number might not have fitted T */
    int32_t *plane;
    T *line, *low_row, *even_row, *odd_row, *high_row; /* scratch, shared by all components */
    NAME(node) node[FL_MAX_LEVELS + 1u];
} NAME(stream);

/* Where the next row of level k goes. */
static T *NAME(slot)(NAME(stream) * s, uint32_t k) {
    NAME(node) *n = &s->node[k];
    uint32_t i = n->taken >> 1;
    return n->taken & 1u ? n->odd[i & 1u] : n->even[i & 3u];
}

/* A row of n samples, split into its low and high half; the high one goes to the plane. */
static void NAME(split_across)(const NAME(stream) * s, const T *row, uint32_t n, T *low, int32_t *high) {
    const ROWS *rows = s->rows;
    uint32_t lows = fl_low(n), highs = fl_high(n);
    T *e = s->even_row, *o = s->odd_row, *d = s->high_row;
    rows->split(row, highs, e, o);
    if (lows > highs) e[highs] = row[n - 1u];
    if (n == 1) {
        low[0] = e[0];
    } else if (s->info->transform == FL_TRANSFORM_HAAR) {
        rows->haar_down(e, o, highs, low, d);
        if (lows > highs) low[highs] = e[highs];
    } else {
        /* Mirror what lies beyond the ends. */
        e[-1] = e[lows > 1u ? 1u : 0u];
        e[lows] = lows > highs ? e[lows > 1u ? lows - 2u : 0u] : e[lows - 1u];
        e[lows + 1u] = e[lows > 1u ? lows - 2u : 0u];
        if (s->info->transform == FL_TRANSFORM_97M)
            rows->odd_97_down(o, e - 1, e, e + 1, e + 2, highs, d);
        else
            rows->odd_53_down(o, e, e + 1, highs, d);
        d[-1] = d[0];
        d[highs] = d[highs - 1u];
        rows->even_up(e, d - 1, d, lows, low);
    }
    rows->put(d, highs, high);
}

static void NAME(take)(NAME(stream) * s, uint32_t k);

/* Low row i of level k. */
static void NAME(give_low)(NAME(stream) * s, uint32_t k, uint32_t i, const T *row) {
    uint32_t width = s->node[k].width;
    NAME(split_across)(s, row, width, NAME(slot)(s, k + 1u), s->plane + (size_t)i * s->info->width + fl_low(width));
    NAME(take)(s, k + 1u);
}

/* High row i of level k. */
static void NAME(give_high)(NAME(stream) * s, uint32_t k, uint32_t i, const T *row) {
    const NAME(node) *n = &s->node[k];
    uint32_t lows = fl_low(n->width);
    int32_t *to = s->plane + (size_t)(fl_low(n->height) + i) * s->info->width;
    NAME(split_across)(s, row, n->width, s->low_row, to + lows);
    s->rows->put(s->low_row, lows, to);
}

/* Even row j, mirrored beyond the ends. */
static const T *NAME(mirrored)(const NAME(node) * n, int64_t j) {
    return n->even[fl_mirror_even(j, fl_low(n->height), fl_high(n->height)) & 3u];
}

/* Lift the next pair of rows. */
static void NAME(lift)(NAME(stream) * s, uint32_t k) {
    NAME(node) *n = &s->node[k];
    const ROWS *rows = s->rows;
    uint32_t i = n->pair++;
    const T *x = n->odd[i & 1u], *e0 = n->even[i & 3u], *e1 = NAME(mirrored)(n, (int64_t)i + 1);
    T *d = n->details[i & 1u], *low = s->line;
    if (s->info->transform == FL_TRANSFORM_HAAR) {
        rows->haar_down(e0, x, n->width, low, d);
    } else {
        if (s->info->transform == FL_TRANSFORM_97M)
            rows->odd_97_down(x, NAME(mirrored)(n, (int64_t)i - 1), e0, e1, NAME(mirrored)(n, (int64_t)i + 2), n->width,
                              d);
        else
            rows->odd_53_down(x, e0, e1, n->width, d);
        rows->even_up(e0, i > 0 ? n->details[~i & 1u] : d, d, n->width, low);
    }
    NAME(give_low)(s, k, i, low);
    NAME(give_high)(s, k, i, d);
}

/* The row of level k that lies where NAME(slot) said. */
static void NAME(take)(NAME(stream) * s, uint32_t k) {
    NAME(node) *n = &s->node[k];
    const ROWS *rows = s->rows;
    uint32_t lows = fl_low(n->height), highs = fl_high(n->height), transform = s->info->transform;
    uint32_t reach = transform == FL_TRANSFORM_97M ? 2u : transform == FL_TRANSFORM_53 ? 1u : 0u;
    const T *row = NAME(slot)(s, k);
    if (k == s->info->levels) {
        int32_t *to = s->plane + (size_t)n->taken++ * s->info->width;
        for (uint32_t i = 0; i < n->width; i++) to[i] = row[i] + s->middle;
        return;
    }
    /* Rows of level 0 were looked at as samples. */
    if (sizeof(T) == 2 && k > 0) s->narrow &= rows->reach(row, n->width) <= narrow_limit(transform);
    n->taken++;
    while (n->pair < highs && n->taken > 2u * n->pair + 1u && n->taken > 2u * fl_min(n->pair + reach, lows - 1u))
        NAME(lift)(s, k);
    if (n->taken < n->height || lows == highs) return;
    /* An even row without a partner. */
    const T *last = n->even[highs & 3u];
    if (highs > 0 && transform != FL_TRANSFORM_HAAR) {
        const T *d = n->details[(highs - 1u) & 1u];
        rows->even_up(last, d, d, n->width, s->line);
        last = s->line;
    }
    NAME(give_low)(s, k, highs, last);
}

/* Set up the streams of all components, with rows taken from `room`. */
static void NAME(open)(const fl_info *info, const ROWS *rows, int32_t *planes, T *room, NAME(stream) * streams) {
    size_t step = row_room(info->width);
    T *shared = room + BESIDE;
    room += SHARED_ROWS * step;
    for (uint32_t c = 0; c < info->components; c++) {
        NAME(stream) *s = &streams[c];
        s->info = info;
        s->rows = rows;
        s->middle = fl_base_middle(info, c);
        s->narrow = 1;
        s->plane = planes + (size_t)c * info->width * info->height;
        s->line = shared;
        s->low_row = shared + step;
        s->even_row = shared + 2 * step;
        s->odd_row = shared + 3 * step;
        s->high_row = shared + 4 * step;
        for (uint32_t k = 0; k <= info->levels; k++) {
            NAME(node) *n = &s->node[k];
            n->width = info->level[k].width;
            n->height = info->level[k].height;
            n->taken = n->pair = 0;
            T **row[NODE_ROWS] = {&n->even[0], &n->even[1], &n->even[2],    &n->even[3],
                                  &n->odd[0],  &n->odd[1],  &n->details[0], &n->details[1]};
            for (uint32_t i = 0; i < NODE_ROWS; i++, room += row_room(n->width)) *row[i] = room;
        }
    }
}

/* Row y of all components, coloured; 0 if a sample is not in the head's range, or might not fit T. */
static uint32_t NAME(load)(const picture *p, const ROWS *rows, uint32_t y, T *const *to) {
    const fl_info *info = p->info;
    const fl_layout *l = &p->layout;
    int32_t middle = fl_sample_middle(info), low = fl_sample_min(info) - middle, high = fl_sample_max(info) - middle;
    int32_t least = 0, most = 0;
    fl_run run;
    for (uint32_t x = 0; x < info->width; x += FL_RUN) {
        uint32_t n = fl_min(FL_RUN, info->width - x);
        const uint8_t *from = p->samples + ((ptrdiff_t)y * l->stride_y + (ptrdiff_t)x * l->stride_x) * l->size;
        T *row[FL_MAX_COMPONENTS];
        if (!fl_is_planar(l)) fl_split_run(l, from, n, &run);
        for (uint32_t c = 0; c < info->components; c++) {
            const void *part = l->size == 1 ? (const void *)run.bytes[c] : run.words[c];
            if (fl_is_planar(l)) part = from + (ptrdiff_t)c * l->stride_c * l->size;
            row[c] = to[c] + x;
            rows->load(l->storage, part, n, middle, row[c]);
            if (!p->any) rows->range(row[c], n, &least, &most);
        }
        if (info->colour != FL_COLOUR_NONE)
            (info->colour == FL_COLOUR_RCT ? rows->rct_split : rows->ycocg_split)(row[0], row[1], row[2], n);
    }
    if (least < low || most > high) return 0;
    /* Luma is no larger than samples, a colour difference no larger than their range. */
    int32_t reach = info->colour == FL_COLOUR_NONE ? 0 : most - least;
    reach = reach > most ? reach : most;
    reach = reach > -least ? reach : -least;
    return sizeof(T) > 2 || (uint32_t)reach <= narrow_limit(info->transform);
}

static fl_status NAME(forward)(const picture *p, const ROWS *rows, int32_t *planes, void *workspace) {
    NAME(stream) streams[FL_MAX_COMPONENTS];
    NAME(open)(p->info, rows, planes, workspace, streams);
    for (uint32_t y = 0; y < p->info->height; y++) {
        T *row[FL_MAX_COMPONENTS];
        for (uint32_t c = 0; c < p->info->components; c++) row[c] = NAME(slot)(&streams[c], 0);
        if (!NAME(load)(p, rows, y, row)) return FL_INVALID;
        for (uint32_t c = 0; c < p->info->components; c++) {
            NAME(take)(&streams[c], 0);
            if (sizeof(T) == 2 && !streams[c].narrow) return FL_INVALID;
        }
    }
    return FL_OK;
}
