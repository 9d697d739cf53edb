/* Decoding of a band's plane, row by row (SPEC 3.6). Included once for each instruction set, after contexts.h, with
 * TARGET, NAME() and these defined:
 *
 *   NAME(lanes)   rANS states in registers, and where the words are
 *   load, store   between it and an fl_rans_reader
 *   NAME(tables)  probabilities as the processor likes them; prepare
 *   bits          32 coefficients with their contexts -> a bit each, for those in `valid`
 *   signs         n symbols in lanes 0, 1, ..., with sign contexts -> n bits
 *   significant   states of 32 coefficients -> a bit each
 *   list_signs    sign contexts of the coefficients in `fresh`, one after the other
 *   spread        the low bits of `bits` to the places of the set bits of `mask`, in order
 *   update        32 coefficients with their new bits
 *   gather        the bits of `bits` at the set bits of `mask`, side by side
 *   tops          the top bits of 32 bytes
 *   push          (encoder) 32 symbols or fewer backwards, signs if `signs`
 *
 * EIGHT_LANES, if defined, does what this would do with 8 lanes.
 *
 * bits and signs take each at most one word a symbol; `careful`: there may be fewer left than that. */

/* The next n <= 32 raw bits; zeros after the end. */
TARGET FL_INLINE uint32_t NAME(take_raw)(fl_rans_reader *r, uint32_t n) {
    uint64_t window = 0;
    if (r->raw_end - r->raw >= 8)
        window = (uint64_t)fl_read32(r->raw) | (uint64_t)fl_read32(r->raw + 4) << 32;
    else
        for (ptrdiff_t i = 0; i < r->raw_end - r->raw; i++) window |= (uint64_t)r->raw[i] << (8 * i);
    uint32_t bits = (uint32_t)((window >> r->raw_bits_used) & (((uint64_t)1 << n) - 1u));
    uint32_t used = r->raw_bits_used + n, bytes = used >> 3;
    ptrdiff_t left = r->raw_end - r->raw;
    r->raw += (ptrdiff_t)bytes < left ? (ptrdiff_t)bytes : left;
    r->raw_bits_used = used & 7u;
    return bits;
}

/* The groups of a row that are coded, and which of their columns the band has. */
typedef struct {
    uint32_t count, x[GROUPS], valid[GROUPS];
} NAME(groups);

TARGET FL_INLINE void NAME(row)(fl_tile *t, uint32_t b, uint32_t plane, const plane_choice *choice, fl_rans_reader *r,
                                NAME(lanes) * v, const NAME(tables) * tables, const NAME(groups) * groups, uint32_t y,
                                const uint32_t lanes, const int careful) {
    band *own = &t->bands[b];
    uint8_t *state = own->state + (size_t)y * STRIDE;
    int8_t *sign = own->sign + (size_t)y * STRIDE;
    uint8_t *magnitude = own->magnitude[plane >> 3] + (size_t)y * MAG_STRIDE;
    uint32_t bits[GROUPS], fresh[GROUPS], negative[GROUPS], n = groups->count, listed = 0;
    uint8_t contexts[FL_MAX_TILE], list[FL_MAX_TILE + GROUP];
    if (choice->raw_bits) {
        for (uint32_t g = 0; g < n; g++) bits[g] = NAME(take_raw)(r, (uint32_t)__builtin_popcount(groups->valid[g]));
    } else {
        uint32_t x0 = groups->x[0], x1 = groups->x[n - 1u] + GROUP;
        NAME(contexts)(t, b, x0, y, x1 - x0, contexts + x0);
        for (uint32_t g = 0; g < n; g++)
            bits[g] = NAME(bits)(v, tables, contexts + groups->x[g], groups->valid[g], lanes, careful);
    }
    for (uint32_t g = 0; g < n; g++) {
        fresh[g] = bits[g] & ~NAME(significant)(state + groups->x[g]);
        negative[g] = 0;
        if (choice->raw_signs)
            negative[g] = NAME(spread)(NAME(take_raw)(r, (uint32_t)__builtin_popcount(fresh[g])), fresh[g]);
        else if (fresh[g])
            listed += NAME(list_signs)(sign + groups->x[g], fresh[g], list + listed);
    }
    if (listed > 0) {
        uint32_t found[GROUPS + 1] = {0}, from = 0;
        NAME(signs)(v, tables, list, listed, found, lanes, careful);
        for (uint32_t g = 0; g < n; g++) {
            uint64_t window = found[from >> 5] | (uint64_t)found[(from >> 5) + 1u] << 32;
            negative[g] = NAME(spread)((uint32_t)(window >> (from & 31u)), fresh[g]);
            from += (uint32_t)__builtin_popcount(fresh[g]);
        }
    }
    for (uint32_t g = 0; g < n; g++) {
        uint32_t x = groups->x[g];
        NAME(update)(state + x, sign + x, magnitude + x, bits[g], fresh[g], negative[g], (uint8_t)(1u << (plane & 7u)));
    }
}

TARGET FL_INLINE void NAME(plane)(fl_tile *t, uint32_t b, uint32_t plane, const plane_choice *choice, fl_rans_reader *r,
                                  const uint32_t lanes) {
    const band *own = &t->bands[b];
    uint32_t columns = (own->width + GROUP - 1u) / GROUP;
    NAME(lanes) v;
    NAME(tables) tables;
    NAME(load)(&v, r, lanes);
    NAME(prepare)(&tables, choice->zero);
    for (uint32_t y0 = 0; y0 < own->height; y0 += BLOCK_ROWS) {
        NAME(groups) groups;
        groups.count = 0;
        for (uint32_t g = 0; g < columns; g++) {
            if (own->active[(y0 / BLOCK_ROWS) * BLOCK_STRIDE + g] <= plane) continue;
            uint32_t left = own->width - g * GROUP;
            groups.x[groups.count] = g * GROUP;
            groups.valid[groups.count] = left < GROUP ? (1u << left) - 1u : 0xffffffffu;
            groups.count++;
        }
        if (groups.count == 0) continue;
        uint32_t y1 = fl_min(y0 + BLOCK_ROWS, own->height);
        ptrdiff_t enough = 2 * (ptrdiff_t)(groups.count * GROUP_WORDS + SPARE_WORDS);
        for (uint32_t y = y0; y < y1; y++) {
            if (!r->in_tail && v.end - v.words < enough) {
                uint32_t left = (uint32_t)(v.end - v.words);
                fl_fill(r->tail, 0, sizeof r->tail);
                for (uint32_t i = 0; i < left; i++) r->tail[i] = v.words[i];
                v.words = r->tail;
                v.end = r->tail + left;
                r->in_tail = 1;
            }
            if (r->in_tail)
                NAME(row)(t, b, plane, choice, r, &v, &tables, &groups, y, lanes, 1);
            else
                NAME(row)(t, b, plane, choice, r, &v, &tables, &groups, y, lanes, 0);
        }
    }
    NAME(store)(&v, r, lanes);
}

TARGET static void NAME(decode_plane)(fl_tile *t, uint32_t b, uint32_t plane, const plane_choice *choice,
                                      fl_rans_reader *r) {
    if (r->lanes == 32)
        NAME(plane)(t, b, plane, choice, r, 32);
    else if (r->lanes == 16)
        NAME(plane)(t, b, plane, choice, r, 16);
    else
#ifdef EIGHT_LANES
        EIGHT_LANES(t, b, plane, choice, r);
#else
        NAME(plane)(t, b, plane, choice, r, 8);
#endif
}

/* A row of coefficients from `slices` slices of magnitudes. */
TARGET FL_INLINE void NAME(finish_row)(const band *own, uint32_t y, int32_t half, int32_t *restrict to,
                                       const uint32_t slices) {
    const uint8_t *m0 = own->magnitude[0] + (size_t)y * MAG_STRIDE, *m1 = own->magnitude[1] + (size_t)y * MAG_STRIDE;
    const uint8_t *m2 = own->magnitude[2] + (size_t)y * MAG_STRIDE;
    const int8_t *sign = own->sign + (size_t)y * STRIDE;
    const uint32_t width = own->width;
    for (uint32_t x = 0; x < width; x++) {
        int32_t value = m0[x];
        if (slices > 1) value |= m1[x] << 8;
        if (slices > 2) value |= m2[x] << 16;
        value = value ? value + half : 0;
        int32_t mask = sign[x] >> 7; /* -1 for negative */
        to[x] = (value ^ mask) - mask;
    }
}

TARGET static void NAME(finish)(const fl_tile *t, uint32_t b, int32_t half, int32_t *coefs) {
    const band *own = &t->bands[b];
    for (uint32_t y = 0; y < own->height; y++, coefs += own->width)
        if (t->planes <= 8)
            NAME(finish_row)(own, y, half, coefs, 1);
        else if (t->planes <= 16)
            NAME(finish_row)(own, y, half, coefs, 2);
        else
            NAME(finish_row)(own, y, half, coefs, 3);
}

#ifdef DECODER_ONLY
static const fl_tile_ops NAME(ops) = {NAME(decode_plane), NAME(finish), 0};
#else
#include "symbols.h"

static const fl_tile_ops NAME(ops) = {NAME(decode_plane), NAME(finish), &NAME(encode_ops)};
#endif
