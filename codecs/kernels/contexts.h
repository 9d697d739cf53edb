/* Contexts of a row of coefficients (SPEC 3.6.1), 64 columns at a time, and what else passes need of words. */
#ifndef FL_CONTEXTS_H
#define FL_CONTEXTS_H

#include "tile.h"

#define BITS uint64_t
#define NAME(name) fl_word_##name
#include "context_logic.h"
#undef NAME
#undef BITS

/* All words of a row. */
typedef uint64_t fl_wide __attribute__((vector_size(8 * WORDS)));
FL_INLINE fl_wide fl_load_wide(const uint64_t *from) {
    fl_wide row;
    fl_copy(&row, from, sizeof row);
    return row;
}
FL_INLINE void fl_store_wide(uint64_t *to, fl_wide row) { fl_copy(to, &row, sizeof row); }

/* The neighbours `by` columns to the left and right of the 64 of word w. */
FL_INLINE uint64_t fl_left(const uint64_t *row, const uint32_t w, const uint32_t by) {
    return row[w] << by | (w > 0u ? row[w - 1u] >> (WORD - by) : 0u);
}
FL_INLINE uint64_t fl_right(const uint64_t *row, const uint32_t w, const uint32_t by) {
    return row[w] >> by | (w + 1u < WORDS ? row[w + 1u] << (WORD - by) : 0u);
}

/* Shifts by 0 to 64, and the n lowest bits, without branches. */
FL_INLINE uint64_t fl_shift_left(uint64_t bits, uint32_t by) { return bits << (by / 2u) << (by - by / 2u); }
FL_INLINE uint64_t fl_shift_right(uint64_t bits, uint32_t by) { return bits >> (by / 2u) >> (by - by / 2u); }
FL_INLINE uint64_t fl_low_bits(uint32_t n) { return n < WORD ? ((uint64_t)1 << n) - 1u : ~(uint64_t)0; }

/* The low bits of `bits` to the places of the set bits of `mask`, in order. */
FL_INLINE uint64_t fl_spread(uint64_t bits, uint64_t mask) {
    uint64_t out = 0;
    for (; mask; mask &= mask - 1u, bits >>= 1) out |= mask & (0u - mask) & (0u - (bits & 1u));
    return out;
}

/* Word w of a row of a band of kind 0 HL, 1 LH, 2 HH; a and b are the siblings' rows. */
FL_INLINE context_bits fl_word_contexts(const state_row *at, const state_row *a, const state_row *b, const uint32_t w,
                                        const int kind) {
    const state_row *up = at - 1, *down = at + 1;
    context_bits contexts;
    const fl_word_neighbours n = {
        .own = at->one[w],
        .west = fl_left(at->one, w, 1),
        .east = fl_right(at->one, w, 1),
        .west2 = fl_left(at->one, w, 2),
        .east2 = fl_right(at->one, w, 2),
        .south = down->one[w],
        .south_west = fl_left(down->one, w, 1),
        .south_east = fl_right(down->one, w, 1),
        .south2 = at[2].one[w],
        .a = a->one[w],
        .b = b->one[w],
        .north = up->one[w],
        .north_west = fl_left(up->one, w, 1),
        .north_east = fl_right(up->one, w, 1),
        .north2 = at[-2].one[w],
        .own_two = at->two[w],
        .west_two = fl_left(at->two, w, 1),
        .east_two = fl_right(at->two, w, 1),
        .north_two = up->two[w],
        .south_two = down->two[w],
        .a_two = a->two[w],
        .b_two = b->two[w],
        .own_four = at->four[w],
    };
    fl_word_significance(&n, contexts.bit, kind);
    contexts.bit[4] = 0;
    if (n.own != 0) fl_word_refinement(&n, contexts.bit);
    return contexts;
}

/* All words of a row that the band reaches. */
FL_INLINE void fl_contexts(const band *own, uint32_t b, uint32_t y, context_bits *contexts) {
    const state_row *at = own->state + y, *first = own->siblings[0] + y, *second = own->siblings[1] + y;
    if (b == 0) {
        contexts[0] = fl_word_contexts(at, first, second, 0, 0);
        if (own->width > WORD) contexts[1] = fl_word_contexts(at, first, second, 1, 0);
    } else if (b == 1) {
        contexts[0] = fl_word_contexts(at, first, second, 0, 1);
        if (own->width > WORD) contexts[1] = fl_word_contexts(at, first, second, 1, 1);
    } else {
        contexts[0] = fl_word_contexts(at, first, second, 0, 2);
        if (own->width > WORD) contexts[1] = fl_word_contexts(at, first, second, 1, 2);
    }
}

/* The context of a sign as a number of four bits: the sum of the neighbours' signs across is positive, is negative;
 * that down is positive, is negative. */
typedef struct {
    uint64_t bit[4];
} sign_bits;
FL_INLINE sign_bits fl_sign_bits(const state_row *at, const uint32_t w) {
    const uint64_t *minus = at->negative;
    uint64_t plus[WORDS];
    for (uint32_t i = 0; i < WORDS; i++) plus[i] = at->one[i] ^ minus[i];
    uint64_t across_plus = fl_left(plus, w, 1) | fl_right(plus, w, 1);
    uint64_t across_minus = fl_left(minus, w, 1) | fl_right(minus, w, 1);
    uint64_t down_plus = (at[-1].one[w] ^ at[-1].negative[w]) | (at[1].one[w] ^ at[1].negative[w]);
    uint64_t down_minus = at[-1].negative[w] | at[1].negative[w];
    return (sign_bits){
        {across_plus & ~across_minus, across_minus & ~across_plus, down_plus & ~down_minus, down_minus & ~down_plus}};
}

/* The context's number by that of four bits. */
static const uint8_t fl_sign_context[16] = {[0] = 4, [1] = 7, [2] = 1, [4] = 5, [5] = 8, [6] = 2, [8] = 3, [9] = 6};

/* 64 columns of up to 8 bits as bytes; bit i of all is bits[i * step]. */
FL_INLINE void fl_bytes(uint8_t *to, const uint64_t *bits, uint32_t step, uint32_t n) {
    for (uint32_t x = 0; x < WORD; x += 8u) {
        uint64_t eight = 0;
        for (uint32_t i = 0; i < n; i++) {
            /* Bit j of a byte moves to the top of byte j: 2^j + 127 has it where it is not 0. */
            uint64_t spread = (bits[i * step] >> x & 255u) * 0x0101010101010101u & 0x8040201008040201u;
            eight |= ((spread + 0x7f7f7f7f7f7f7f7fu) >> 7 & 0x0101010101010101u) << i;
        }
        for (uint32_t j = 0; j < 8u; j++) to[x + j] = (uint8_t)(eight >> (8u * j));
    }
}

#endif
