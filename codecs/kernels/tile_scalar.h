/* The portable way (planes.h says what each function does). */
#define TARGET
#define NAME(name) name##_scalar
#include "contexts.h"
#include "encode.h"
#include "signs.h"

typedef struct {
    uint32_t *state;
    const uint8_t *words, *end;
} lanes_scalar;

typedef struct {
    const uint16_t *zero;
} tables_scalar;

FL_INLINE void load_scalar(lanes_scalar *v, fl_rans_reader *r, uint32_t lanes) {
    (void)lanes;
    *v = (lanes_scalar){r->state, r->words, r->end};
}

FL_INLINE void store_scalar(const lanes_scalar *v, fl_rans_reader *r, uint32_t lanes) {
    (void)lanes;
    r->words = v->words;
    r->end = v->end;
}

FL_INLINE void prepare_scalar(tables_scalar *tables, const uint16_t *zero) { tables->zero = zero; }

/* One symbol (SPEC 3.5.2). */
FL_INLINE uint32_t symbol_scalar(lanes_scalar *v, uint32_t lane, uint32_t zero) {
    uint32_t x = v->state[lane], low = x & (PROBABILITY_ONE - 1u), scaled = zero * (x >> PROBABILITY_BITS);
    uint32_t bit = low >= zero, mask = 0u - bit;
    x = ((scaled + low) & ~mask) | ((x - scaled - zero) & mask);
    if (x < STATE_LOW && v->words < v->end) {
        x = x << 16 | v->words[0] | (uint32_t)v->words[1] << 8;
        v->words += 2;
    }
    v->state[lane] = x;
    return bit;
}

FL_INLINE uint32_t bits_scalar(lanes_scalar *v, const tables_scalar *tables, const uint8_t *contexts, uint32_t valid,
                               const uint32_t lanes, const int careful) {
    (void)careful;
    uint32_t bits = 0, n = (uint32_t)__builtin_popcount(valid);
    for (uint32_t i = 0; i < n; i++) bits |= symbol_scalar(v, i & (lanes - 1u), tables->zero[contexts[i]]) << i;
    return bits;
}

FL_INLINE void signs_scalar(lanes_scalar *v, const tables_scalar *tables, const uint8_t *list, uint32_t n,
                            uint32_t *found, const uint32_t lanes, const int careful) {
    (void)careful;
    for (uint32_t i = 0; i < n; i++)
        found[i >> 5] |= symbol_scalar(v, i & (lanes - 1u), tables->zero[BIT_CONTEXTS + list[i]]) << (i & 31u);
}

FL_INLINE uint32_t significant_scalar(const uint8_t *state) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < GROUP; i++) bits |= (uint32_t)(state[i] & 1u) << i;
    return bits;
}

FL_INLINE uint32_t list_signs_scalar(const int8_t *sign, uint32_t fresh, uint8_t *list) {
    uint32_t n = 0;
    for (; fresh; fresh &= fresh - 1u) list[n++] = fl_sign_context(sign + __builtin_ctz(fresh));
    return n;
}

FL_INLINE uint32_t spread_scalar(uint32_t bits, uint32_t mask) {
    uint32_t out = 0;
    for (; mask; mask &= mask - 1u, bits >>= 1) out |= (bits & 1u) ? mask & (0u - mask) : 0u;
    return out;
}

FL_INLINE void update_scalar(uint8_t *state, int8_t *sign, uint8_t *magnitude, uint32_t bits, uint32_t fresh,
                             uint32_t negative, uint8_t value) {
    for (uint32_t i = 0; i < GROUP; i++) {
        uint8_t bit = (uint8_t)(bits >> i & 1u), s = state[i];
        state[i] = (uint8_t)(s | bit | (s & 1) << 4 | (s & 16) << 3);
        magnitude[i] = (uint8_t)(magnitude[i] | (bit ? value : 0));
    }
    for (; fresh; fresh &= fresh - 1u) {
        uint32_t i = (uint32_t)__builtin_ctz(fresh);
        sign[i] = negative >> i & 1u ? -1 : 1;
    }
}

FL_INLINE uint32_t gather_scalar(uint32_t bits, uint32_t mask) {
    uint32_t out = 0;
    for (uint32_t i = 0; mask; mask &= mask - 1u, i++) out |= (bits >> __builtin_ctz(mask) & 1u) << i;
    return out;
}

FL_INLINE uint32_t tops_scalar(const uint8_t *bytes) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < GROUP; i++) bits |= (uint32_t)(bytes[i] >> 7) << i;
    return bits;
}

typedef struct {
    uint32_t *state;
    uint8_t *words;
    const symbol_code *codes;
} writer_scalar;

FL_INLINE void begin_scalar(writer_scalar *w, uint32_t *state, uint8_t *end, uint32_t lanes) {
    (void)lanes;
    *w = (writer_scalar){state, end, 0};
}

FL_INLINE void end_scalar(const writer_scalar *w, uint32_t *state, uint32_t lanes) {
    (void)w, (void)state, (void)lanes;
}

FL_INLINE void use_scalar(writer_scalar *w, fl_encoder *e, const coded_pass *pass) {
    fl_start_codes(e, pass);
    w->codes = e->codes;
}

FL_INLINE void push_scalar(writer_scalar *w, const uint8_t *symbols, uint32_t n, int signs, const uint32_t lanes) {
    (void)signs;
    while (n-- > 0u) {
        const symbol_code *code = &w->codes[symbols[n]];
        uint32_t x = w->state[n & (lanes - 1u)];
        if (x >= code->limit) {
            w->words -= 2;
            w->words[0] = (uint8_t)x;
            w->words[1] = (uint8_t)(x >> 8);
            x >>= 16;
        }
        w->state[n & (lanes - 1u)] = fl_push(x, code);
    }
}

#include "planes.h"
#undef TARGET
#undef NAME
