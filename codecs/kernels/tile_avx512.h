/* x86 with AVX-512 up to VBMI2 (planes.h says what each function does): a vector holds 16 lanes. With 8 lanes AVX2 is
 * as good. Comes after tile_avx2.h. */
#define TARGET                                                                                                         \
    __attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2")))
#define NAME(name) name##_avx512
#define EIGHT_LANES decode_plane_avx2
#include "contexts.h"

typedef struct {
    __m512i x[MAX_LANES / 16];
    const uint8_t *words, *end;
} lanes_avx512;

typedef struct {
    __m512i bits; /* P(0), 16-bit, for permutations */
    __m256i signs;
} tables_avx512;

TARGET FL_INLINE void load_avx512(lanes_avx512 *v, const fl_rans_reader *r, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 16u; i++) v->x[i] = _mm512_loadu_si512(&r->state[16 * i]);
    v->words = r->words;
    v->end = r->end;
}

TARGET FL_INLINE void store_avx512(const lanes_avx512 *v, fl_rans_reader *r, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 16u; i++) _mm512_storeu_si512(&r->state[16 * i], v->x[i]);
    r->words = v->words;
    r->end = v->end;
}

TARGET FL_INLINE void prepare_avx512(tables_avx512 *tables, const uint16_t *zero) {
    tables->bits = _mm512_loadu_si512(zero);
    tables->signs = _mm256_loadu_si256((const __m256i *)(const void *)(zero + BIT_CONTEXTS));
}

/* 16 lanes take a symbol each, those in `takes`; returns a bit a lane. */
TARGET FL_INLINE uint32_t step_avx512(lanes_avx512 *v, const uint32_t i, __m256i zero_words, __mmask16 takes,
                                      const int all, const int careful) {
    __m512i x = v->x[i], zero = _mm512_cvtepu16_epi32(zero_words);
    __m512i scaled = _mm512_mullo_epi32(zero, _mm512_srli_epi32(x, PROBABILITY_BITS));
    __m512i low = _mm512_and_si512(x, _mm512_set1_epi32(PROBABILITY_ONE - 1));
    __mmask16 ones = _mm512_cmpge_epu32_mask(low, zero), need;
    __m512i next = _mm512_mask_sub_epi32(_mm512_add_epi32(scaled, low), ones, _mm512_sub_epi32(x, zero), scaled);
    if (all) {
        need = _mm512_cmplt_epu32_mask(next, _mm512_set1_epi32((int)STATE_LOW));
    } else {
        next = _mm512_mask_mov_epi32(x, takes, next);
        need = _mm512_mask_cmplt_epu32_mask(takes, next, _mm512_set1_epi32((int)STATE_LOW));
    }
    uint32_t count = (uint32_t)__builtin_popcount(need);
    if (careful) {
        uint32_t left = (uint32_t)(v->end - v->words) / 2u;
        if (count > left) {
            need = (__mmask16)_pdep_u32((1u << left) - 1u, need);
            count = left;
        }
    }
    __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)v->words));
    v->words += 2u * count;
    v->x[i] = _mm512_or_si512(_mm512_mask_slli_epi32(next, need, next, 16), _mm512_maskz_expand_epi32(need, words));
    return ones;
}

TARGET FL_INLINE uint32_t bits_avx512(lanes_avx512 *v, const tables_avx512 *t, const uint8_t *contexts, uint32_t valid,
                                      const uint32_t lanes, const int careful) {
    const uint32_t last = lanes / 16u - 1u;
    __m512i c = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)contexts));
    __m512i zero = _mm512_permutexvar_epi16(c, t->bits);
    __m256i first = _mm512_castsi512_si256(zero), second = _mm512_extracti64x4_epi64(zero, 1);
    if (valid == 0xffffffffu) {
        uint32_t bits = step_avx512(v, 0, first, 0xffff, 1, careful);
        return bits | step_avx512(v, 1u & last, second, 0xffff, 1, careful) << 16;
    }
    uint32_t bits = step_avx512(v, 0, first, (__mmask16)valid, 0, careful);
    if (valid >> 16) bits |= step_avx512(v, 1u & last, second, (__mmask16)(valid >> 16), 0, careful) << 16;
    return bits & valid;
}

TARGET FL_INLINE void signs_avx512(lanes_avx512 *v, const tables_avx512 *t, const uint8_t *list, uint32_t n,
                                   uint32_t *found, const uint32_t lanes, const int careful) {
    uint8_t *to = (uint8_t *)found;
    for (uint32_t done = 0;;)
        for (uint32_t i = 0; i < lanes / 16u; i++, done += 16u) {
            if (done >= n) return;
            __m256i c = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(list + done)));
            __mmask16 takes = (__mmask16)_bzhi_u32(0xffff, n - done);
            uint32_t bits = step_avx512(v, i, _mm256_permutexvar_epi16(c, t->signs), takes, 0, careful);
            *to++ = (uint8_t)bits;
            *to++ = (uint8_t)(bits >> 8);
        }
}

TARGET FL_INLINE uint32_t significant_avx512(const uint8_t *state) {
    return _mm256_test_epi8_mask(_mm256_loadu_si256((const __m256i *)(const void *)state), _mm256_set1_epi8(1));
}

TARGET FL_INLINE uint32_t list_signs_avx512(const int8_t *sign, uint32_t fresh, uint8_t *list) {
    __m256i h = clipped_sum_avx2(sign - 1, sign + 1), v = clipped_sum_avx2(sign - STRIDE, sign + STRIDE);
    __m256i c = _mm256_add_epi8(_mm256_add_epi8(h, _mm256_add_epi8(h, h)), _mm256_add_epi8(v, _mm256_set1_epi8(4)));
    _mm256_storeu_si256((__m256i *)(void *)list, _mm256_maskz_compress_epi8(fresh, c));
    return (uint32_t)__builtin_popcount(fresh);
}

TARGET FL_INLINE uint32_t spread_avx512(uint32_t bits, uint32_t mask) { return _pdep_u32(bits, mask); }

TARGET FL_INLINE void update_avx512(uint8_t *state, int8_t *sign, uint8_t *magnitude, uint32_t bits, uint32_t fresh,
                                    uint32_t negative, uint8_t value) {
    __m256i *s = (__m256i *)(void *)state, *m = (__m256i *)(void *)magnitude;
    __m256i old = _mm256_loadu_si256(s), one = _mm256_set1_epi8(1), digits = _mm256_loadu_si256(m);
    __m256i twice = _mm256_slli_epi16(_mm256_and_si256(old, one), 4);
    __m256i more = _mm256_slli_epi16(_mm256_and_si256(old, _mm256_set1_epi8(16)), 3);
    old = _mm256_or_si256(_mm256_or_si256(old, _mm256_maskz_mov_epi8(bits, one)), _mm256_or_si256(twice, more));
    _mm256_storeu_si256(s, old);
    __m256i digit = _mm256_maskz_set1_epi8(bits, (char)value);
    _mm256_storeu_si256(m, _mm256_or_si256(digits, digit));
    if (fresh) _mm256_mask_storeu_epi8(sign, fresh, _mm256_mask_set1_epi8(one, negative, -1));
}

TARGET FL_INLINE uint32_t gather_avx512(uint32_t bits, uint32_t mask) { return _pext_u32(bits, mask); }

TARGET FL_INLINE uint32_t tops_avx512(const uint8_t *bytes) {
    return (uint32_t)_mm256_movemask_epi8(_mm256_loadu_si256((const __m256i *)(const void *)bytes));
}

typedef struct {
    __m512i x[MAX_LANES / 16];
    uint8_t *words;
    tables_avx512 tables;
} writer_avx512;

TARGET FL_INLINE void begin_avx512(writer_avx512 *w, const uint32_t *state, uint8_t *end, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 16u; i++) w->x[i] = _mm512_loadu_si512(&state[16 * i]);
    w->words = end;
}

TARGET FL_INLINE void end_avx512(const writer_avx512 *w, uint32_t *state, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 16u; i++) _mm512_storeu_si512(&state[16 * i], w->x[i]);
}

TARGET FL_INLINE void use_avx512(writer_avx512 *w, const fl_encoder *e, const coded_pass *pass) {
    (void)e;
    prepare_avx512(&w->tables, pass->zero);
}

/* 16 lanes give a symbol each, those in `gives`; the quotient as in give_avx2. */
TARGET FL_INLINE void give_avx512(writer_avx512 *w, const uint32_t i, __m256i zero_words, __mmask16 ones,
                                  __mmask16 gives) {
    __m512i x = w->x[i], zero = _mm512_cvtepu16_epi32(zero_words);
    __m512i f = _mm512_mask_sub_epi32(zero, ones, _mm512_set1_epi32(PROBABILITY_ONE), zero);
    __mmask16 full = _mm512_mask_cmpge_epu32_mask(gives, _mm512_srli_epi32(x, 19), f);
    uint32_t count = (uint32_t)__builtin_popcount(full);
    __m256i words = _mm256_maskz_compress_epi16(full, _mm512_cvtepi32_epi16(x));
    w->words -= 2u * count;
    _mm256_mask_storeu_epi16(w->words, (__mmask16)_bzhi_u32(0xffff, count), words);
    __m512i y = _mm512_mask_srli_epi32(x, full, x, 16);

    __m512i q = _mm512_cvttps_epi32(_mm512_div_ps(_mm512_cvtepi32_ps(y), _mm512_cvtepi32_ps(f)));
    __m512i rest = _mm512_sub_epi32(y, _mm512_mullo_epi32(q, f));
    __mmask16 over = _mm512_movepi32_mask(rest), under;
    rest = _mm512_mask_add_epi32(rest, over, rest, f);
    q = _mm512_mask_sub_epi32(q, over, q, _mm512_set1_epi32(1));
    under = _mm512_cmpge_epi32_mask(rest, f);
    rest = _mm512_mask_sub_epi32(rest, under, rest, f);
    q = _mm512_mask_add_epi32(q, under, q, _mm512_set1_epi32(1));
    y = _mm512_add_epi32(_mm512_slli_epi32(q, PROBABILITY_BITS), rest);
    w->x[i] = _mm512_mask_mov_epi32(x, gives, _mm512_mask_add_epi32(y, ones, y, zero));
}

TARGET FL_INLINE void push_avx512(writer_avx512 *w, const uint8_t *symbols, uint32_t n, const int signs,
                                  const uint32_t lanes) {
    const uint32_t last = lanes / 16u - 1u;
    __m256i symbol = _mm256_loadu_si256((const __m256i *)(const void *)symbols);
    __m512i c = _mm512_cvtepu8_epi16(_mm256_and_si256(symbol, _mm256_set1_epi8(31)));
    __m512i zero = _mm512_permutexvar_epi16(c, signs ? _mm512_zextsi256_si512(w->tables.signs) : w->tables.bits);
    uint32_t ones = (uint32_t)_mm256_movemask_epi8(symbol), valid = _bzhi_u32(0xffffffffu, n);
    if (valid >> 16)
        give_avx512(w, 1u & last, _mm512_extracti64x4_epi64(zero, 1), (__mmask16)(ones >> 16),
                    (__mmask16)(valid >> 16));
    give_avx512(w, 0, _mm512_castsi512_si256(zero), (__mmask16)ones, (__mmask16)valid);
}

#define PUSH_EIGHT_LANES push_all_avx2
#include "planes.h"
#undef PUSH_EIGHT_LANES
#undef TARGET
#undef NAME
#undef EIGHT_LANES
