/* WebAssembly SIMD (planes.h says what each function does): a vector holds 4 lanes, and 8 take symbols at a time.
 *
 * Engines translate instruction by instruction, and some instructions are several of the processor's: comparisons of
 * unsigned numbers, selections (3), swizzles (3). So what counts here is the number of those. */
#include <wasm_simd128.h>

#include "decode.h"

#define TARGET
#define NAME(name) name##_wasm

typedef struct {
    v128_t x[MAX_LANES / 4];
    const uint8_t *words, *end;
} lanes_wasm;

/* Low and high bytes of P(0), for swizzles: contexts 0 .. 15, 16 .. 31, signs. */
typedef struct {
    v128_t low[3], high[3];
} tables_wasm;

FL_INLINE void load_wasm(lanes_wasm *v, const fl_rans_reader *r, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 4u; i++) v->x[i] = wasm_v128_load(&r->state[4 * i]);
    v->words = r->words;
    v->end = r->end;
}

FL_INLINE void store_wasm(const lanes_wasm *v, fl_rans_reader *r, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 4u; i++) wasm_v128_store(&r->state[4 * i], v->x[i]);
    r->words = v->words;
    r->end = v->end;
}

FL_INLINE void prepare_wasm(tables_wasm *tables, const uint16_t *zero) {
    const v128_t place = wasm_v128_load(fl_sign_context);
    for (uint32_t i = 0; i < 3u; i++) {
        v128_t a = wasm_v128_load(zero + 16u * i), b = wasm_v128_load(zero + 16u * i + 8u);
        tables->low[i] = wasm_i8x16_shuffle(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        tables->high[i] = wasm_i8x16_shuffle(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    }
    tables->low[2] = wasm_i8x16_swizzle(tables->low[2], place);
    tables->high[2] = wasm_i8x16_swizzle(tables->high[2], place);
}

/* x itself, of which the compiler is to know nothing: knowing that a number is positive, or a mask one of single bits,
 * or that shifting and adding is multiplying, it takes the slower of two instructions. */
FL_INLINE v128_t hidden_wasm(v128_t x) {
    __asm__("" : "+r"(x));
    return x;
}

/* All ones where the bit of a byte's, or a word's, place is set. */
FL_INLINE v128_t mask_bytes_wasm(uint32_t bits) {
    const v128_t bit = wasm_i64x2_splat((int64_t)0x8040201008040201);
    v128_t both = wasm_i16x8_splat((int16_t)bits);
    both = wasm_i8x16_shuffle(both, both, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    return wasm_i8x16_eq(hidden_wasm(wasm_v128_and(both, bit)), bit);
}
FL_INLINE v128_t mask_words_wasm(uint32_t bits) {
    const v128_t bit = wasm_i32x4_make(1, 2, 4, 8);
    return wasm_i32x4_eq(hidden_wasm(wasm_v128_and(wasm_i32x4_splat((int32_t)bits), bit)), bit);
}

/* 8 lanes from x on take a symbol each, all or those in `takes`; returns a bit a lane, for all. */
FL_INLINE uint32_t eight_wasm(v128_t *x, const uint8_t **words, const v128_t *zero, uint32_t takes, const int all) {
    v128_t next[2], need[2], is_zero[2];
    for (uint32_t i = 0; i < 2u; i++) {
        v128_t scaled = wasm_i32x4_mul(zero[i], wasm_u32x4_shr(x[i], PROBABILITY_BITS));
        v128_t low = wasm_v128_and(x[i], wasm_i32x4_splat(PROBABILITY_ONE - 1));
        is_zero[i] = wasm_i32x4_lt(hidden_wasm(low), zero[i]);
        next[i] = wasm_v128_bitselect(wasm_i32x4_add(scaled, low),
                                      wasm_i32x4_sub(wasm_i32x4_sub(x[i], zero[i]), scaled), is_zero[i]);
        need[i] = wasm_i32x4_lt(next[i], wasm_i32x4_splat((int32_t)STATE_LOW));
        if (!all) {
            v128_t own = mask_words_wasm(takes >> (4u * i));
            next[i] = wasm_v128_bitselect(next[i], x[i], own);
            need[i] = wasm_v128_and(need[i], own);
        }
    }
    const uint32_t both = wasm_i8x16_bitmask(wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(need[0], need[1]),
                                                                     wasm_i16x8_narrow_i32x4(is_zero[0], is_zero[1])));
    v128_t taken = wasm_i8x16_swizzle(wasm_v128_load(*words), wasm_v128_load(fl_word_places[both & 255u]));
    *words += 2u * (uint32_t)__builtin_popcount(both & 255u);
    v128_t first = wasm_v128_or(wasm_i32x4_shl(next[0], 16), wasm_u32x4_extend_low_u16x8(taken));
    v128_t second = wasm_v128_or(wasm_i32x4_shl(next[1], 16), wasm_u32x4_extend_high_u16x8(taken));
    x[0] = wasm_v128_bitselect(first, next[0], need[0]);
    x[1] = wasm_v128_bitselect(second, next[1], need[1]);
    return both >> 8 ^ 255u;
}

/* 16 symbols in columns from 16 `sixteen` on; P(0) by its low and high bytes. */
FL_INLINE uint32_t read_wasm(lanes_wasm *v, const uint8_t **words, v128_t low, v128_t high, uint32_t columns,
                             const uint32_t sixteen, const uint32_t lanes) {
    const uint32_t last = lanes / 4u - 1u;
    v128_t a = wasm_i8x16_shuffle(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    v128_t b = wasm_i8x16_shuffle(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    v128_t zero[4] = {wasm_u32x4_extend_low_u16x8(a), wasm_u32x4_extend_high_u16x8(a), wasm_u32x4_extend_low_u16x8(b),
                      wasm_u32x4_extend_high_u16x8(b)};
    v128_t *first = &v->x[(4u * sixteen) & last], *second = &v->x[(4u * sixteen + 2u) & last];
    uint32_t bits = 0;
    if (columns == 0xffffu) {
        bits = eight_wasm(first, words, zero, 0, 1);
        return bits | eight_wasm(second, words, zero + 2, 0, 1) << 8;
    }
    if (columns & 255u) bits = eight_wasm(first, words, zero, columns, 0);
    if (columns >> 8) bits |= eight_wasm(second, words, zero + 2, columns >> 8, 0) << 8;
    return bits & columns;
}

/* 64 columns of n <= 4 bits, a word a bit, as bytes. Bytes of four words side by side are two 4 x 4 matrices of bits,
 * to be transposed (Warren, Hacker's Delight, 7-3). */
FL_INLINE void columns_wasm(v128_t *out, const uint64_t *bits, const uint32_t step, const uint32_t n) {
    v128_t row[4];
    for (uint32_t i = 0; i < 4u; i++) row[i] = i < n ? wasm_v128_load64_zero(bits + i * step) : wasm_i8x16_splat(0);
    v128_t a = wasm_i8x16_shuffle(row[0], row[1], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    v128_t b = wasm_i8x16_shuffle(row[2], row[3], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    v128_t half[2] = {wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11),
                      wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15)};
    for (uint32_t i = 0; i < 2u; i++) {
        v128_t x = half[i], t = wasm_v128_xor(x, wasm_u32x4_shr(x, 7));
        t = hidden_wasm(wasm_v128_and(t, wasm_i32x4_splat(0x00aa00aa)));
        x = wasm_v128_xor(x, wasm_v128_xor(t, wasm_i32x4_shl(t, 7)));
        t = wasm_v128_xor(x, wasm_u32x4_shr(x, 14));
        t = hidden_wasm(wasm_v128_and(t, wasm_i32x4_splat(0x0000cccc)));
        x = wasm_v128_xor(x, wasm_v128_xor(t, wasm_i32x4_shl(t, 14)));
        v128_t low = wasm_v128_and(x, wasm_i8x16_splat(15));
        v128_t high = wasm_v128_and(wasm_u32x4_shr(x, 4), wasm_i8x16_splat(15));
        out[2u * i] = wasm_i32x4_shuffle(low, high, 0, 4, 1, 5);
        out[2u * i + 1u] = wasm_i32x4_shuffle(low, high, 2, 6, 3, 7);
    }
}

FL_INLINE void bytes_wasm(uint8_t *to, const uint64_t *bits, const uint32_t step, const uint32_t n) {
    v128_t low[4], high[4];
    columns_wasm(low, bits, step, n);
    if (n > 4u) columns_wasm(high, bits + 4u * step, step, n - 4u);
    for (uint32_t i = 0; i < 4u; i++)
        wasm_v128_store(to + 16u * i, n > 4u ? wasm_v128_or(low[i], wasm_i16x8_shl(high[i], 4)) : low[i]);
}

FL_INLINE fl_wide left_wasm(fl_wide row, const uint32_t by, const uint32_t words) {
    return words == 1u ? row << by : row << by | (fl_wide){0, row[0]} >> (WORD - by);
}
FL_INLINE fl_wide right_wasm(fl_wide row, const uint32_t by, const uint32_t words) {
    return words == 1u ? row >> by : row >> by | (fl_wide){row[1], 0} << (WORD - by);
}

typedef struct {
    uint64_t bit[5][WORDS];
} contexts_wasm;

FL_INLINE contexts_wasm take_contexts_wasm(const fl_wide *bits, const uint32_t words) {
    contexts_wasm contexts;
    (void)words;
    for (uint32_t i = 0; i < 5u; i++) fl_store_wide(contexts.bit[i], bits[i]);
    return contexts;
}

FL_INLINE uint64_t read_bits_wasm(lanes_wasm *v, const tables_wasm *t, const contexts_wasm *contexts, const uint32_t w,
                                  uint64_t columns, const uint32_t lanes) {
    const uint8_t *words = v->words;
    uint64_t bits = 0;
    v128_t c[4];
    columns_wasm(c, &contexts->bit[0][w], WORDS, 4);
    for (uint32_t i = 0; i < 4u; i++) {
        const uint32_t own = (uint32_t)(columns >> (16u * i)) & 0xffffu;
        if (own == 0) continue;
        v128_t second = mask_bytes_wasm((uint32_t)(contexts->bit[4][w] >> (16u * i)));
        v128_t low =
            wasm_v128_bitselect(wasm_i8x16_swizzle(t->low[1], c[i]), wasm_i8x16_swizzle(t->low[0], c[i]), second);
        v128_t high =
            wasm_v128_bitselect(wasm_i8x16_swizzle(t->high[1], c[i]), wasm_i8x16_swizzle(t->high[0], c[i]), second);
        bits |= (uint64_t)read_wasm(v, &words, low, high, own, i, lanes) << (16u * i);
    }
    v->words = words;
    return bits;
}

/* Signs are read from lists of their contexts and columns: there is no instruction that gathers bits. */
#define OWN_ROW_SIGNS
static __attribute__((noinline)) void row_signs_wasm(const uint64_t (*around)[WORDS], lanes_wasm *v,
                                                     const tables_wasm *t, const uint64_t *all_fresh, uint64_t *minus,
                                                     uint32_t *usual, const uint32_t lanes, const uint32_t wide) {
    (void)usual;
    const uint8_t *words = v->words;
    uint8_t contexts[WORD], list[WORDS * WORD + 16], columns[WORDS * WORD];
    uint32_t count = 0;
    for (uint32_t w = 0; w < wide; w++) {
        uint64_t fresh = all_fresh[w];
        if (fresh == 0) continue;
        bytes_wasm(contexts, &around[0][w], WORDS, 4);
        for (; fresh; fresh &= fresh - 1u, count++) {
            const uint32_t x = (uint32_t)__builtin_ctzll(fresh);
            list[count] = contexts[x];
            columns[count] = (uint8_t)(w * WORD + x);
        }
    }
    wasm_v128_store(list + count, wasm_i8x16_splat(0));
    for (uint32_t from = 0; from < count; from += 16u) {
        v128_t c = wasm_v128_load(list + from);
        v128_t low = wasm_i8x16_swizzle(t->low[2], c), high = wasm_i8x16_swizzle(t->high[2], c);
        const uint32_t own = count - from < 16u ? (1u << (count - from)) - 1u : 0xffffu;
        uint32_t found = read_wasm(v, &words, low, high, own, from / 16u, lanes);
        for (; found; found &= found - 1u) {
            const uint32_t x = columns[from + (uint32_t)__builtin_ctz(found)];
            minus[x / WORD] |= (uint64_t)1 << (x % WORD);
        }
    }
    v->words = words;
}

FL_INLINE uint64_t spread_wasm(uint64_t bits, uint64_t mask) { return fl_spread(bits, mask); }

#define OWN_POINTS_16
FL_INLINE void points_16_wasm(const uint8_t (*units)[WORD], const uint8_t *minus, fl_points points, uint32_t n,
                              int16_t *restrict to, const uint32_t slices) {
    const v128_t one = wasm_i16x8_splat(1), first = wasm_i16x8_splat((int16_t)points.first);
    const v128_t rest = wasm_i16x8_splat((int16_t)points.rest);
    for (uint32_t x = 0; x < n; x += 8u) {
        v128_t unit = wasm_u16x8_load8x8(units[0] + x), sign = wasm_i16x8_neg(wasm_u16x8_load8x8(minus + x));
        if (slices > 1) unit = wasm_v128_or(unit, wasm_i16x8_shl(wasm_u16x8_load8x8(units[1] + x), 8));
        v128_t value = unit;
        if (points.low > 0) {
            v128_t more = wasm_v128_or(wasm_v128_and(wasm_i16x8_eq(unit, one), first),
                                       wasm_v128_and(wasm_i16x8_gt(unit, one), rest));
            value = wasm_i16x8_add(wasm_i16x8_shl(unit, points.low), more);
        }
        value = wasm_i16x8_sub(wasm_v128_xor(value, sign), sign);
        if (n - x >= 8u) {
            wasm_v128_store(to + x, value);
        } else {
            int16_t last[8];
            wasm_v128_store(last, value);
            fl_copy(to + x, last, (n - x) * sizeof *to);
        }
    }
}

#include "planes.h"
#undef TARGET
#undef NAME
