/* WebAssembly SIMD (planes.h says what each function does): a vector holds 4 lanes. */
#include <wasm_simd128.h>

#define TARGET
#define NAME(name) name##_wasm
#include "contexts.h"
#include "signs.h"

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
    for (uint32_t i = 0; i < 3u; i++) {
        v128_t a = wasm_v128_load(zero + 16u * i), b = wasm_v128_load(zero + 16u * i + 8u);
        tables->low[i] = wasm_i8x16_shuffle(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        tables->high[i] = wasm_i8x16_shuffle(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    }
}

/* All ones where the bit of a byte's, or a word's, place is set. */
FL_INLINE v128_t bytes_wasm(uint32_t bits) {
    const v128_t bit = wasm_i64x2_splat((int64_t)0x8040201008040201);
    v128_t both = wasm_i32x4_splat((int32_t)bits);
    both = wasm_i8x16_shuffle(both, both, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    return wasm_i8x16_eq(wasm_v128_and(both, bit), bit);
}
FL_INLINE v128_t words_wasm(uint32_t bits) {
    const v128_t bit = wasm_i32x4_make(1, 2, 4, 8);
    return wasm_i32x4_eq(wasm_v128_and(wasm_i32x4_splat((int32_t)bits), bit), bit);
}

/* 4 lanes take a symbol each, those in `takes` at least; returns a bit a lane. */
FL_INLINE uint32_t step_wasm(lanes_wasm *v, const uint32_t i, v128_t zero, v128_t takes, const int all,
                             const int careful) {
    v128_t x = v->x[i], scaled = wasm_i32x4_mul(zero, wasm_u32x4_shr(x, PROBABILITY_BITS));
    v128_t low = wasm_v128_and(x, wasm_i32x4_splat(PROBABILITY_ONE - 1)), is_zero = wasm_i32x4_gt(zero, low);
    v128_t next =
        wasm_v128_bitselect(wasm_i32x4_add(scaled, low), wasm_i32x4_sub(wasm_i32x4_sub(x, zero), scaled), is_zero);
    if (!all) next = wasm_v128_bitselect(next, x, takes);
    v128_t need = wasm_i32x4_lt(next, wasm_i32x4_splat((int32_t)STATE_LOW));
    if (!all) need = wasm_v128_and(need, takes);
    uint32_t mask = wasm_i32x4_bitmask(need), count = (uint32_t)__builtin_popcount(mask);
    if (careful) {
        uint32_t left = (uint32_t)(v->end - v->words) / 2u;
        if (count > left) {
            while (count > left) {
                mask &= ~(1u << (31 - __builtin_clz(mask)));
                count--;
            }
            need = words_wasm(mask);
        }
    }
    v128_t words = wasm_i8x16_swizzle(wasm_v128_load64_zero(v->words), wasm_v128_load(fl_word_places[mask]));
    v->words += 2u * count;
    v->x[i] = wasm_v128_bitselect(wasm_v128_or(wasm_i32x4_shl(next, 16), words), next, need);
    return wasm_i32x4_bitmask(is_zero) ^ 15u;
}

/* P(0) of 16 symbols from its low and high bytes. */
typedef struct {
    v128_t zero[4];
} sixteen_wasm;
FL_INLINE sixteen_wasm widen_wasm(v128_t low, v128_t high) {
    v128_t a = wasm_i8x16_shuffle(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    v128_t b = wasm_i8x16_shuffle(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    return (sixteen_wasm){{wasm_u32x4_extend_low_u16x8(a), wasm_u32x4_extend_high_u16x8(a),
                           wasm_u32x4_extend_low_u16x8(b), wasm_u32x4_extend_high_u16x8(b)}};
}

FL_INLINE uint32_t bits_wasm(lanes_wasm *v, const tables_wasm *t, const uint8_t *contexts, uint32_t valid,
                             const uint32_t lanes, const int careful) {
    const uint32_t last = lanes / 4u - 1u;
    uint32_t bits = 0;
    for (uint32_t half = 0; half < 2u; half++) {
        v128_t c = wasm_v128_load(contexts + 16u * half), d = wasm_i8x16_sub(c, wasm_i8x16_splat(16));
        v128_t low = wasm_v128_or(wasm_i8x16_swizzle(t->low[0], c), wasm_i8x16_swizzle(t->low[1], d));
        v128_t high = wasm_v128_or(wasm_i8x16_swizzle(t->high[0], c), wasm_i8x16_swizzle(t->high[1], d));
        sixteen_wasm s = widen_wasm(low, high);
        for (uint32_t j = 0; j < 4u; j++) {
            uint32_t i = 4u * half + j;
            if (valid == 0xffffffffu)
                bits |= step_wasm(v, i & last, s.zero[j], s.zero[j], 1, careful) << (4u * i);
            else if (valid >> (4u * i))
                bits |= step_wasm(v, i & last, s.zero[j], words_wasm(valid >> (4u * i)), 0, careful) << (4u * i);
        }
    }
    return bits & valid;
}

FL_INLINE void signs_wasm(lanes_wasm *v, const tables_wasm *t, const uint8_t *list, uint32_t n, uint32_t *found,
                          const uint32_t lanes, const int careful) {
    const v128_t place = wasm_i32x4_make(0, 1, 2, 3);
    for (uint32_t done = 0;;)
        for (uint32_t i = 0; i < lanes / 4u; i++, done += 4u) {
            if (done >= n) return;
            v128_t c = wasm_v128_load32_zero(list + done);
            v128_t low = wasm_i8x16_swizzle(t->low[2], c), high = wasm_i8x16_swizzle(t->high[2], c);
            v128_t zero = wasm_u32x4_extend_low_u16x8(
                wasm_i8x16_shuffle(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
            v128_t takes = wasm_i32x4_gt(wasm_i32x4_splat((int32_t)(n - done)), place);
            found[done >> 5] |= step_wasm(v, i, zero, takes, 0, careful) << (done & 31u);
        }
}

FL_INLINE uint32_t significant_wasm(const uint8_t *state) {
    uint32_t low = wasm_i8x16_bitmask(wasm_i8x16_shl(wasm_v128_load(state), 7));
    return low | (uint32_t)wasm_i8x16_bitmask(wasm_i8x16_shl(wasm_v128_load(state + 16), 7)) << 16;
}

FL_INLINE uint32_t list_signs_wasm(const int8_t *sign, uint32_t fresh, uint8_t *list) {
    uint32_t n = 0;
    for (; fresh; fresh &= fresh - 1u) list[n++] = fl_sign_context(sign + __builtin_ctz(fresh));
    return n;
}

FL_INLINE uint32_t spread_wasm(uint32_t bits, uint32_t mask) {
    uint32_t out = 0;
    for (; mask; mask &= mask - 1u, bits >>= 1) out |= mask & (0u - mask) & (0u - (bits & 1u));
    return out;
}

FL_INLINE void update_wasm(uint8_t *state, int8_t *sign, uint8_t *magnitude, uint32_t bits, uint32_t fresh,
                           uint32_t negative, uint8_t value) {
    const v128_t one = wasm_i8x16_splat(1);
    for (uint32_t i = 0; i < GROUP; i += 16u) {
        v128_t old = wasm_v128_load(state + i), set = bytes_wasm(bits >> i);
        v128_t twice = wasm_i16x8_shl(wasm_v128_and(old, one), 4);
        v128_t more = wasm_i16x8_shl(wasm_v128_and(old, wasm_i8x16_splat(16)), 3);
        old = wasm_v128_or(wasm_v128_or(old, wasm_v128_and(set, one)), wasm_v128_or(twice, more));
        wasm_v128_store(state + i, old);
        v128_t digit = wasm_v128_and(set, wasm_i8x16_splat((int8_t)value));
        wasm_v128_store(magnitude + i, wasm_v128_or(wasm_v128_load(magnitude + i), digit));
        if (fresh) {
            v128_t now = wasm_v128_and(wasm_v128_or(bytes_wasm(negative >> i), one), bytes_wasm(fresh >> i));
            wasm_v128_store(sign + i, wasm_v128_or(wasm_v128_load(sign + i), now));
        }
    }
}

#include "planes.h"
#undef TARGET
#undef NAME
