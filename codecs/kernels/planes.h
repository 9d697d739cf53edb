/* Decoding of a pass, row by row (SPEC 3.6). Included once for each instruction set, after decode.h, with TARGET,
 * NAME() and these defined:
 *
 *   NAME(lanes)     rANS states in registers, and where the words are
 *   load, store     between it and an fl_rans_reader
 *   NAME(tables)    probabilities as the processor likes them, of bits and of signs; prepare
 *   left, right     the columns to the left and right of those of a row of `words` words, by 1 or 2
 *   NAME(contexts)  contexts of a row as the processor likes them; take_contexts, from five bits of each
 *   read_bits       symbols of the columns of a word that are in a mask; reads at most a word a symbol, and looks at no
 *                   more than MAX_LANES words beyond
 *   read_signs      the same with contexts of four bits, in the lowest columns; `usual` of them without asking whether
 *                   they are in the mask
 *   spread          the low bits of `bits` to the places of the set bits of `mask`, in order
 *   gather          the bits of `bits` at the set bits of `mask`, side by side
 *   bytes           64 columns of up to 8 bits, a word a bit, as bytes
 *
 * OWN_PASS: there is a decode_pass, and only `spread` and `bytes` are needed. OWN_ROW_SIGNS: there is a row_signs, and
 * neither read_signs nor gather is needed. OWN_POINTS_16: there is a points_16. */

#ifndef OWN_PASS

#define BITS fl_wide
#include "context_logic.h"
#undef BITS

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

/* Rows y - 2 to y + 2 of a band, where row y is to be decoded: which coefficients are at least 1, of which those to the
 * left and right; at least 2; negative. */
typedef struct {
    fl_wide north2, north, own, south, south2;
    fl_wide north_west, north_east, west, east, south_west, south_east;
    fl_wide north_two, own_two, south_two;
    fl_wide north_minus, own_minus, south_minus;
} NAME(window);

TARGET FL_INLINE void NAME(open_window)(NAME(window) * n, const state_row *at, const uint32_t words) {
    n->north2 = fl_load_wide(at[-2].one);
    n->north = fl_load_wide(at[-1].one);
    n->own = fl_load_wide(at[0].one);
    n->south = fl_load_wide(at[1].one);
    n->south2 = fl_load_wide(at[2].one);
    n->north_west = NAME(left)(n->north, 1, words);
    n->north_east = NAME(right)(n->north, 1, words);
    n->west = NAME(left)(n->own, 1, words);
    n->east = NAME(right)(n->own, 1, words);
    n->south_west = NAME(left)(n->south, 1, words);
    n->south_east = NAME(right)(n->south, 1, words);
    n->north_two = fl_load_wide(at[-1].two);
    n->own_two = fl_load_wide(at[0].two);
    n->south_two = fl_load_wide(at[1].two);
    n->north_minus = fl_load_wide(at[-1].negative);
    n->own_minus = fl_load_wide(at[0].negative);
    n->south_minus = fl_load_wide(at[1].negative);
}

/* One row on; at[-1], decoded by now, is as `n` has it. */
TARGET FL_INLINE void NAME(move_window)(NAME(window) * n, const state_row *at, const uint32_t words) {
    n->north2 = n->north;
    n->north = n->own;
    n->own = n->south;
    n->south = n->south2;
    n->south2 = fl_load_wide(at[2].one);
    n->north_west = NAME(left)(n->north, 1, words);
    n->north_east = NAME(right)(n->north, 1, words);
    n->west = n->south_west;
    n->east = n->south_east;
    n->south_west = NAME(left)(n->south, 1, words);
    n->south_east = NAME(right)(n->south, 1, words);
    n->north_two = n->own_two;
    n->own_two = n->south_two;
    n->south_two = fl_load_wide(at[1].two);
    n->north_minus = n->own_minus;
    n->own_minus = n->south_minus;
    n->south_minus = fl_load_wide(at[1].negative);
}

/* Contexts of a row, a word a bit. */
TARGET FL_INLINE void NAME(row_contexts)(const NAME(window) * w, const band *own, uint32_t b, uint32_t y, int refined,
                                         fl_wide *bits, const uint32_t words) {
    const state_row *a_row = own->siblings[0] + y, *b_row = own->siblings[1] + y;
    const NAME(neighbours) n = {
        .own = w->own,
        .west = w->west,
        .east = w->east,
        .west2 = NAME(left)(w->own, 2, words),
        .east2 = NAME(right)(w->own, 2, words),
        .south = w->south,
        .south_west = w->south_west,
        .south_east = w->south_east,
        .south2 = w->south2,
        .a = fl_load_wide(a_row->one),
        .b = fl_load_wide(b_row->one),
        .north = w->north,
        .north_west = w->north_west,
        .north_east = w->north_east,
        .north2 = w->north2,
        .own_two = w->own_two,
        .west_two = NAME(left)(w->own_two, 1, words),
        .east_two = NAME(right)(w->own_two, 1, words),
        .north_two = w->north_two,
        .south_two = w->south_two,
        .a_two = fl_load_wide(a_row->two),
        .b_two = fl_load_wide(b_row->two),
        .own_four = fl_load_wide(own->state[y].four),
    };
    if (b == 0)
        NAME(significance)(&n, bits, 0);
    else if (b == 1)
        NAME(significance)(&n, bits, 1);
    else
        NAME(significance)(&n, bits, 2);
    bits[4] = w->own;
    if (refined) NAME(refinement)(&n, bits);
}

/* Contexts of a row's signs as numbers of four bits, as fl_sign_bits has them. */
TARGET FL_INLINE void NAME(sign_contexts)(const NAME(window) * n, uint64_t (*bits)[WORDS], const uint32_t words) {
    const fl_wide plus = n->own ^ n->own_minus;
    const fl_wide across_plus = NAME(left)(plus, 1, words) | NAME(right)(plus, 1, words);
    const fl_wide across_minus = NAME(left)(n->own_minus, 1, words) | NAME(right)(n->own_minus, 1, words);
    const fl_wide down_plus = (n->north ^ n->north_minus) | (n->south ^ n->south_minus);
    const fl_wide down_minus = n->north_minus | n->south_minus;
    fl_store_wide(bits[0], across_plus & ~across_minus);
    fl_store_wide(bits[1], across_minus & ~across_plus);
    fl_store_wide(bits[2], down_plus & ~down_minus);
    fl_store_wide(bits[3], down_minus & ~down_plus);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

#ifndef OWN_ROW_SIGNS
/* The signs of `fresh` columns; `around`: their contexts. How many there are can't be foreseen, and each wrong guess of
 * the processor stops it until all is done that the guess was about. So `usual` of them, the most of all rows so far,
 * are read without asking, but by FEW_LANES. */
TARGET FL_INLINE void NAME(row_signs)(const uint64_t (*around)[WORDS], NAME(lanes) * v, const NAME(tables) * tables,
                                      const uint64_t *fresh, uint64_t *minus, uint32_t *usual, const uint32_t lanes,
                                      const uint32_t words) {
    /* Contexts without gaps; those of the second word follow upon those of the first. */
    const uint32_t count = (uint32_t)__builtin_popcountll(fresh[0]);
    uint32_t total = count;
    uint64_t list[4], more[4] = {0};
    for (uint32_t i = 0; i < 4u; i++) list[i] = NAME(gather)(around[i][0], fresh[0]);
    if (words > 1u) {
        total += (uint32_t)__builtin_popcountll(fresh[1]);
        for (uint32_t i = 0; i < 4u; i++) {
            more[i] = NAME(gather)(around[i][1], fresh[1]);
            list[i] |= count < WORD ? more[i] << (count % WORD) : 0u;
        }
    }
    uint64_t found = NAME(read_signs)(v, tables, list, fl_low_bits(total), usual, lanes);
    minus[0] = NAME(spread)(found, fresh[0]);
    if (words > 1u) {
        uint64_t rest = count < WORD ? found >> (count % WORD) : 0u;
        if (total > WORD) { /* so count is not 0 */
            for (uint32_t i = 0; i < 4u; i++) list[i] = more[i] >> (WORD - count);
            found = NAME(read_signs)(v, tables, list, fl_low_bits(total - WORD), usual, lanes);
            rest |= found << (WORD - count);
        }
        minus[1] = NAME(spread)(rest, fresh[1]);
    }
}
#endif

TARGET FL_INLINE void NAME(row)(const NAME(window) * n, const band *own, uint32_t b, uint32_t y, const uint64_t *active,
                                pass_part part, const pass_choice *choice, int refined, fl_rans_reader *r,
                                NAME(lanes) * v, const NAME(tables) * tables, row_symbols *row, uint32_t *usual,
                                const uint32_t lanes, const uint32_t words) {
    uint64_t fresh[WORDS] = {0}, columns[WORDS] = {active[0], active[1]}, some[WORDS] = {0};
    NAME(contexts) contexts;
    for (uint32_t w = 0; w < WORDS; w++) row->bits[w] = row->minus[w] = 0;
    if (!choice->raw_bits || part == FIRST_PART) {
        fl_wide context_bits[5];
        NAME(row_contexts)(n, own, b, y, refined, context_bits, words);
        contexts = NAME(take_contexts)(context_bits, words);
        fl_store_wide(some, context_bits[0] | context_bits[1] | context_bits[2] | context_bits[3]);
    }
    for (uint32_t w = 0; part != WHOLE && w < words; w++)
        columns[w] = fl_part_columns(own, y, w, columns[w], part, some[w]);
    for (uint32_t w = 0; w < words; w++) {
        if (choice->raw_bits)
            row->bits[w] = NAME(spread)(fl_take_raw(r, (uint32_t)__builtin_popcountll(columns[w])), columns[w]);
        else if (columns[w])
            row->bits[w] = NAME(read_bits)(v, tables, &contexts, w, columns[w], lanes);
    }
    for (uint32_t w = 0; w < words; w++) fresh[w] = row->bits[w] & ~own->state[y].one[w];
    if (choice->raw_signs) {
        for (uint32_t w = 0; w < words; w++)
            row->minus[w] = NAME(spread)(fl_take_raw(r, (uint32_t)__builtin_popcountll(fresh[w])), fresh[w]);
    } else if (*usual > 0 || (fresh[0] | fresh[1]) != 0) {
        uint64_t around[4][WORDS];
        NAME(sign_contexts)(n, around, words);
        NAME(row_signs)((const uint64_t (*)[WORDS])around, v, tables, fresh, row->minus, usual, lanes, words);
    }
}

/* As fl_set_row. */
TARGET FL_INLINE void NAME(set_row)(NAME(window) * n, band *own, uint32_t y, uint32_t plane, pass_part part,
                                    const row_symbols *row) {
    state_row *at = own->state + y;
    const fl_wide bits = {row->bits[0], row->bits[1]}, minus = {row->minus[0], row->minus[1]};
    if (part == FIRST_PART) {
        fl_store_wide(own->magnitude[BANDS * plane].row[y], bits);
        fl_store_wide(own->parts[y].minus, minus);
        return;
    }
    fl_wide before = n->own, magnitude = bits;
    if (part == SECOND_PART) {
        before &= ~fl_load_wide(own->parts[y].done);
        magnitude |= fl_load_wide(own->magnitude[BANDS * plane].row[y]);
    }
    fl_store_wide(own->magnitude[BANDS * plane].row[y], magnitude);
    fl_store_wide(at->four, n->own_two);
    fl_store_wide(at->two, before);
    n->own_two = before;
    n->own |= bits;
    n->own_minus |= minus;
    fl_store_wide(at->one, n->own);
    fl_store_wide(at->negative, n->own_minus);
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

TARGET FL_INLINE void NAME(pass)(band *own, uint32_t b, uint32_t plane, pass_part part, const pass_choice *choice,
                                 fl_rans_reader *r, const uint32_t lanes, const uint32_t words) {
    const int refined = part != FIRST_PART && own->begun > plane + 1u;
    uint32_t usual = 0, follows = 0; /* the row above was decoded */
    NAME(window) n;
    NAME(lanes) v;
    NAME(tables) tables;
    NAME(load)(&v, r, lanes);
    NAME(prepare)(&tables, choice->zero);
    for (uint32_t y0 = 0; y0 < own->height; y0 += BLOCK_ROWS) {
        uint64_t columns[WORDS] = {0};
        const uint32_t y1 = fl_min(y0 + BLOCK_ROWS, own->height);
        for (uint32_t w = 0; w < words; w++) columns[w] = fl_coded_columns(own, y0 / BLOCK_ROWS, w, plane);
        if ((columns[0] | columns[1]) == 0) {
            for (uint32_t y = y0; y < y1 && part != SECOND_PART; y++) {
                for (uint32_t w = 0; w < WORDS; w++) own->magnitude[BANDS * plane].row[y][w] = 0;
                if (part == FIRST_PART) fl_fill(&own->parts[y], 0, sizeof own->parts[y]);
            }
            follows = 0;
            continue;
        }
        for (uint32_t y = y0; y < y1; y++) {
            if (v.end - v.words < 2 * ROW_WORDS && !r->in_tail) {
                size_t left = (size_t)(v.end - v.words);
                fl_copy(r->tail, v.words, left);
                fl_fill(r->tail + left, 0, 2 * ROW_WORDS);
                v.words = r->tail;
                v.end = r->tail + left;
                r->in_tail = 1;
            }
            if (r->in_tail) NAME(store)(&v, r, lanes);
            if (follows)
                NAME(move_window)(&n, own->state + y, words);
            else
                NAME(open_window)(&n, own->state + y, words);
            follows = 1;
            const uint32_t raw_before = r->raw_used;
            row_symbols row;
            NAME(row)(&n, own, b, y, columns, part, choice, refined, r, &v, &tables, &row, &usual, lanes, words);
            if (v.words > v.end) { /* they ran out: once more, with care */
                r->raw_used = raw_before;
                fl_read_row(own, b, y, columns, part, choice, r, &row);
                NAME(load)(&v, r, lanes);
            }
            NAME(set_row)(&n, own, y, plane, part, &row);
        }
    }
    NAME(store)(&v, r, lanes);
    if (part == FIRST_PART) fl_end_first_part(own, plane);
}

/* A function each, so that the compiler has to find registers for one at a time. Planes that are split are few. */
#define PASS(lanes, words)                                                                                             \
    TARGET static __attribute__((noinline)) void NAME(pass_##lanes##_##words)(                                         \
        band * own, uint32_t b, uint32_t plane, pass_part part, const pass_choice *choice, fl_rans_reader *r) {        \
        (void)part;                                                                                                    \
        NAME(pass)(own, b, plane, WHOLE, choice, r, lanes, words);                                                     \
    }                                                                                                                  \
    TARGET static __attribute__((noinline)) void NAME(part_##lanes##_##words)(                                         \
        band * own, uint32_t b, uint32_t plane, pass_part part, const pass_choice *choice, fl_rans_reader *r) {        \
        NAME(pass)(own, b, plane, part, choice, r, lanes, words);                                                      \
    }
PASS(8, 1)
PASS(8, 2)
PASS(16, 1)
PASS(16, 2)
PASS(32, 1)
PASS(32, 2)
PASS(64, 1)
PASS(64, 2)
#undef PASS

static void NAME(decode_pass)(fl_component *k, uint32_t b, uint32_t plane, pass_part part, const pass_choice *choice,
                              fl_rans_reader *r) {
    typedef void pass(band * own, uint32_t b, uint32_t plane, pass_part part, const pass_choice *choice,
                      fl_rans_reader *r);
#define PASSES(kind)                                                                                                   \
    {                                                                                                                  \
        {NAME(kind##_8_1), NAME(kind##_8_2)}, {NAME(kind##_16_1), NAME(kind##_16_2)},                                  \
            {NAME(kind##_32_1), NAME(kind##_32_2)}, {                                                                  \
            NAME(kind##_64_1), NAME(kind##_64_2)                                                                       \
        }                                                                                                              \
    }
    static pass *const passes[2][4][2] = {PASSES(pass), PASSES(part)};
#undef PASSES
    const uint32_t code = r->lanes > 16u ? (r->lanes > 32u ? 3u : 2u) : r->lanes > 8u ? 1u : 0u;
    passes[part != WHOLE][code][k->bands[b].width > WORD](&k->bands[b], b, plane, part, choice, r);
}

#endif

#include "adaptive.h"

/* ---- coefficients ------------------------------------------------------------------------------------------------ */

#ifndef OWN_POINTS_16
/* Up to 64 coefficients of magnitudes `units` 2^low, a byte a slice. */
TARGET FL_INLINE void NAME(points_16)(const uint8_t (*units)[WORD], const uint8_t *minus, fl_points points, uint32_t n,
                                      int16_t *restrict to, const uint32_t slices) {
    const uint16_t first = (uint16_t)points.first, rest = (uint16_t)points.rest;
    for (uint32_t x = 0; x < n; x++) {
        uint16_t unit = units[0][x];
        if (slices > 1) unit = (uint16_t)(unit | units[1][x] << 8);
        uint16_t more = unit > 1 ? rest : unit == 1 ? first : 0, mask = (uint16_t)-minus[x];
        uint16_t value = (uint16_t)((uint16_t)(unit << points.low) + more);
        to[x] = (int16_t)((value ^ mask) - mask);
    }
}
#endif

TARGET FL_INLINE void NAME(points_32)(const uint8_t (*units)[WORD], const uint8_t *minus, fl_points points, uint32_t n,
                                      int32_t *restrict to) {
    for (uint32_t x = 0; x < n; x++) {
        int32_t unit = units[0][x] | units[1][x] << 8 | units[2][x] << 16, mask = -(int32_t)minus[x];
        int32_t more = unit > 1 ? points.rest : unit == 1 ? points.first : 0;
        to[x] = (((unit << points.low) + more) ^ mask) - mask;
    }
}

TARGET static void NAME(finish)(const fl_component *k, uint32_t b, fl_points points, void *coefs, int wide) {
    const band *own = &k->bands[b];
    const uint32_t planes = own->begun - points.low;
    uint8_t units[3][WORD], minus[WORD];
    if (wide) fl_fill(units, 0, sizeof units);
    for (uint32_t y = 0; y < own->height; y++)
        for (uint32_t x = 0, w = 0; x < own->width; x += WORD, w++) {
            const uint64_t *from = &own->magnitude[BANDS * points.low].row[y][w];
            const uint32_t n = fl_min(WORD, own->width - x);
            const size_t at = (size_t)y * own->width + x;
            for (uint32_t p = 0; p < planes; p += 8u)
                NAME(bytes)(units[p / 8u], from + PLANE_STEP * p, PLANE_STEP, fl_min(8, planes - p));
            NAME(bytes)(minus, &own->state[y].negative[w], WORDS, 1);
            if (wide)
                NAME(points_32)(units, minus, points, n, (int32_t *)coefs + at);
            else if (planes > 8)
                NAME(points_16)(units, minus, points, n, (int16_t *)coefs + at, 2);
            else
                NAME(points_16)(units, minus, points, n, (int16_t *)coefs + at, 1);
        }
}

#ifdef DECODER_ONLY
static const fl_tile_ops NAME(ops) = {NAME(decode_pass), NAME(adaptive_row), NAME(finish), 0};
#else
#include "symbols.h"

static const fl_tile_ops NAME(ops) = {NAME(decode_pass), NAME(adaptive_row), NAME(finish), &NAME(encode_ops)};
#endif
