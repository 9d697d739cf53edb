/* The encoder's way from coefficients to symbols, and from symbols to rANS words (SPEC 3.5.2, 3.6). Included by
 * planes.h, once for each instruction set. */

TARGET static uint32_t NAME(reach)(const int32_t *from, size_t stride, uint32_t width, uint32_t height) {
    uint32_t seen = 0;
    for (uint32_t y = 0; y < height; y++, from += stride)
        for (uint32_t x = 0; x < width; x++) seen |= (uint32_t)(from[x] < 0 ? -from[x] : from[x]);
    return seen;
}

/* 32 columns, the last `GROUP - n` of which are not there. */
TARGET FL_INLINE uint32_t NAME(load_group)(const int32_t *restrict from, uint32_t n, uint8_t *restrict m0,
                                           uint8_t *restrict m1, uint8_t *restrict m2, uint32_t *negative,
                                           const uint32_t slices) {
    uint8_t minus[GROUP];
    int32_t own[GROUP];
    uint32_t seen = 0;
    if (n < GROUP) {
        fl_fill(own, 0, sizeof own);
        fl_copy(own, from, n * sizeof *own);
        from = own;
    }
    for (uint32_t x = 0; x < GROUP; x++) {
        uint32_t magnitude = (uint32_t)(from[x] < 0 ? -from[x] : from[x]);
        seen |= magnitude;
        minus[x] = (uint8_t)((uint32_t)from[x] >> 24);
        m0[x] = (uint8_t)magnitude;
        if (slices > 1) m1[x] = (uint8_t)(magnitude >> 8);
        if (slices > 2) m2[x] = (uint8_t)(magnitude >> 16);
    }
    *negative = NAME(tops)(minus);
    return seen;
}

TARGET static void NAME(load_band)(fl_encoder *e, uint32_t b, const int32_t *from, size_t stride, uint32_t planes) {
    band *own = &e->tile.bands[b];
    fl_fill(e->reach[b], 0, sizeof e->reach[b]);
    for (uint32_t y = 0; y < own->height; y++)
        for (uint32_t x = 0; x < own->width; x += GROUP) {
            const int32_t *at = from + (size_t)y * stride + x;
            uint32_t n = fl_min(GROUP, own->width - x), seen;
            size_t to = (size_t)y * MAG_STRIDE + x;
            uint8_t *m[SLICES] = {own->magnitude[0] + to, own->magnitude[1] + to, own->magnitude[2] + to};
            uint32_t *negative = &e->negative[b][y * GROUPS + x / GROUP];
            if (planes <= 8)
                seen = NAME(load_group)(at, n, m[0], m[1], m[2], negative, 1);
            else if (planes <= 16)
                seen = NAME(load_group)(at, n, m[0], m[1], m[2], negative, 2);
            else
                seen = NAME(load_group)(at, n, m[0], m[1], m[2], negative, 3);
            uint8_t *reach = &e->reach[b][(y / BLOCK_ROWS) * BLOCK_STRIDE + x / GROUP];
            *reach = (uint8_t)fl_max(*reach, seen ? 32u - (uint32_t)__builtin_clz(seen) : 0u);
        }
}

TARGET static void NAME(take_symbols)(fl_encoder *e, uint32_t b, uint32_t plane, progress *at, coded_pass *pass,
                                      symbol_counts *counts) {
    fl_tile *t = &e->tile;
    band *own = &t->bands[b];
    const uint32_t columns = (own->width + GROUP - 1u) / GROUP, shift = plane & 7u;
    pass->first_row = at->rows;
    pass->bit_count = pass->sign_count = 0;
    for (uint32_t y = 0; y < own->height; y++) {
        const uint8_t *active = own->active + (y / BLOCK_ROWS) * BLOCK_STRIDE;
        uint8_t *magnitude = own->magnitude[plane >> 3] + (size_t)y * MAG_STRIDE;
        uint8_t *state = own->state + (size_t)y * STRIDE;
        int8_t *sign = own->sign + (size_t)y * STRIDE;
        uint32_t first = 0, last = columns;
        while (first < last && !active[first]) first++;
        while (last > first && !active[last - 1u]) last--;
        if (first == last) continue;
        coded_row *row = &e->rows[at->rows++];
        *row = (coded_row){at->symbols, at->signs, 0, 0, 0};
        uint8_t contexts[FL_MAX_TILE];
        uint32_t bits[GROUPS], fresh[GROUPS];
        NAME(contexts)(t, b, first * GROUP, y, (last - first) * GROUP, contexts + first * GROUP);
        for (uint32_t g = first; g < last; g++) {
            if (!active[g]) continue;
            uint8_t *to = e->symbols + at->symbols;
            const uint8_t *from = contexts + g * GROUP, *digits = magnitude + g * GROUP;
            const uint32_t n = fl_min(GROUP, own->width - g * GROUP);
            for (uint32_t i = 0; i < GROUP; i++) to[i] = (uint8_t)(from[i] | (digits[i] >> shift & 1) << 7);
            bits[g] = NAME(tops)(to);
            fresh[g] = bits[g] & ~NAME(significant)(state + g * GROUP);
            if (n == GROUP) {
                for (uint32_t i = 0; i < GROUP; i += 4u) {
                    counts->part[0][to[i]]++;
                    counts->part[1][to[i + 1u]]++;
                    counts->part[2][to[i + 2u]]++;
                    counts->part[3][to[i + 3u]]++;
                }
            } else {
                for (uint32_t i = 0; i < n; i++) counts->part[i & 3u][to[i]]++;
            }
            row->groups++;
            row->missing = (uint8_t)(GROUP - n);
            pass->bit_count += n;
            at->symbols += GROUP;
            if (fresh[g]) {
                uint8_t *list = e->signs + at->signs;
                uint32_t listed = NAME(list_signs)(sign + g * GROUP, fresh[g], list);
                uint32_t minus = NAME(gather)(e->negative[b][y * GROUPS + g], fresh[g]);
                for (uint32_t i = 0; i < listed; i++, minus >>= 1) {
                    list[i] = (uint8_t)(list[i] + BIT_CONTEXTS + (minus & 1u) * SYMBOL_ONE);
                    counts->part[i & 3u][list[i]]++;
                }
                at->signs += listed;
            }
        }
        for (uint32_t g = first; g < last; g++)
            if (active[g]) {
                uint32_t x = g * GROUP;
                NAME(update)(state + x, sign + x, magnitude + x, bits[g], fresh[g], e->negative[b][y * GROUPS + g],
                             (uint8_t)(1u << shift));
            }
        row->sign_count = (uint8_t)(at->signs - row->signs);
        pass->sign_count += row->sign_count;
    }
    pass->rows = at->rows - pass->first_row;
}

TARGET FL_INLINE uint8_t *NAME(push_passes)(fl_encoder *e, uint32_t passes, uint32_t *state, uint8_t *floor,
                                            uint8_t *end, const uint32_t lanes) {
    /* A row takes a word a symbol at most, and a vector is stored whole. */
    const ptrdiff_t enough = 2 * (2 * FL_MAX_TILE) + 64;
    NAME(writer) w;
    NAME(begin)(&w, state, end, lanes);
    for (uint32_t p = passes; p-- > 0u;) {
        const coded_pass *pass = &e->passes[p];
        if (pass->raw_bits && pass->raw_signs) continue;
        NAME(use)(&w, e, pass);
        for (uint32_t r = pass->rows; r-- > 0u;) {
            const coded_row *row = &e->rows[pass->first_row + r];
            if (w.words - floor < enough) return 0;
            for (uint32_t n = pass->raw_signs ? 0u : row->sign_count; n > 0u;) {
                uint32_t from = (n - 1u) / GROUP * GROUP;
                NAME(push)(&w, e->signs + row->signs + from, n - from, 1, lanes);
                n = from;
            }
            for (uint32_t g = pass->raw_bits ? 0u : row->groups, n = GROUP - row->missing; g-- > 0u; n = GROUP)
                NAME(push)(&w, e->symbols + row->symbols + g * GROUP, n, 0, lanes);
        }
    }
    NAME(end)(&w, state, lanes);
    return w.words;
}

TARGET static uint8_t *NAME(push_all)(fl_encoder *e, uint32_t passes, uint32_t lanes, uint32_t *state, uint8_t *floor,
                                      uint8_t *end) {
    if (lanes == 32) return NAME(push_passes)(e, passes, state, floor, end, 32);
    if (lanes == 16) return NAME(push_passes)(e, passes, state, floor, end, 16);
#ifdef EIGHT_LANES
    return PUSH_EIGHT_LANES(e, passes, lanes, state, floor, end);
#else
    return NAME(push_passes)(e, passes, state, floor, end, 8);
#endif
}

static const fl_encode_ops NAME(encode_ops) = {NAME(reach), NAME(load_band), NAME(take_symbols), NAME(push_all)};
