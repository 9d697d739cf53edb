/* The encoder's part of AVX-512 (symbols.h says what each function does): a vector holds 16 lanes. */
TARGET FL_INLINE void split_avx512(const uint8_t *bytes, uint64_t *to, const uint32_t step, const uint32_t n) {
    const __m512i x = _mm512_loadu_si512(bytes);
    for (uint32_t i = 0; i < n; i++) to[i * step] = _mm512_test_epi8_mask(x, _mm512_set1_epi8((char)(1u << i)));
}

TARGET FL_INLINE uint64_t ones_avx512(const uint8_t *symbols) {
    return _mm512_test_epi8_mask(_mm512_loadu_si512(symbols), _mm512_set1_epi8(SYMBOL_ONE));
}

/* Popcounts of the columns with each context, and of the ones among them. Signs: the first slices tell of each
 * direction that it is positive, is negative, or is neither. */
typedef struct {
    __m512i all[BIT_CONTEXTS], ones[BIT_CONTEXTS], sign_all[9], sign_ones[9];
    uint32_t refined, signs;
} counter_avx512;

TARGET FL_INLINE void start_count_avx512(counter_avx512 *c) { fl_fill(c, 0, sizeof *c); }
TARGET FL_INLINE void count_one_avx512(__m512i *all, __m512i *ones, __m512i columns, fl_rows bits) {
    *all = _mm512_add_epi64(*all, _mm512_popcnt_epi64(columns));
    *ones = _mm512_add_epi64(*ones, _mm512_popcnt_epi64(_mm512_and_si512(columns, (__m512i)bits)));
}
TARGET FL_INLINE void count_half_avx512(__m512i *all, __m512i *ones, const fl_rows *slices, fl_rows columns) {
    const fl_rows part[4] = {columns & ~slices[3] & ~slices[2], columns & ~slices[3] & slices[2],
                             columns & slices[3] & ~slices[2], columns & slices[3] & slices[2]};
    for (uint32_t i = 0; i < 16u; i += 4u) {
        const fl_rows high = part[i / 4u] & slices[1], low = part[i / 4u] & ~slices[1];
        count_one_avx512(all + i, ones + i, (__m512i)(low & ~slices[0]), slices[5]);
        count_one_avx512(all + i + 1, ones + i + 1, (__m512i)(low & slices[0]), slices[5]);
        count_one_avx512(all + i + 2, ones + i + 2, (__m512i)(high & ~slices[0]), slices[5]);
        count_one_avx512(all + i + 3, ones + i + 3, (__m512i)(high & slices[0]), slices[5]);
    }
}
TARGET FL_INLINE void count_rows_avx512(counter_avx512 *c, const fl_rows *slices, fl_rows columns) {
    const __m512i refined = (__m512i)(columns & slices[4]);
    count_half_avx512(c->all, c->ones, slices, columns & ~slices[4]);
    if (_mm512_test_epi64_mask(refined, refined) == 0) return;
    count_half_avx512(c->all + 16, c->ones + 16, slices, columns & slices[4]);
    c->refined = 1;
}
TARGET FL_INLINE void count_signs_avx512(counter_avx512 *c, const fl_rows *slices, fl_rows columns) {
    const fl_rows across[3] = {~(slices[0] | slices[1]) & columns, slices[0] & columns, slices[1] & columns};
    const fl_rows down[3] = {~(slices[2] | slices[3]), slices[2], slices[3]};
    for (uint32_t i = 0; i < 9u; i++)
        count_one_avx512(&c->sign_all[i], &c->sign_ones[i], (__m512i)(across[i % 3u] & down[i / 3u]), slices[5]);
    c->signs = 1;
}
TARGET FL_INLINE void count_word_avx512(counter_avx512 *c, const uint8_t *symbols, uint64_t columns) {
    (void)c, (void)symbols, (void)columns;
}
TARGET FL_INLINE void count_list_avx512(counter_avx512 *c, const uint8_t *symbols, uint32_t n) {
    (void)c, (void)symbols, (void)n;
}
TARGET FL_INLINE void end_one_avx512(uint16_t *counts, __m512i all, __m512i ones) {
    const int64_t n = _mm512_reduce_add_epi64(all), n1 = _mm512_reduce_add_epi64(ones);
    counts[0] = (uint16_t)(n - n1);
    counts[SYMBOL_ONE] = (uint16_t)n1;
}
TARGET FL_INLINE void end_count_avx512(const counter_avx512 *c, symbol_counts *counts) {
    fl_fill(counts, 0, sizeof *counts);
    for (uint32_t i = 0; i < (c->refined ? BIT_CONTEXTS : BIT_CONTEXTS / 2u); i++)
        end_one_avx512(counts->bits + i, c->all[i], c->ones[i]);
    for (uint32_t i = 0; c->signs && i < 9u; i++)
        end_one_avx512(counts->signs + i % 3u + i / 3u * 4u, c->sign_all[i], c->sign_ones[i]);
}
TARGET FL_INLINE fl_rows rows_avx512(const uint64_t *from) { return (fl_rows)_mm512_loadu_si512(from); }
TARGET FL_INLINE int any_avx512(fl_rows rows) { return _mm512_test_epi64_mask((__m512i)rows, (__m512i)rows) != 0; }

TARGET FL_INLINE void cost_16_avx512(const int16_t (*cost)[2], uint32_t tables, const int16_t (*count)[2],
                                     int32_t *sums) {
    __m512i sum[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (uint32_t i = 0; i < 16u; i++, cost += tables) {
        int32_t both;
        fl_copy(&both, count[i], sizeof both);
        const __m512i costs = _mm512_loadu_si512(cost);
        sum[i & 1u] = _mm512_add_epi32(sum[i & 1u], _mm512_madd_epi16(costs, _mm512_set1_epi32(both)));
    }
    _mm512_storeu_si512(sums, _mm512_add_epi32(sum[0], sum[1]));
}

/* With 32 lanes or more a vector holds 16, and quotients come from floats; with fewer, where each waits for the one
 * before, it holds 8 of 64 bits, and they come from the product of 52 bits. */
typedef struct {
    __m512i x[4];
    uint8_t *words;
    __m512i bits, signs;                         /* P(0) by context, 16 bits each */
    __m512 bit_quotient[2][2], sign_quotient[2]; /* 1 / P(0), 1 / P(1), by context */
    __m512i bit_factor[2][4], sign_factor[2][2]; /* just above 2^51 / P */
} writer_avx512;

TARGET FL_INLINE void begin_avx512(writer_avx512 *v, const uint32_t *state, uint8_t *words, const uint32_t lanes) {
    for (uint32_t i = 0; i < (lanes < 32u ? lanes / 8u : lanes / 16u); i++)
        v->x[i] = lanes < 32u ? _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(const void *)&state[8 * i]))
                              : _mm512_loadu_si512(&state[16 * i]);
    v->words = words;
}

TARGET FL_INLINE void end_avx512(const writer_avx512 *v, uint32_t *state, const uint32_t lanes) {
    for (uint32_t i = 0; i < (lanes < 32u ? lanes / 8u : lanes / 16u); i++)
        if (lanes < 32u)
            _mm256_storeu_si256((__m256i *)(void *)&state[8 * i], _mm512_cvtepi64_epi32(v->x[i]));
        else
            _mm512_storeu_si512(&state[16 * i], v->x[i]);
}

TARGET FL_INLINE __m512i factor_avx512(__m256i frequency) {
    const __m512d quotient = _mm512_div_pd(_mm512_set1_pd(2251799813685248.0), _mm512_cvtepi32_pd(frequency));
    return _mm512_add_epi64(_mm512_cvttpd_epi64(quotient), _mm512_set1_epi64(1));
}

TARGET FL_INLINE void use_avx512(writer_avx512 *v, const fl_encoder *e, const pass_choice *choice,
                                 const uint32_t lanes) {
    const __m512 least = _mm512_castsi512_ps(_mm512_set1_epi32(0x3f7ffff0)); /* as in give_avx2 */
    const __m512i all = _mm512_set1_epi32(PROBABILITY_ONE);
    const __m256i order = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)fl_sign_context));
    (void)e;
    v->bits = _mm512_loadu_si512(choice->zero);
    __m256i signs = _mm256_loadu_si256((const __m256i *)(const void *)(choice->zero + BIT_CONTEXTS));
    signs = _mm256_permutexvar_epi16(order, signs);
    v->signs = _mm512_zextsi256_si512(signs);
    const __m256i parts[3] = {_mm512_castsi512_si256(v->bits), _mm512_extracti64x4_epi64(v->bits, 1), signs};
    for (uint32_t i = 0; i < 3u; i++) {
        const __m512i zero = _mm512_cvtepu16_epi32(parts[i]);
        for (uint32_t bit = 0; bit < 2u; bit++) {
            const __m512i f = bit ? _mm512_sub_epi32(all, zero) : zero;
            if (lanes < 32u) {
                __m512i *to = i < 2u ? &v->bit_factor[bit][2u * i] : v->sign_factor[bit];
                to[0] = factor_avx512(_mm512_castsi512_si256(f));
                to[1] = factor_avx512(_mm512_extracti64x4_epi64(f, 1));
            } else {
                *(i < 2u ? &v->bit_quotient[bit][i] : &v->sign_quotient[bit]) =
                    _mm512_div_ps(least, _mm512_cvtepi32_ps(f));
            }
        }
    }
}

/* 16 lanes give a symbol each, those in `gives`; the quotient as in give_avx2. */
TARGET FL_INLINE void give_avx512(writer_avx512 *v, const uint32_t i, __m512i zero, __m512 reciprocal, __mmask16 ones,
                                  __mmask16 gives) {
    const __m512i x = v->x[i], rest_of = _mm512_sub_epi32(_mm512_set1_epi32(PROBABILITY_ONE), zero);
    const __m512i f = _mm512_mask_mov_epi32(zero, ones, rest_of), others = _mm512_mask_mov_epi32(rest_of, ones, zero);
    const __mmask16 full = _mm512_mask_cmpge_epu32_mask(gives, _mm512_srli_epi32(x, 19), f);
    const uint32_t count = (uint32_t)__builtin_popcount(full);
    const __m256i words = _mm256_maskz_compress_epi16(full, _mm512_cvtepi32_epi16(x));
    v->words -= 2u * count;
    _mm256_mask_storeu_epi16(v->words, (__mmask16)_bzhi_u32(0xffff, count), words);
    const __m512i y = _mm512_mask_srli_epi32(x, full, x, 16);

    const __m512i q = _mm512_cvttps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(y), reciprocal));
    /* The rest is below 2^13: 16 bits of the product do. */
    const __m512i low = _mm512_sub_epi16(y, _mm512_mullo_epi16(q, f));
    const __m512i rest = _mm512_and_si512(low, _mm512_set1_epi32(0xffff));
    const __mmask16 more = _mm512_cmpge_epu32_mask(rest, f);
    __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(q, PROBABILITY_BITS), rest);
    sum = _mm512_mask_add_epi32(sum, ones, sum, zero);
    sum = _mm512_mask_add_epi32(sum, more, sum, others);
    v->x[i] = _mm512_mask_mov_epi32(x, gives, sum);
}

/* 8 lanes give a symbol each. `factor` f = 2^51 + e with e <= f <= 2^12, so that for x < 2^31 the product, x / f and
 * less than 2^-8 / f more in units of 2^51, has the quotient as its whole part. */
TARGET FL_INLINE void give_8_avx512(writer_avx512 *v, const uint32_t i, __m512i zero, __m512i factor, __mmask8 ones,
                                    __mmask8 gives) {
    const __m512i x = v->x[i], rest_of = _mm512_sub_epi64(_mm512_set1_epi64(PROBABILITY_ONE), zero);
    const __m512i f = _mm512_mask_mov_epi64(zero, ones, rest_of), others = _mm512_mask_mov_epi64(rest_of, ones, zero);
    const __mmask8 full = _mm512_mask_cmpge_epu64_mask(gives, _mm512_srli_epi64(x, 19), f);
    const uint32_t count = (uint32_t)__builtin_popcount(full);
    const __m128i words = _mm_maskz_compress_epi16(full, _mm512_cvtepi64_epi16(x));
    v->words -= 2u * count;
    _mm_mask_storeu_epi16(v->words, (__mmask8)_bzhi_u32(0xff, count), words);
    const __m512i y = _mm512_mask_srli_epi64(x, full, x, 16), start = _mm512_mask_add_epi64(y, ones, y, zero);
    const __m512i q = _mm512_madd52hi_epu64(_mm512_setzero_si512(), _mm512_add_epi64(y, y), factor);
    v->x[i] = _mm512_mask_mov_epi64(x, gives, _mm512_madd52lo_epu64(start, q, others));
}

TARGET FL_INLINE void push_8_avx512(writer_avx512 *v, const uint8_t *symbols, uint64_t columns, const int signs,
                                    const uint32_t lanes) {
    const uint32_t last = lanes / 8u - 1u;
    for (uint32_t i = 8u; i-- > 0u;) {
        const __mmask8 gives = (__mmask8)(columns >> (8u * i));
        if (gives == 0) continue;
        const __m512i c = _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(const void *)(symbols + 8u * i)));
        const __m512i zero = _mm512_maskz_permutexvar_epi16(0x11111111, c, signs ? v->signs : v->bits);
        const __mmask8 ones = _mm512_test_epi64_mask(c, _mm512_set1_epi64(SYMBOL_ONE));
        const __mmask8 second = _mm512_test_epi64_mask(c, _mm512_set1_epi64(16));
        __m512i factor[2];
        for (uint32_t bit = 0; bit < 2u; bit++) {
            const __m512i *from = signs ? v->sign_factor[bit] : v->bit_factor[bit];
            factor[bit] = _mm512_permutex2var_epi64(from[0], c, from[1]);
            if (!signs)
                factor[bit] =
                    _mm512_mask_mov_epi64(factor[bit], second, _mm512_permutex2var_epi64(from[2], c, from[3]));
        }
        give_8_avx512(v, i & last, zero, _mm512_mask_mov_epi64(factor[0], ones, factor[1]), ones, gives);
    }
}

TARGET FL_INLINE void push_avx512(writer_avx512 *v, const uint8_t *symbols, uint64_t columns, const int signs,
                                  const uint32_t lanes) {
    const uint32_t last = lanes / 16u - 1u;
    if (lanes < 32u) {
        push_8_avx512(v, symbols, columns, signs, lanes);
        return;
    }
    const __m512i all = _mm512_loadu_si512(symbols);
    const uint64_t ones = _mm512_test_epi8_mask(all, _mm512_set1_epi8(SYMBOL_ONE));
    for (uint32_t i = 4u; i-- > 0u;) {
        const __mmask16 gives = (__mmask16)(columns >> (16u * i)), one = (__mmask16)(ones >> (16u * i));
        if (gives == 0) continue;
        const __m512i c = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(symbols + 16u * i)));
        const __m512i zero = _mm512_maskz_permutexvar_epi16(0x55555555, c, signs ? v->signs : v->bits);
        __m512 reciprocal;
        if (signs) {
            reciprocal = _mm512_permutexvar_ps(c, v->sign_quotient[0]);
            reciprocal = _mm512_mask_permutexvar_ps(reciprocal, one, c, v->sign_quotient[1]);
        } else {
            __m512 r = _mm512_permutex2var_ps(v->bit_quotient[0][0], c, v->bit_quotient[0][1]);
            reciprocal = _mm512_permutex2var_ps(v->bit_quotient[1][0], c, v->bit_quotient[1][1]);
            reciprocal = _mm512_mask_mov_ps(r, one, reciprocal);
        }
        give_avx512(v, i & last, zero, reciprocal, one, gives);
    }
}
