/* x86 with AVX-512 up to VBMI2 and GFNI (planes.h says what each function does): a vector holds 16 lanes. */
#define TARGET                                                                                                         \
    __attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,"       \
                          "avx512vbmi2,avx512vpopcntdq,gfni")))
#define NAME(name) name##_avx512

typedef struct {
    __m512i x[4];
    const uint8_t *words, *end;
} lanes_avx512;

typedef struct {
    __m512i bits, signs;            /* P(0) by context in 16 bits, for permutations */
    __m512i low_mask, lowest_state; /* PROBABILITY_ONE - 1, STATE_LOW */
    __m512i place;                  /* 0, 0, 0, 0, 1, 1, 1, 1, ... */
} tables_avx512;

/* Stays in a register. Compilers like to make constants anew at each use. */
TARGET FL_INLINE __m512i kept_avx512(__m512i constant) {
    __asm__("" : "+v"(constant));
    return constant;
}

TARGET FL_INLINE void load_avx512(lanes_avx512 *v, const fl_rans_reader *r, const uint32_t lanes) {
    for (uint32_t i = 0; i < (lanes + 15u) / 16u; i++) v->x[i] = _mm512_loadu_si512(&r->state[16 * i]);
    v->words = r->words;
    v->end = r->end;
}

TARGET FL_INLINE void store_avx512(const lanes_avx512 *v, fl_rans_reader *r, const uint32_t lanes) {
    for (uint32_t i = 0; i < (lanes + 15u) / 16u; i++) _mm512_storeu_si512(&r->state[16 * i], v->x[i]);
    r->words = v->words;
    r->end = v->end;
}

TARGET FL_INLINE void prepare_avx512(tables_avx512 *tables, const uint16_t *zero) {
    __m128i place = _mm_loadu_si128((const __m128i *)(const void *)fl_sign_context);
    __m256i signs = _mm256_loadu_si256((const __m256i *)(const void *)(zero + BIT_CONTEXTS));
    tables->bits = _mm512_loadu_si512(zero);
    tables->signs = _mm512_castsi256_si512(_mm256_permutexvar_epi16(_mm256_cvtepu8_epi16(place), signs));
    tables->low_mask = kept_avx512(_mm512_set1_epi32(PROBABILITY_ONE - 1));
    tables->lowest_state = kept_avx512(_mm512_set1_epi32((int)STATE_LOW));
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    tables->place = kept_avx512(_mm512_mullo_epi32(lane, _mm512_set1_epi32(0x01010101)));
}

/* 16 lanes take a symbol each, those in `takes`; returns a bit a lane. `zero` has P(0) in both halves of each lane.
 * Where few lanes wait for each other (`hurried`), two multiplications of 16 bits take 5 cycles instead of 10:
 * floor(x / 4096) has 19 bits, and its high part times P(0) fits into 16. */
TARGET FL_INLINE uint32_t step_avx512(lanes_avx512 *v, const tables_avx512 *t, const uint32_t i, __m512i zeros,
                                      __mmask16 takes, const int hurried) {
    __m512i x = v->x[i], high = _mm512_srli_epi32(x, PROBABILITY_BITS), low = _mm512_and_si512(x, t->low_mask);
    __m512i zero = _mm512_and_si512(zeros, t->low_mask), one = _mm512_sub_epi32(x, zero), part;
    if (hurried) {
        __m512i product = _mm512_mullo_epi16(high, zeros);
        part = _mm512_mulhi_epu16(_mm512_slli_epi32(x, 16 - PROBABILITY_BITS), _mm512_xor_si512(zeros, zero));
        high = _mm512_add_epi32(product, low);
        one = _mm512_sub_epi32(one, product);
    } else {
        part = _mm512_mullo_epi32(high, zero);
        high = low;
    }
    __mmask16 ones = _mm512_mask_cmpge_epu32_mask(takes, low, zero);
    __m512i next = _mm512_mask_sub_epi32(_mm512_mask_add_epi32(x, takes, high, part), ones, one, part);
    __mmask16 need = _mm512_mask_cmplt_epu32_mask(takes, next, t->lowest_state);
    __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)v->words));
    v->words += 2 * (size_t)_mm_popcnt_u32(_cvtmask16_u32(need));
    v->x[i] = _mm512_or_si512(_mm512_mask_slli_epi32(next, need, next, 16), _mm512_maskz_expand_epi32(need, words));
    return ones;
}

/* The same for 8 lanes. */
TARGET FL_INLINE uint32_t eight_avx512(lanes_avx512 *v, const tables_avx512 *t, __m512i all_zeros, __mmask8 takes) {
    const __m256i low_mask = _mm512_castsi512_si256(t->low_mask), zeros = _mm512_castsi512_si256(all_zeros);
    __m256i x = _mm512_castsi512_si256(v->x[0]);
    __m256i high = _mm256_srli_epi32(x, PROBABILITY_BITS), low = _mm256_and_si256(x, low_mask);
    __m256i zero = _mm256_and_si256(zeros, low_mask);
    __m256i product = _mm256_mullo_epi16(high, zeros);
    __m256i part = _mm256_mulhi_epu16(_mm256_slli_epi32(x, 16 - PROBABILITY_BITS), _mm256_xor_si256(zeros, zero));
    __m256i one = _mm256_sub_epi32(_mm256_sub_epi32(x, zero), product);
    __mmask8 ones = _mm256_mask_cmpge_epu32_mask(takes, low, zero);
    __m256i next = _mm256_mask_add_epi32(x, takes, _mm256_add_epi32(product, low), part);
    next = _mm256_mask_sub_epi32(next, ones, one, part);
    __mmask8 need = _mm256_mask_cmplt_epu32_mask(takes, next, _mm512_castsi512_si256(t->lowest_state));
    __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)v->words));
    v->words += 2 * (size_t)_mm_popcnt_u32(_cvtmask8_u32(need));
    next = _mm256_or_si256(_mm256_mask_slli_epi32(next, need, next, 16), _mm256_maskz_expand_epi32(need, words));
    v->x[0] = _mm512_castsi256_si512(next);
    return ones;
}

TARGET FL_INLINE __m512i columns_avx512(const uint64_t *bits, const uint32_t step, const uint32_t n) {
    __m512i all = _mm512_maskz_set1_epi8(bits[0], 1);
    for (uint32_t i = 1; i < n; i++)
        all = _mm512_mask_add_epi8(all, bits[i * step], all, kept_avx512(_mm512_set1_epi8((char)(1 << i))));
    return all;
}

TARGET FL_INLINE void bytes_avx512(uint8_t *to, const uint64_t *bits, const uint32_t step, const uint32_t n) {
    _mm512_storeu_si512(to, columns_avx512(bits, step, n));
}

TARGET FL_INLINE fl_wide left_avx512(fl_wide row, const uint32_t by, const uint32_t words) {
    if (words == 1u) return row << by;
    const __m128i x = (__m128i)row, carry = _mm_bslli_si128(x, 8);
    return (fl_wide)(by == 1u ? _mm_shldi_epi64(x, carry, 1) : _mm_shldi_epi64(x, carry, 2));
}
TARGET FL_INLINE fl_wide right_avx512(fl_wide row, const uint32_t by, const uint32_t words) {
    if (words == 1u) return row >> by;
    const __m128i x = (__m128i)row, carry = _mm_bsrli_si128(x, 8);
    return (fl_wide)(by == 1u ? _mm_shrdi_epi64(x, carry, 1) : _mm_shrdi_epi64(x, carry, 2));
}

#define OWN_MAJORITY
TARGET FL_INLINE fl_wide majority_avx512(fl_wide a, fl_wide b, fl_wide c) {
    return (fl_wide)_mm_ternarylogic_epi64((__m128i)a, (__m128i)b, (__m128i)c, 0xe8);
}

/* A byte a column; the upper 3 bits are anything. */
typedef struct {
    __m512i word[WORDS];
} contexts_avx512;

/* Byte 7 - i of each 8 gets 8 columns' bit i, then the matrix of bits is transposed. */
TARGET FL_INLINE __m512i transpose_avx512(__m128i bits01, __m128i bits23, __m128i bits4) {
    const __m512i order =
        _mm512_set_epi64(0x070f171f27000000, 0x060e161e26000000, 0x050d151d25000000, 0x040c141c24000000,
                         0x030b131b23000000, 0x020a121a22000000, 0x0109111921000000, 0x0008101820000000);
    __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(bits01), bits23, 1);
    __m512i all = _mm512_inserti64x4(_mm512_castsi256_si512(low), _mm256_castsi128_si256(bits4), 1);
    all = _mm512_permutexvar_epi8(kept_avx512(order), all);
    return _mm512_gf2p8affine_epi64_epi8(_mm512_set1_epi64((long long)0x8040201008040201), all, 0);
}

TARGET FL_INLINE contexts_avx512 take_contexts_avx512(const fl_wide *bits, const uint32_t words) {
    __m128i b[5];
    for (uint32_t i = 0; i < 5u; i++) b[i] = (__m128i)bits[i];
    contexts_avx512 contexts;
    contexts.word[0] = transpose_avx512(_mm_unpacklo_epi64(b[0], b[1]), _mm_unpacklo_epi64(b[2], b[3]), b[4]);
    contexts.word[1] = contexts.word[0];
    if (words > 1u)
        contexts.word[1] = transpose_avx512(_mm_unpackhi_epi64(b[0], b[1]), _mm_unpackhi_epi64(b[2], b[3]),
                                            _mm_unpackhi_epi64(b[4], b[4]));
    return contexts;
}

/* P(0) of 16 columns from `first` on. Permutations look at the lowest bits of an index only, so that it does not
 * matter what is above them. */
TARGET FL_INLINE __m512i zeros_avx512(const tables_avx512 *t, __m512i table, __m512i contexts, const uint32_t first) {
    __m512i place = _mm512_add_epi8(t->place, _mm512_set1_epi8((char)first));
    return _mm512_permutexvar_epi16(_mm512_permutexvar_epi8(place, contexts), table);
}

TARGET FL_INLINE uint64_t read_bits_avx512(lanes_avx512 *v, const tables_avx512 *t, const contexts_avx512 *contexts,
                                           const uint32_t w, uint64_t columns, const uint32_t lanes) {
    const __m512i all = contexts->word[w];
    const uint32_t each = fl_min(lanes, 16), last = lanes / each - 1u;
    uint64_t bits = 0;
    if (lanes > 8u && columns == ~(uint64_t)0) {
        uint32_t found[4];
        for (uint32_t i = 0; i < 4u; i++)
            found[i] = step_avx512(v, t, i & last, zeros_avx512(t, t->bits, all, 16u * i), 0xffff, lanes <= 32u);
        __mmask32 low = _mm512_kunpackw((__mmask32)found[1], (__mmask32)found[0]);
        return _mm512_kunpackd(_mm512_kunpackw((__mmask32)found[3], (__mmask32)found[2]), low);
    }
    for (uint32_t i = 0; i < WORD / each; i++) {
        const __mmask16 takes = (__mmask16)(columns >> (each * i) & ((1u << each) - 1u));
        if (takes == 0) continue;
        const __m512i zeros = zeros_avx512(t, t->bits, all, each * i);
        uint32_t found = lanes == 8u ? eight_avx512(v, t, zeros, (__mmask8)takes)
                                     : step_avx512(v, t, i & last, zeros, takes, lanes <= 32u);
        bits |= (uint64_t)found << (each * i);
    }
    return bits;
}

TARGET FL_INLINE uint64_t read_signs_avx512(lanes_avx512 *v, const tables_avx512 *t, const uint64_t *contexts,
                                            uint64_t columns, uint32_t *usual, const uint32_t lanes) {
    const __m512i all = columns_avx512(contexts, 1, 4);
    const uint32_t each = fl_min(lanes, 16), last = lanes / each - 1u;
    uint64_t bits = 0;
    for (uint32_t i = 0; i < WORD / each; i++) {
        const __mmask16 takes = (__mmask16)(columns >> (each * i) & ((1u << each) - 1u));
        if (lanes <= FEW_LANES || each * i >= *usual) {
            if (takes == 0) break;
            *usual = each * (i + 1u);
        }
        const __m512i zeros = zeros_avx512(t, t->signs, all, each * i);
        uint32_t found = lanes == 8u ? eight_avx512(v, t, zeros, (__mmask8)takes)
                                     : step_avx512(v, t, i & last, zeros, takes, lanes <= 32u);
        bits |= (uint64_t)found << (each * i);
    }
    return bits;
}

TARGET FL_INLINE uint64_t spread_avx512(uint64_t bits, uint64_t mask) { return _pdep_u64(bits, mask); }
TARGET FL_INLINE uint64_t gather_avx512(uint64_t bits, uint64_t mask) { return _pext_u64(bits, mask); }

#define OWN_POINTS_16
TARGET FL_INLINE void points_16_avx512(const uint8_t (*units)[WORD], const uint8_t *minus, fl_points points, uint32_t n,
                                       int16_t *restrict to, const uint32_t slices) {
    const __m512i none = _mm512_setzero_si512(), one = _mm512_set1_epi16(1);
    const __m512i first = _mm512_set1_epi16((short)points.first), rest = _mm512_set1_epi16((short)points.rest);
    for (uint32_t x = 0; x < n; x += 32u) {
        __m512i unit = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(units[0] + x)));
        __m512i high = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(units[1] + x)));
        __m256i signs = _mm256_loadu_si256((const __m256i *)(const void *)(minus + x));
        if (slices > 1) unit = _mm512_or_si512(unit, _mm512_slli_epi16(high, 8));
        __m512i value = _mm512_sll_epi16(unit, _mm_cvtsi32_si128((int)points.low));
        value = _mm512_mask_add_epi16(value, _mm512_cmpeq_epi16_mask(unit, one), value, first);
        value = _mm512_mask_add_epi16(value, _mm512_cmpgt_epu16_mask(unit, one), value, rest);
        value = _mm512_mask_sub_epi16(value, _mm256_test_epi8_mask(signs, signs), none, value);
        _mm512_mask_storeu_epi16(to + x, _bzhi_u32(0xffffffffu, n - x), value);
    }
}

#include "push_avx512.h"

#include "planes.h"
#undef TARGET
#undef NAME
#undef OWN_POINTS_16
#undef OWN_MAJORITY
