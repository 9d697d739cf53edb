/* x86 with AVX2 and BMI2 (planes.h says what each function does): a vector holds 8 lanes. */
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt")))
#define NAME(name) name##_avx2
#include "contexts.h"
#include "encode.h"

typedef struct {
    __m256i x[MAX_LANES / 8];
    const uint8_t *words, *end;
} lanes_avx2;

/* Low and high bytes of P(0), for byte shuffles: contexts 0 .. 15, 16 .. 31, signs. */
typedef struct {
    __m256i low[2], high[2];
    __m128i sign_low, sign_high;
} tables_avx2;

TARGET FL_INLINE void load_avx2(lanes_avx2 *v, const fl_rans_reader *r, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 8u; i++)
        v->x[i] = _mm256_loadu_si256((const __m256i *)(const void *)&r->state[8 * i]);
    v->words = r->words;
    v->end = r->end;
}

TARGET FL_INLINE void store_avx2(const lanes_avx2 *v, fl_rans_reader *r, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 8u; i++) _mm256_storeu_si256((__m256i *)(void *)&r->state[8 * i], v->x[i]);
    r->words = v->words;
    r->end = v->end;
}

TARGET FL_INLINE void prepare_avx2(tables_avx2 *tables, const uint16_t *zero) {
    __m128i low[3], high[3];
    for (uint32_t i = 0; i < 3u; i++) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(zero + 16u * i));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(zero + 16u * i + 8u));
        __m128i byte = _mm_set1_epi16(255);
        low[i] = _mm_packus_epi16(_mm_and_si128(a, byte), _mm_and_si128(b, byte));
        high[i] = _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8));
    }
    for (uint32_t i = 0; i < 2u; i++) {
        tables->low[i] = _mm256_broadcastsi128_si256(low[i]);
        tables->high[i] = _mm256_broadcastsi128_si256(high[i]);
    }
    tables->sign_low = low[2];
    tables->sign_high = high[2];
}

/* All ones where the bit of a byte's, or a word's, place is set. */
TARGET FL_INLINE __m256i bytes_avx2(uint32_t bits) {
    const __m256i place = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), place);
    return _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
}
TARGET FL_INLINE __m256i words_avx2(uint32_t bits) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)bits), bit), bit);
}

/* 8 lanes take a symbol each, those in `takes` at least; returns a bit a lane. */
TARGET FL_INLINE uint32_t step_avx2(lanes_avx2 *v, const uint32_t i, __m256i zero, __m256i takes, const int all,
                                    const int careful) {
    __m256i x = v->x[i];
    __m256i scaled = _mm256_mullo_epi32(zero, _mm256_srli_epi32(x, PROBABILITY_BITS));
    __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(PROBABILITY_ONE - 1));
    __m256i is_zero = _mm256_cmpgt_epi32(zero, low);
    __m256i next =
        _mm256_blendv_epi8(_mm256_sub_epi32(_mm256_sub_epi32(x, zero), scaled), _mm256_add_epi32(scaled, low), is_zero);
    if (!all) next = _mm256_blendv_epi8(x, next, takes);
    __m256i need = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)STATE_LOW), next);
    if (!all) need = _mm256_and_si256(need, takes);
    uint32_t mask = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(need));
    uint32_t count = (uint32_t)__builtin_popcount(mask);
    if (careful) {
        uint32_t left = (uint32_t)(v->end - v->words) / 2u;
        if (count > left) {
            mask = _pdep_u32((1u << left) - 1u, mask);
            need = words_avx2(mask);
            count = left;
        }
    }
    __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)v->words));
    __m256i from = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)fl_rank[mask]));
    words = _mm256_permutevar8x32_epi32(words, from);
    v->words += 2u * count;
    v->x[i] = _mm256_blendv_epi8(next, _mm256_or_si256(_mm256_slli_epi32(next, 16), words), need);
    return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(is_zero)) ^ 255u;
}

TARGET FL_INLINE uint32_t bits_avx2(lanes_avx2 *v, const tables_avx2 *t, const uint8_t *contexts, uint32_t valid,
                                    const uint32_t lanes, const int careful) {
    const uint32_t last = lanes / 8u - 1u;
    __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)contexts), second = _mm256_slli_epi16(c, 3);
    __m256i low = _mm256_blendv_epi8(_mm256_shuffle_epi8(t->low[0], c), _mm256_shuffle_epi8(t->low[1], c), second);
    __m256i high = _mm256_blendv_epi8(_mm256_shuffle_epi8(t->high[0], c), _mm256_shuffle_epi8(t->high[1], c), second);
    __m256i even = _mm256_unpacklo_epi8(low, high), odd = _mm256_unpackhi_epi8(low, high);
    __m256i zero[4] = {_mm256_cvtepu16_epi32(_mm256_castsi256_si128(even)),
                       _mm256_cvtepu16_epi32(_mm256_castsi256_si128(odd)),
                       _mm256_cvtepu16_epi32(_mm256_extracti128_si256(even, 1)),
                       _mm256_cvtepu16_epi32(_mm256_extracti128_si256(odd, 1))};
    uint32_t bits = 0;
    if (valid == 0xffffffffu) {
        for (uint32_t i = 0; i < 4u; i++) bits |= step_avx2(v, i & last, zero[i], zero[i], 1, careful) << (8u * i);
        return bits;
    }
    for (uint32_t i = 0; i < 4u && valid >> (8u * i); i++)
        bits |= step_avx2(v, i & last, zero[i], words_avx2(valid >> (8u * i)), 0, careful) << (8u * i);
    return bits & valid;
}

TARGET FL_INLINE void signs_avx2(lanes_avx2 *v, const tables_avx2 *t, const uint8_t *list, uint32_t n, uint32_t *found,
                                 const uint32_t lanes, const int careful) {
    const __m256i place = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    uint8_t *to = (uint8_t *)found;
    for (uint32_t done = 0;;)
        for (uint32_t i = 0; i < lanes / 8u; i++, done += 8u) {
            if (done >= n) return;
            __m128i c = _mm_loadl_epi64((const __m128i *)(const void *)(list + done));
            __m128i zero = _mm_unpacklo_epi8(_mm_shuffle_epi8(t->sign_low, c), _mm_shuffle_epi8(t->sign_high, c));
            __m256i takes = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n - done)), place);
            *to++ = (uint8_t)step_avx2(v, i, _mm256_cvtepu16_epi32(zero), takes, 0, careful);
        }
}

TARGET FL_INLINE uint32_t significant_avx2(const uint8_t *state) {
    __m256i s = _mm256_loadu_si256((const __m256i *)(const void *)state);
    return (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(s, 7));
}

TARGET FL_INLINE __m256i clipped_sum_avx2(const int8_t *a, const int8_t *b) {
    __m256i sum = _mm256_add_epi8(_mm256_loadu_si256((const __m256i *)(const void *)a),
                                  _mm256_loadu_si256((const __m256i *)(const void *)b));
    return _mm256_max_epi8(_mm256_min_epi8(sum, _mm256_set1_epi8(1)), _mm256_set1_epi8(-1));
}

TARGET FL_INLINE uint32_t list_signs_avx2(const int8_t *sign, uint32_t fresh, uint8_t *list) {
    uint64_t contexts[4];
    __m256i h = clipped_sum_avx2(sign - 1, sign + 1), v = clipped_sum_avx2(sign - STRIDE, sign + STRIDE);
    __m256i c = _mm256_add_epi8(_mm256_add_epi8(h, _mm256_add_epi8(h, h)), _mm256_add_epi8(v, _mm256_set1_epi8(4)));
    _mm256_storeu_si256((__m256i *)(void *)contexts, c);
    uint32_t n = 0;
    for (uint32_t i = 0; i < 4u; i++, fresh >>= 8) {
        uint64_t bytes = _pdep_u64(fresh & 255u, 0x0101010101010101u) * 255u;
        uint64_t packed = _pext_u64(contexts[i], bytes);
        fl_copy(list + n, &packed, 8);
        n += (uint32_t)__builtin_popcount(fresh & 255u);
    }
    return n;
}

TARGET FL_INLINE uint32_t spread_avx2(uint32_t bits, uint32_t mask) { return _pdep_u32(bits, mask); }

TARGET FL_INLINE void update_avx2(uint8_t *state, int8_t *sign, uint8_t *magnitude, uint32_t bits, uint32_t fresh,
                                  uint32_t negative, uint8_t value) {
    __m256i *s = (__m256i *)(void *)state, *m = (__m256i *)(void *)magnitude, *g = (__m256i *)(void *)sign;
    __m256i old = _mm256_loadu_si256(s), set = bytes_avx2(bits), one = _mm256_set1_epi8(1);
    __m256i twice = _mm256_slli_epi16(_mm256_and_si256(old, one), 4);
    __m256i more = _mm256_slli_epi16(_mm256_and_si256(old, _mm256_set1_epi8(16)), 3);
    old = _mm256_or_si256(_mm256_or_si256(old, _mm256_and_si256(set, one)), _mm256_or_si256(twice, more));
    _mm256_storeu_si256(s, old);
    __m256i digit = _mm256_and_si256(set, _mm256_set1_epi8((char)value));
    _mm256_storeu_si256(m, _mm256_or_si256(_mm256_loadu_si256(m), digit));
    if (fresh) {
        __m256i now = _mm256_and_si256(_mm256_or_si256(bytes_avx2(negative), one), bytes_avx2(fresh));
        _mm256_storeu_si256(g, _mm256_or_si256(_mm256_loadu_si256(g), now));
    }
}

TARGET FL_INLINE uint32_t gather_avx2(uint32_t bits, uint32_t mask) { return _pext_u32(bits, mask); }

TARGET FL_INLINE uint32_t tops_avx2(const uint8_t *bytes) {
    return (uint32_t)_mm256_movemask_epi8(_mm256_loadu_si256((const __m256i *)(const void *)bytes));
}

typedef struct {
    __m256i x[MAX_LANES / 8];
    uint8_t *words;
    tables_avx2 tables;
} writer_avx2;

TARGET FL_INLINE void begin_avx2(writer_avx2 *w, const uint32_t *state, uint8_t *end, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 8u; i++)
        w->x[i] = _mm256_loadu_si256((const __m256i *)(const void *)&state[8 * i]);
    w->words = end;
}

TARGET FL_INLINE void end_avx2(const writer_avx2 *w, uint32_t *state, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 8u; i++) _mm256_storeu_si256((__m256i *)(void *)&state[8 * i], w->x[i]);
}

TARGET FL_INLINE void use_avx2(writer_avx2 *w, const fl_encoder *e, const coded_pass *pass) {
    (void)e;
    prepare_avx2(&w->tables, pass->zero);
}

/* 8 lanes give a symbol each, those in `gives` at least. The quotient x / f is below 2^19 and comes from floats whose
 * relative errors are below 2^-23 together, so that it is off by 1 at most; the remainder tells. */
TARGET FL_INLINE void give_avx2(writer_avx2 *w, const uint32_t i, __m256i zero, __m256i ones, __m256i gives,
                                const int all) {
    __m256i x = w->x[i], start = _mm256_and_si256(zero, ones);
    __m256i f = _mm256_blendv_epi8(zero, _mm256_sub_epi32(_mm256_set1_epi32(PROBABILITY_ONE), zero), ones);
    __m256i fits = _mm256_cmpgt_epi32(f, _mm256_srli_epi32(x, 19));
    uint32_t mask = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(fits)) ^ 255u;
    if (!all) mask &= (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(gives));
    /* The words of the lanes in `mask`, at the end of a vector, lowest lane first. */
    uint32_t count = (uint32_t)__builtin_popcount(mask);
    uint64_t from = _pext_u64(0x0706050403020100u, _pdep_u64(mask, 0x0101010101010101u) * 255u);
    from <<= (64u - 8u * count) & 63u;
    __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    low = _mm256_permutevar8x32_epi32(low, _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)from)));
    low = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
    _mm_storeu_si128((__m128i *)(void *)(w->words - 16), _mm256_castsi256_si128(low));
    w->words -= 2u * count;
    __m256i y = _mm256_blendv_epi8(_mm256_srli_epi32(x, 16), x, fits);

    __m256i q = _mm256_cvttps_epi32(_mm256_div_ps(_mm256_cvtepi32_ps(y), _mm256_cvtepi32_ps(f)));
    __m256i rest = _mm256_sub_epi32(y, _mm256_mullo_epi32(q, f));
    __m256i over = _mm256_srai_epi32(rest, 31); /* too large by 1: add f, and -1 to q */
    rest = _mm256_add_epi32(rest, _mm256_and_si256(over, f));
    q = _mm256_add_epi32(q, over);
    __m256i under = _mm256_cmpgt_epi32(f, rest); /* all ones where it is right */
    rest = _mm256_sub_epi32(rest, _mm256_andnot_si256(under, f));
    q = _mm256_add_epi32(q, _mm256_add_epi32(under, _mm256_set1_epi32(1)));
    y = _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(q, PROBABILITY_BITS), rest), start);
    w->x[i] = all ? y : _mm256_blendv_epi8(x, y, gives);
}

TARGET FL_INLINE void push_avx2(writer_avx2 *w, const uint8_t *symbols, uint32_t n, const int signs,
                                const uint32_t lanes) {
    const uint32_t last = lanes / 8u - 1u;
    const tables_avx2 *t = &w->tables;
    __m256i symbol = _mm256_loadu_si256((const __m256i *)(const void *)symbols);
    __m256i c = _mm256_and_si256(symbol, _mm256_set1_epi8(31)), low, high;
    if (signs) {
        low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(t->sign_low), c);
        high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(t->sign_high), c);
    } else {
        __m256i second = _mm256_slli_epi16(c, 3);
        low = _mm256_blendv_epi8(_mm256_shuffle_epi8(t->low[0], c), _mm256_shuffle_epi8(t->low[1], c), second);
        high = _mm256_blendv_epi8(_mm256_shuffle_epi8(t->high[0], c), _mm256_shuffle_epi8(t->high[1], c), second);
    }
    __m256i even = _mm256_unpacklo_epi8(low, high), odd = _mm256_unpackhi_epi8(low, high);
    __m256i zero[4] = {_mm256_cvtepu16_epi32(_mm256_castsi256_si128(even)),
                       _mm256_cvtepu16_epi32(_mm256_castsi256_si128(odd)),
                       _mm256_cvtepu16_epi32(_mm256_extracti128_si256(even, 1)),
                       _mm256_cvtepu16_epi32(_mm256_extracti128_si256(odd, 1))};
    uint32_t ones = (uint32_t)_mm256_movemask_epi8(symbol), valid = n < GROUP ? (1u << n) - 1u : 0xffffffffu;
    for (uint32_t i = 4u; i-- > 0u;) {
        uint32_t own = valid >> (8u * i) & 255u;
        if (own == 255u)
            give_avx2(w, i & last, zero[i], words_avx2(ones >> (8u * i)), zero[i], 1);
        else if (own)
            give_avx2(w, i & last, zero[i], words_avx2(ones >> (8u * i)), words_avx2(own), 0);
    }
}

#include "planes.h"
#undef TARGET
#undef NAME
