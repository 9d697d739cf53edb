/* What the tile decoder keeps beside the tile: choices of a layer's passes, rANS lanes, raw bits. */
#ifndef FL_DECODE_H
#define FL_DECODE_H

#include "contexts.h"

/* A row takes at most a word a symbol: one bit and one sign a coefficient. From fewer words than that on, and one more
 * vector, they are read from a copy with as many zeros behind it, so that a row may be decoded without looking. */
enum { ROW_WORDS = 2 * FL_MAX_TILE + MAX_LANES };

/* Up to so many lanes, a step waits for the one before it, which takes longer than a wrong guess whether there is one.
 */
enum { FEW_LANES = 16 };

struct fl_rans_reader {
    uint32_t lanes; /* 8, 16, 32 or 64 */
    uint32_t state[MAX_LANES];
    const uint8_t *words, *end; /* 16-bit little-endian words that are left */
    uint32_t in_tail;           /* they are in the copy */
    const uint8_t *raw;
    uint32_t raw_size, raw_used; /* in bytes; in bits */
    uint8_t tail[2 * 2 * ROW_WORDS];
};

typedef struct {
    fl_rans_reader reader;
    pass_choice choices[FL_MAX_COMPONENTS][MOST_PASSES]; /* of one layer */
    fl_tile tile;
} fl_decoder;

/* New bits of a row of coefficients, and the signs of those that became significant. */
struct row_symbols {
    uint64_t bits[WORDS], minus[WORDS];
};

/* After a row of a pass. A first part leaves the state as it is: its contexts are those of the plane above. */
static inline void fl_set_row(band *own, uint32_t y, uint32_t plane, pass_part part, const row_symbols *row,
                              const uint32_t words) {
    state_row *at = own->state + y;
    part_row *parts = own->parts + y;
    for (uint32_t w = 0; w < words; w++) {
        uint64_t *magnitude = &own->magnitude[BANDS * plane].row[y][w];
        *magnitude = row->bits[w] | (part == SECOND_PART ? *magnitude : 0u);
        if (part == FIRST_PART) {
            parts->minus[w] = row->minus[w];
            continue;
        }
        at->four[w] = at->two[w];
        at->two[w] = part == SECOND_PART ? at->one[w] & ~parts->done[w] : at->one[w];
        at->one[w] |= row->bits[w];
        at->negative[w] |= row->minus[w];
    }
}

/* The columns of word w that a part of a pass codes, of those in active blocks. `some`: contexts of those that are not
 * significant are not 0; first parts alone look at it, and keep what they code. */
static inline uint64_t fl_part_columns(const band *own, uint32_t y, uint32_t w, uint64_t active, pass_part part,
                                       uint64_t some) {
    uint64_t *done = &own->parts[y].done[w];
    if (part == FIRST_PART) return *done = active & ~own->state[y].one[w] & some;
    return part == SECOND_PART ? active & ~*done : active;
}

/* What a first part has found becomes known. */
static inline void fl_end_first_part(band *own, uint32_t plane) {
    for (uint32_t y = 0; y < own->height; y++)
        for (uint32_t w = 0; w < WORDS; w++) {
            own->state[y].one[w] |= own->magnitude[BANDS * plane].row[y][w];
            own->state[y].negative[w] |= own->parts[y].minus[w];
        }
}

/* Decode a row symbol by symbol: where the words may run out. `columns`: those of active blocks. */
void fl_read_row(const band *own, uint32_t b, uint32_t y, const uint64_t *columns, pass_part part,
                 const pass_choice *choice, fl_rans_reader *r, row_symbols *row);

/* The next n <= 64 raw bits; zeros after the end. */
uint64_t fl_read_raw(fl_rans_reader *r, uint32_t n);

/* The same, fast where the end is not near. */
FL_INLINE uint64_t fl_take_raw(fl_rans_reader *r, uint32_t n) {
    const uint32_t from = r->raw_used >> 3, shift = r->raw_used & 7u;
    if (r->raw_size < 9u || from > r->raw_size - 9u) return fl_read_raw(r, n);
    const uint8_t *at = r->raw + from;
    uint64_t bits = ((uint64_t)fl_read32(at) | (uint64_t)fl_read32(at + 4) << 32) >> shift;
    bits |= (uint64_t)at[8] << 1 << (63u - shift); /* in two steps: shift may be 0 */
    r->raw_used += n;
    return n < WORD ? bits & (((uint64_t)1 << n) - 1u) : bits;
}

#endif
