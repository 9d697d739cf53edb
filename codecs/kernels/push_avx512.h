/* The encoder's part of AVX-512 (symbols.h says what each function does): a vector holds 16 lanes. */
TARGET FL_INLINE void split_avx512(const uint8_t *bytes, uint64_t *to, const uint32_t step, const uint32_t n) {
    const __m512i x = _mm512_loadu_si512(bytes);
    for (uint32_t i = 0; i < n; i++) to[i * step] = _mm512_test_epi8_mask(x, _mm512_set1_epi8((char)(1u << i)));
}

TARGET FL_INLINE uint64_t ones_avx512(const uint8_t *symbols) {
    return _mm512_test_epi8_mask(_mm512_loadu_si512(symbols), _mm512_set1_epi8(SYMBOL_ONE));
}

/* All rows of a pass are kept, since there are more counts than registers: then they are counted, eight contexts at a
 * time, by the popcounts of the columns that have each. Signs: the first slices tell of each direction that it is
 * positive, is negative, or is neither. */
enum { MOST_AT_ONCE = FL_MAX_TILE * WORDS / WORDS_AT_ONCE };
typedef struct {
    fl_rows slices[6], columns;
} counted_avx512;
typedef struct {
    counted_avx512 rows[MOST_AT_ONCE], signs[MOST_AT_ONCE];
    uint32_t row_count, sign_count, refined;
} counter_avx512;

TARGET FL_INLINE void start_count_avx512(counter_avx512 *c) { c->row_count = c->sign_count = c->refined = 0; }
TARGET FL_INLINE void count_rows_avx512(counter_avx512 *c, const fl_rows *slices, fl_rows columns) {
    counted_avx512 *own = &c->rows[c->row_count++];
    for (uint32_t i = 0; i < 6u; i++) own->slices[i] = slices[i];
    own->columns = columns;
    c->refined |= _mm512_test_epi64_mask((__m512i)columns, (__m512i)slices[4]);
}
TARGET FL_INLINE void count_signs_avx512(counter_avx512 *c, const fl_rows *slices, fl_rows columns) {
    counted_avx512 *own = &c->signs[c->sign_count++];
    for (uint32_t i = 0; i < 6u; i++) own->slices[i] = slices[i];
    own->columns = columns;
}
TARGET FL_INLINE void count_word_avx512(counter_avx512 *c, const uint8_t *symbols, uint64_t columns) {
    (void)c, (void)symbols, (void)columns;
}
TARGET FL_INLINE void count_list_avx512(counter_avx512 *c, const uint8_t *symbols, uint32_t n) {
    (void)c, (void)symbols, (void)n;
}
/* The sums of eight vectors. */
TARGET FL_INLINE __m128i sums_avx512(const __m512i *of) {
    __m512i two[4], four[2];
    for (uint32_t i = 0; i < 4u; i++)
        two[i] = _mm512_add_epi64(_mm512_unpacklo_epi64(of[2u * i], of[2u * i + 1u]),
                                  _mm512_unpackhi_epi64(of[2u * i], of[2u * i + 1u]));
    for (uint32_t i = 0; i < 2u; i++)
        four[i] = _mm512_add_epi64(_mm512_shuffle_i64x2(two[2u * i], two[2u * i + 1u], 0x88),
                                   _mm512_shuffle_i64x2(two[2u * i], two[2u * i + 1u], 0xdd));
    return _mm512_cvtepi64_epi16(
        _mm512_add_epi64(_mm512_shuffle_i64x2(four[0], four[1], 0x88), _mm512_shuffle_i64x2(four[0], four[1], 0xdd)));
}

TARGET FL_INLINE void count_one_avx512(__m512i *all, __m512i *ones, fl_rows columns, fl_rows bits) {
    *all = _mm512_add_epi64(*all, _mm512_popcnt_epi64((__m512i)columns));
    *ones = _mm512_add_epi64(*ones, _mm512_popcnt_epi64((__m512i)(columns & bits)));
}

TARGET FL_INLINE void put_counts_avx512(uint16_t *counts, const __m512i *all, const __m512i *ones) {
    const __m128i one = sums_avx512(ones);
    _mm_storeu_si128((__m128i *)(void *)counts, _mm_sub_epi16(sums_avx512(all), one));
    _mm_storeu_si128((__m128i *)(void *)(counts + SYMBOL_ONE), one);
}

/* Contexts from 8 `group` on. */
TARGET FL_INLINE void count_group_avx512(const counter_avx512 *c, const uint32_t group, uint16_t *counts) {
    __m512i all[8], ones[8];
    for (uint32_t i = 0; i < 8u; i++) all[i] = ones[i] = _mm512_setzero_si512();
    for (const counted_avx512 *at = c->rows; at < c->rows + c->row_count; at++) {
        const fl_rows *s = at->slices;
        const fl_rows own = at->columns & (group & 2u ? s[4] : ~s[4]) & (group & 1u ? s[3] : ~s[3]);
        const fl_rows part[4] = {own & ~s[2] & ~s[1], own & ~s[2] & s[1], own & s[2] & ~s[1], own & s[2] & s[1]};
        for (uint32_t i = 0; i < 4u; i++) {
            count_one_avx512(&all[2u * i], &ones[2u * i], part[i] & ~s[0], s[5]);
            count_one_avx512(&all[2u * i + 1u], &ones[2u * i + 1u], part[i] & s[0], s[5]);
        }
    }
    put_counts_avx512(counts + 8u * group, all, ones);
}

TARGET FL_INLINE void end_count_avx512(const counter_avx512 *c, symbol_counts *counts) {
    /* Compilers make a slow instruction of it where they may. */
    const __m512i zero = kept_avx512(_mm512_setzero_si512());
    for (uint32_t i = 0; i < SYMBOLS; i += 32u) {
        _mm512_storeu_si512(counts->bits + i, zero);
        _mm512_storeu_si512(counts->signs + i, zero);
    }
    count_group_avx512(c, 0, counts->bits);
    count_group_avx512(c, 1, counts->bits);
    if (c->refined) {
        count_group_avx512(c, 2, counts->bits);
        count_group_avx512(c, 3, counts->bits);
    }
    if (c->sign_count == 0) return;
    /* By three numbers across, four down; of each the fourth is never the case. */
    __m512i all[16], ones[16];
    for (uint32_t i = 0; i < 16u; i++) all[i] = ones[i] = _mm512_setzero_si512();
    for (const counted_avx512 *at = c->signs; at < c->signs + c->sign_count; at++) {
        const fl_rows *s = at->slices;
        const fl_rows across[3] = {~(s[0] | s[1]) & at->columns, s[0] & at->columns, s[1] & at->columns};
        const fl_rows down[3] = {~(s[2] | s[3]), s[2], s[3]};
        for (uint32_t i = 0; i < 9u; i++) {
            const uint32_t to = i % 3u + i / 3u * 4u;
            count_one_avx512(&all[to], &ones[to], across[i % 3u] & down[i / 3u], s[5]);
        }
    }
    put_counts_avx512(counts->signs, all, ones);
    put_counts_avx512(counts->signs + 8, all + 8, ones + 8);
}
TARGET FL_INLINE fl_rows rows_avx512(const uint64_t *from) { return (fl_rows)_mm512_loadu_si512(from); }
TARGET FL_INLINE int any_avx512(fl_rows rows) { return _mm512_test_epi64_mask((__m512i)rows, (__m512i)rows) != 0; }

/* Bytes of 64 symbols. */
typedef struct {
    __m512i word[WORDS_AT_ONCE];
} lines_avx512;

/* First the words of all slices come together; then as in transpose_avx512. */
TARGET FL_INLINE void open_lines_avx512(lines_avx512 *l, const fl_rows *slices) {
    const __m512i order =
        kept_avx512(_mm512_set_epi64(0x070f171f272f0000, 0x060e161e262e0000, 0x050d151d252d0000, 0x040c141c242c0000,
                                     0x030b131b232b0000, 0x020a121a222a0000, 0x0109111921290000, 0x0008101820280000));
    const __m512i identity = kept_avx512(_mm512_set1_epi64((long long)0x8040201008040201));
    __m512i s[6];
    for (uint32_t i = 0; i < 6u; i++) s[i] = (__m512i)slices[i];
    for (uint32_t odd = 0; odd < 2u; odd++) {
        const __m512i a = odd ? _mm512_unpackhi_epi64(s[0], s[1]) : _mm512_unpacklo_epi64(s[0], s[1]);
        const __m512i b = odd ? _mm512_unpackhi_epi64(s[2], s[3]) : _mm512_unpacklo_epi64(s[2], s[3]);
        const __m512i c = odd ? _mm512_unpackhi_epi64(s[4], s[5]) : _mm512_unpacklo_epi64(s[4], s[5]);
        const __m512i first = _mm512_shuffle_i64x2(a, b, 0x88), second = _mm512_shuffle_i64x2(a, b, 0xdd);
        l->word[odd] = _mm512_shuffle_i64x2(first, c, 0x08);
        l->word[odd + 2u] = _mm512_shuffle_i64x2(second, c, 0x58);
        l->word[odd + 4u] = _mm512_shuffle_i64x2(first, c, 0xad);
        l->word[odd + 6u] = _mm512_shuffle_i64x2(second, c, 0xfd);
    }
    for (uint32_t i = 0; i < WORDS_AT_ONCE; i++) {
        const __m512i bits = _mm512_maskz_permutexvar_epi8(0xfcfcfcfcfcfcfcfc, order, l->word[i]);
        l->word[i] = _mm512_gf2p8affine_epi64_epi8(identity, bits, 0);
    }
}
TARGET FL_INLINE void line_avx512(const lines_avx512 *l, const uint32_t i, uint8_t *to) {
    _mm512_storeu_si512(to, l->word[i]);
}
TARGET FL_INLINE void list_avx512(const lines_avx512 *l, const uint32_t i, uint64_t columns, uint8_t *to) {
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi8(columns, l->word[i]));
}

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

/* With 32 lanes or more a vector holds 16, and quotients come from floats. With fewer, where each waits for the one
 * before, it holds 8 of 64 bits, which are twice the states, whatever the lowest bit is; quotients come from the
 * product of 52 bits. */
typedef struct {
    __m512i x[4];
    uint8_t *words;
    __m512i bits[2], signs[2];                   /* frequency by symbol, 16 bits each; of 8 lanes twice that */
    __m512 bit_quotient[2][2], sign_quotient[2]; /* its reciprocal: of 0, of 1, by context; for 16 lanes */
} writer_avx512;

TARGET FL_INLINE void begin_avx512(writer_avx512 *v, const uint32_t *state, uint8_t *words, const uint32_t lanes) {
    for (uint32_t i = 0; i < (lanes < 32u ? lanes / 8u : lanes / 16u); i++) {
        if (lanes < 32u) {
            v->x[i] = _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(const void *)&state[8 * i]));
            v->x[i] = _mm512_add_epi64(v->x[i], v->x[i]);
        } else {
            v->x[i] = _mm512_loadu_si512(&state[16 * i]);
        }
    }
    v->words = words;
}

TARGET FL_INLINE void end_avx512(const writer_avx512 *v, uint32_t *state, const uint32_t lanes) {
    for (uint32_t i = 0; i < (lanes < 32u ? lanes / 8u : lanes / 16u); i++)
        if (lanes < 32u)
            _mm256_storeu_si256((__m256i *)(void *)&state[8 * i], _mm512_cvtepi64_epi32(_mm512_srli_epi64(v->x[i], 1)));
        else
            _mm512_storeu_si512(&state[16 * i], v->x[i]);
}

TARGET FL_INLINE void use_avx512(writer_avx512 *v, const fl_encoder *e, const pass_choice *choice,
                                 const uint32_t lanes) {
    const __m512 least = _mm512_castsi512_ps(_mm512_set1_epi32(0x3f7ffff0)); /* as in give_avx2 */
    const __m512i all = _mm512_set1_epi16(PROBABILITY_ONE);
    const __m256i order = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)fl_sign_context));
    (void)e;
    v->bits[0] = _mm512_loadu_si512(choice->zero);
    __m256i signs = _mm256_loadu_si256((const __m256i *)(const void *)(choice->zero + BIT_CONTEXTS));
    v->signs[0] = _mm512_zextsi256_si512(_mm256_permutexvar_epi16(order, signs));
    v->bits[1] = _mm512_sub_epi16(all, v->bits[0]);
    v->signs[1] = _mm512_sub_epi16(all, v->signs[0]);
    for (uint32_t bit = 0; bit < 2u; bit++) {
        if (lanes < 32u) {
            v->bits[bit] = _mm512_add_epi16(v->bits[bit], v->bits[bit]);
            v->signs[bit] = _mm512_add_epi16(v->signs[bit], v->signs[bit]);
            continue;
        }
        const __m256i parts[3] = {_mm512_castsi512_si256(v->bits[bit]), _mm512_extracti64x4_epi64(v->bits[bit], 1),
                                  _mm512_castsi512_si256(v->signs[bit])};
        for (uint32_t i = 0; i < 3u; i++)
            *(i < 2u ? &v->bit_quotient[bit][i] : &v->sign_quotient[bit]) =
                _mm512_div_ps(least, _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(parts[i])));
    }
}

/* 16 lanes give a symbol each, those in `gives`, of the frequencies f: x' = x + q (4096 - f), and 4096 - f more for a
 * 1, whose range is behind that of 0. For the quotient see give_avx2: it may be too small by 1. */
TARGET FL_INLINE void give_avx512(writer_avx512 *v, const uint32_t i, __m512i f, __m512 reciprocal, __mmask16 ones,
                                  __mmask16 gives) {
    const __m512i x = v->x[i], others = _mm512_maskz_sub_epi32(gives, _mm512_set1_epi32(PROBABILITY_ONE), f);
    const __mmask16 full = _mm512_mask_cmpge_epu32_mask(gives, _mm512_srli_epi32(x, 19), f);
    const uint32_t count = (uint32_t)__builtin_popcount(full);
    const __m256i words = _mm256_maskz_compress_epi16(full, _mm512_cvtepi32_epi16(x));
    v->words -= 2u * count;
    _mm256_mask_storeu_epi16(v->words, (__mmask16)_bzhi_u32(0xffff, count), words);
    const __m512i y = _mm512_mask_srli_epi32(x, full, x, 16);

    const __m512i q = _mm512_cvttps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(y), reciprocal));
    __m512i sum = _mm512_add_epi32(y, _mm512_mullo_epi32(q, others));
    const __m512i rest = _mm512_sub_epi32(sum, _mm512_slli_epi32(q, PROBABILITY_BITS));
    const __mmask16 more = _mm512_cmpge_epu32_mask(rest, f);
    sum = _mm512_mask_add_epi32(sum, ones, sum, others);
    v->x[i] = _mm512_mask_add_epi32(sum, more, sum, others);
}

/* 8 lanes give a symbol each, of frequencies f. `factor` is 2^51 / f rounded up: times f it is 2^51 + e with
 * 0 <= e < f <= 2^12 (doubles are close enough to tell, since the fraction of a quotient is 0 or at least 1 / f). So
 * for x < 2^31 the product with 2 x, x / f and less than 2^-8 / f more in units of 2^52, has the quotient as its whole
 * part; so has that with 2 x + 1. What comes of a state and what of its upper half are both worked out while it is not
 * yet known which it is. */
TARGET FL_INLINE void give_8_avx512(writer_avx512 *v, const uint32_t i, __m512i twice, __mmask8 ones, __mmask8 gives) {
    const __m512i x = v->x[i], zero = _mm512_setzero_si512(), upper = _mm512_srli_epi64(x, 16);
    const __m512d quotient = _mm512_div_pd(_mm512_set1_pd(4503599627370496.0), _mm512_cvtepi64_pd(twice)); /* 2^52 */
    const __m512i factor = _mm512_cvt_roundpd_epi64(quotient, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    const __m512i others = _mm512_maskz_sub_epi64(gives, _mm512_set1_epi64(2 * PROBABILITY_ONE), twice);
    const __m512i start = _mm512_maskz_mov_epi64(ones, others);
    const __mmask8 full = _mm512_mask_cmpge_epu64_mask(gives, _mm512_srli_epi64(x, 19), twice);
    const uint32_t count = (uint32_t)__builtin_popcount(full);
    const __m128i words = _mm_maskz_compress_epi16(full, _mm512_cvtepi64_epi16(_mm512_srli_epi64(x, 1)));
    v->words -= 2u * count;
    _mm_mask_storeu_epi16(v->words, (__mmask8)_bzhi_u32(0xff, count), words);
    const __m512i whole_q = _mm512_madd52hi_epu64(zero, x, factor), half_q = _mm512_madd52hi_epu64(zero, upper, factor);
    const __m512i whole = _mm512_madd52lo_epu64(_mm512_add_epi64(x, start), whole_q, others);
    const __m512i half = _mm512_madd52lo_epu64(_mm512_add_epi64(upper, start), half_q, others);
    v->x[i] = _mm512_mask_mov_epi64(whole, full, half);
}

TARGET FL_INLINE void push_8_avx512(writer_avx512 *v, const uint8_t *symbols, uint64_t columns, const int signs,
                                    const uint32_t lanes) {
    const uint32_t last = lanes / 8u - 1u;
    const __m512i *twice = signs ? v->signs : v->bits;
    for (uint32_t i = 8u; i-- > 0u;) {
        const __mmask8 gives = (__mmask8)(columns >> (8u * i));
        if (gives == 0) continue;
        const __m512i c = _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(const void *)(symbols + 8u * i)));
        const __m512i own = _mm512_maskz_permutex2var_epi16(0x11111111, twice[0], c, twice[1]);
        give_8_avx512(v, i & last, own, _mm512_test_epi64_mask(c, _mm512_set1_epi64(SYMBOL_ONE)), gives);
    }
}

TARGET FL_INLINE void push_avx512(writer_avx512 *v, const uint8_t *symbols, uint64_t columns, const int signs,
                                  const uint32_t lanes) {
    const uint32_t last = lanes / 16u - 1u;
    const __m512i *frequency = signs ? v->signs : v->bits;
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
        const __m512i f = _mm512_maskz_permutex2var_epi16(0x55555555, frequency[0], c, frequency[1]);
        __m512 reciprocal;
        if (signs) {
            reciprocal = _mm512_permutexvar_ps(c, v->sign_quotient[0]);
            reciprocal = _mm512_mask_permutexvar_ps(reciprocal, one, c, v->sign_quotient[1]);
        } else {
            __m512 r = _mm512_permutex2var_ps(v->bit_quotient[0][0], c, v->bit_quotient[0][1]);
            reciprocal = _mm512_permutex2var_ps(v->bit_quotient[1][0], c, v->bit_quotient[1][1]);
            reciprocal = _mm512_mask_mov_ps(r, one, reciprocal);
        }
        give_avx512(v, i & last, f, reciprocal, one, gives);
    }
}
