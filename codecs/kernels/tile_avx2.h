/* x86 with AVX2 and BMI2 (planes.h says what each function does): a vector holds 8 lanes. */
#include <immintrin.h>

#include "decode.h"

#define TARGET __attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt")))
#define NAME(name) name##_avx2

typedef struct {
    __m256i x[MAX_LANES / 8];
    const uint8_t *words, *end;
} lanes_avx2;

/* Low and high bytes of P(0), for byte shuffles: contexts 0 .. 15, 16 .. 31, signs. */
typedef struct {
    __m256i low[3], high[3];
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
    const __m128i place = _mm_loadu_si128((const __m128i *)(const void *)fl_sign_context);
    for (uint32_t i = 0; i < 3u; i++) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(zero + 16u * i));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(zero + 16u * i + 8u));
        __m128i byte = _mm_set1_epi16(255);
        __m128i low = _mm_packus_epi16(_mm_and_si128(a, byte), _mm_and_si128(b, byte));
        __m128i high = _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8));
        tables->low[i] = _mm256_broadcastsi128_si256(i < 2u ? low : _mm_shuffle_epi8(low, place));
        tables->high[i] = _mm256_broadcastsi128_si256(i < 2u ? high : _mm_shuffle_epi8(high, place));
    }
}

/* All ones where the bit of a byte's, or a word's, place is set. */
TARGET FL_INLINE __m256i mask_bytes_avx2(uint32_t bits) {
    const __m256i place = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), place);
    return _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
}
TARGET FL_INLINE __m256i mask_words_avx2(uint32_t bits) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)bits), bit), bit);
}

/* 8 lanes take a symbol each, all or those in `takes`; returns a bit a lane, for all. */
TARGET FL_INLINE uint32_t step_avx2(lanes_avx2 *v, const uint32_t i, __m256i zero, __m256i takes, const int all) {
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
    __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)v->words));
    __m256i from = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)fl_rank[mask]));
    words = _mm256_permutevar8x32_epi32(words, from);
    v->words += 2u * (uint32_t)__builtin_popcount(mask);
    v->x[i] = _mm256_blendv_epi8(next, _mm256_or_si256(_mm256_slli_epi32(next, 16), words), need);
    return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(is_zero)) ^ 255u;
}

/* 32 columns of up to 8 bits as bytes. */
TARGET FL_INLINE __m256i columns_avx2(const uint64_t *bits, const uint32_t half, const uint32_t step,
                                      const uint32_t n) {
    __m256i all = _mm256_setzero_si256();
    for (uint32_t i = 0; i < n; i++) {
        __m256i set = mask_bytes_avx2((uint32_t)(bits[i * step] >> (32u * half)));
        all = _mm256_or_si256(all, _mm256_and_si256(set, _mm256_set1_epi8((char)(1 << i))));
    }
    return all;
}

TARGET FL_INLINE void bytes_avx2(uint8_t *to, const uint64_t *bits, const uint32_t step, const uint32_t n) {
    for (uint32_t half = 0; half < 2u; half++)
        _mm256_storeu_si256((__m256i *)(void *)(to + 32u * half), columns_avx2(bits, half, step, n));
}

TARGET FL_INLINE fl_wide left_avx2(fl_wide row, const uint32_t by, const uint32_t words) {
    return words == 1u ? row << by : row << by | (fl_wide)_mm_bslli_si128((__m128i)row, 8) >> (WORD - by);
}
TARGET FL_INLINE fl_wide right_avx2(fl_wide row, const uint32_t by, const uint32_t words) {
    return words == 1u ? row >> by : row >> by | (fl_wide)_mm_bsrli_si128((__m128i)row, 8) << (WORD - by);
}

typedef struct {
    uint64_t bit[5][WORDS];
} contexts_avx2;

TARGET FL_INLINE contexts_avx2 take_contexts_avx2(const fl_wide *bits, const uint32_t words) {
    contexts_avx2 contexts;
    (void)words;
    for (uint32_t i = 0; i < 5u; i++) fl_store_wide(contexts.bit[i], bits[i]);
    return contexts;
}

/* P(0) of 32 symbols, 8 a vector, from its low and high bytes. */
typedef struct {
    __m256i zero[4];
} zeros_avx2;
TARGET FL_INLINE zeros_avx2 widen_avx2(__m256i low, __m256i high) {
    __m256i even = _mm256_unpacklo_epi8(low, high), odd = _mm256_unpackhi_epi8(low, high);
    return (zeros_avx2){{_mm256_cvtepu16_epi32(_mm256_castsi256_si128(even)),
                         _mm256_cvtepu16_epi32(_mm256_castsi256_si128(odd)),
                         _mm256_cvtepu16_epi32(_mm256_extracti128_si256(even, 1)),
                         _mm256_cvtepu16_epi32(_mm256_extracti128_si256(odd, 1))}};
}

TARGET FL_INLINE uint64_t read_bits_avx2(lanes_avx2 *v, const tables_avx2 *t, const contexts_avx2 *contexts,
                                         const uint32_t w, uint64_t columns, const uint32_t lanes) {
    const uint32_t last = lanes / 8u - 1u;
    uint64_t bits = 0;
    for (uint32_t half = 0; half < 2u; half++) {
        const uint32_t own = (uint32_t)(columns >> (32u * half));
        if (own == 0) continue;
        __m256i c = columns_avx2(&contexts->bit[0][w], half, WORDS, 4);
        __m256i second = mask_bytes_avx2((uint32_t)(contexts->bit[4][w] >> (32u * half)));
        __m256i low = _mm256_blendv_epi8(_mm256_shuffle_epi8(t->low[0], c), _mm256_shuffle_epi8(t->low[1], c), second);
        __m256i high =
            _mm256_blendv_epi8(_mm256_shuffle_epi8(t->high[0], c), _mm256_shuffle_epi8(t->high[1], c), second);
        const zeros_avx2 z = widen_avx2(low, high);
        uint32_t found = 0;
        for (uint32_t i = 0; i < 4u; i++) {
            const uint32_t takes = own >> (8u * i) & 255u, lane = (4u * half + i) & last;
            if (own == 0xffffffffu)
                found |= step_avx2(v, lane, z.zero[i], z.zero[i], 1) << (8u * i);
            else if (takes)
                found |= step_avx2(v, lane, z.zero[i], mask_words_avx2(takes), 0) << (8u * i);
        }
        bits |= (uint64_t)(found & own) << (32u * half);
    }
    return bits;
}

TARGET FL_INLINE uint64_t read_signs_avx2(lanes_avx2 *v, const tables_avx2 *t, const uint64_t *contexts,
                                          uint64_t columns, uint32_t *usual, const uint32_t lanes) {
    const uint32_t last = lanes / 8u - 1u;
    uint64_t bits = 0;
    for (uint32_t half = 0; half < 2u; half++) {
        const uint32_t own = (uint32_t)(columns >> (32u * half));
        if ((lanes <= FEW_LANES || 32u * half >= *usual) && own == 0) break;
        __m256i c = columns_avx2(contexts, half, 1, 4);
        const zeros_avx2 z = widen_avx2(_mm256_shuffle_epi8(t->low[2], c), _mm256_shuffle_epi8(t->high[2], c));
        for (uint32_t i = 4u * half; i < 4u * half + 4u; i++) {
            const uint32_t takes = (uint32_t)(columns >> (8u * i)) & 255u;
            if (lanes <= FEW_LANES || 8u * i >= *usual) {
                if (takes == 0) break;
                *usual = 8u * (i + 1u);
            }
            bits |= (uint64_t)step_avx2(v, i & last, z.zero[i & 3u], mask_words_avx2(takes), 0) << (8u * i);
        }
    }
    return bits & columns;
}

TARGET FL_INLINE uint64_t spread_avx2(uint64_t bits, uint64_t mask) { return _pdep_u64(bits, mask); }
TARGET FL_INLINE uint64_t gather_avx2(uint64_t bits, uint64_t mask) { return _pext_u64(bits, mask); }

#include "push_avx2.h"

#include "planes.h"
#undef TARGET
#undef NAME
