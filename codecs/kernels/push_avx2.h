/* The encoder's part of AVX2 (symbols.h says what each function does): a vector holds 8 lanes. */
TARGET FL_INLINE void split_avx2(const uint8_t *bytes, uint64_t *to, const uint32_t step, const uint32_t n) {
    for (uint32_t half = 0; half < 2u; half++) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(bytes + 32u * half));
        x = _mm256_sll_epi16(x, _mm_cvtsi32_si128((int)(8u - n))); /* what other bytes get falls out at the top */
        for (uint32_t i = n; i-- > 0u; x = _mm256_add_epi8(x, x)) {
            uint64_t bits = (uint32_t)_mm256_movemask_epi8(x);
            to[i * step] = half ? to[i * step] | bits << 32 : bits;
        }
    }
}

TARGET FL_INLINE uint64_t ones_avx2(const uint8_t *symbols) {
    const __m256i *at = (const __m256i *)(const void *)symbols; /* SYMBOL_ONE to the top */
    uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(_mm256_loadu_si256(at), 2));
    uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(_mm256_loadu_si256(at + 1), 2));
    return low | (uint64_t)high << 32;
}

/* Symbols are counted in four parts, so that one symbol's count is not needed by the next. */
typedef struct {
    uint16_t bits[4][SYMBOLS], signs[4][SYMBOLS];
} counter_avx2;

TARGET FL_INLINE void start_count_avx2(counter_avx2 *c) { fl_fill(c, 0, sizeof *c); }
TARGET FL_INLINE void count_rows_avx2(counter_avx2 *c, const fl_rows *slices, fl_rows columns) {
    (void)c, (void)slices, (void)columns;
}
TARGET FL_INLINE void count_each_avx2(uint16_t (*part)[SYMBOLS], const uint8_t *symbols, uint32_t n) {
    for (uint32_t i = 0; i + 4u <= n; i += 4u)
        for (uint32_t j = 0; j < 4u; j++) part[j][symbols[i + j]]++;
    for (uint32_t i = n & ~3u; i < n; i++) part[0][symbols[i]]++;
}
TARGET FL_INLINE void count_word_avx2(counter_avx2 *c, const uint8_t *symbols, uint64_t columns) {
    for (uint32_t x = 0; x < WORD; x += BLOCK_COLUMNS) {
        const uint64_t half = (uint32_t)(columns >> x), n = (uint32_t)__builtin_popcountll(half);
        if (half == ((uint64_t)1 << n) - 1u) { /* of a whole plane's block, the first columns are coded, or none */
            count_each_avx2(c->bits, symbols + x, (uint32_t)n);
            continue;
        }
        for (uint64_t left = half, i = 0; left; left &= left - 1u, i++)
            c->bits[i & 3u][symbols[x + (uint32_t)__builtin_ctzll(left)]]++;
    }
}
TARGET FL_INLINE void count_signs_avx2(counter_avx2 *c, const fl_rows *slices, fl_rows columns) {
    (void)c, (void)slices, (void)columns;
}
TARGET FL_INLINE void count_list_avx2(counter_avx2 *c, const uint8_t *symbols, uint32_t n) {
    count_each_avx2(c->signs, symbols, n);
}
TARGET FL_INLINE void end_count_avx2(const counter_avx2 *c, symbol_counts *counts) {
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        counts->bits[i] = (uint16_t)(c->bits[0][i] + c->bits[1][i] + c->bits[2][i] + c->bits[3][i]);
        counts->signs[i] = (uint16_t)(c->signs[0][i] + c->signs[1][i] + c->signs[2][i] + c->signs[3][i]);
    }
}
TARGET FL_INLINE fl_rows rows_avx2(const uint64_t *from) {
    fl_rows rows;
    fl_copy(&rows, from, sizeof rows);
    return rows;
}
TARGET FL_INLINE int any_avx2(fl_rows rows) {
    uint64_t any = 0;
    for (uint32_t i = 0; i < WORDS_AT_ONCE; i++) any |= rows[i];
    return any != 0;
}

typedef struct {
    uint64_t slice[6][WORDS_AT_ONCE];
} lines_avx2;

TARGET FL_INLINE void open_lines_avx2(lines_avx2 *l, const fl_rows *slices) {
    fl_copy(l->slice, slices, sizeof l->slice);
}
TARGET FL_INLINE void line_avx2(const lines_avx2 *l, uint32_t i, uint8_t *to) {
    bytes_avx2(to, &l->slice[0][i], WORDS_AT_ONCE, 6);
}
TARGET FL_INLINE void list_avx2(const lines_avx2 *l, uint32_t i, uint64_t columns, uint8_t *to) {
    uint64_t list[6];
    for (uint32_t j = 0; j < 6u; j++)
        list[j] = j == 4u ? 0 : gather_avx2(l->slice[j][i], columns); /* signs have no fifth */
    bytes_avx2(to, list, 1, 6);
}

TARGET FL_INLINE void cost_16_avx2(const int16_t (*cost)[2], uint32_t tables, const int16_t (*count)[2],
                                   int32_t *sums) {
    __m256i low = _mm256_setzero_si256(), high = low;
    for (uint32_t i = 0; i < 16u; i++, cost += tables) {
        int32_t both;
        fl_copy(&both, count[i], sizeof both);
        const __m256i counts = _mm256_set1_epi32(both), *at = (const __m256i *)(const void *)cost;
        low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_loadu_si256(at), counts));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_loadu_si256(at + 1), counts));
    }
    _mm256_storeu_si256((__m256i *)(void *)sums, low);
    _mm256_storeu_si256((__m256i *)(void *)(sums + 8), high);
}

/* P(0) of 16 contexts, low and high bytes, in both halves of a vector, for byte shuffles: bits, then signs. */
typedef struct {
    __m256i x[MAX_LANES / 8];
    uint8_t *words;
    __m256i low[3], high[3];
} writer_avx2;

TARGET FL_INLINE void begin_avx2(writer_avx2 *v, const uint32_t *state, uint8_t *words, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 8u; i++)
        v->x[i] = _mm256_loadu_si256((const __m256i *)(const void *)&state[8 * i]);
    v->words = words;
}

TARGET FL_INLINE void end_avx2(const writer_avx2 *v, uint32_t *state, const uint32_t lanes) {
    for (uint32_t i = 0; i < lanes / 8u; i++) _mm256_storeu_si256((__m256i *)(void *)&state[8 * i], v->x[i]);
}

TARGET FL_INLINE void use_avx2(writer_avx2 *v, const fl_encoder *e, const pass_choice *choice, uint32_t lanes) {
    uint8_t bytes[2][3][16];
    (void)e, (void)lanes;
    for (uint32_t i = 0; i < 48u; i++) {
        uint32_t zero = choice->zero[i < 32u ? i : fl_sign_context_of(i - 32u)];
        bytes[0][i / 16u][i % 16u] = (uint8_t)zero;
        bytes[1][i / 16u][i % 16u] = (uint8_t)(zero >> 8);
    }
    for (uint32_t i = 0; i < 3u; i++) {
        v->low[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)bytes[0][i]));
        v->high[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)bytes[1][i]));
    }
}

/* 8 lanes give a symbol each, those in `gives` at least. floor(x / f) is below 2^19 and comes from floats: with
 * relative errors below 2^-22 together, made to be on the low side, it is right or too small by 1; the rest, below
 * 2^13, tells. */
TARGET FL_INLINE void give_avx2(writer_avx2 *v, const uint32_t i, __m256i zero, __m256i ones, __m256i gives,
                                const int all) {
    const __m256i least = _mm256_set1_epi32(0x3f7ffff0); /* 1 - 2^-20 */
    __m256i x = v->x[i], f = _mm256_blendv_epi8(zero, _mm256_sub_epi32(_mm256_set1_epi32(PROBABILITY_ONE), zero), ones);
    __m256i others = _mm256_sub_epi32(_mm256_set1_epi32(PROBABILITY_ONE), f);
    __m256i fits = _mm256_cmpgt_epi32(f, _mm256_srli_epi32(x, 19));
    if (!all) fits = _mm256_or_si256(fits, _mm256_andnot_si256(gives, _mm256_set1_epi32(-1)));
    uint32_t mask = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(fits)) ^ 255u;
    /* The words of the lanes in `mask`, at the end of a vector, lowest lane first. */
    uint32_t count = (uint32_t)__builtin_popcount(mask);
    uint64_t from = _pext_u64(0x0706050403020100u, _pdep_u64(mask, 0x0101010101010101u) * 255u);
    from <<= (64u - 8u * count) & 63u;
    __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    low = _mm256_permutevar8x32_epi32(low, _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)from)));
    low = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
    _mm_storeu_si128((__m128i *)(void *)(v->words - 16), _mm256_castsi256_si128(low));
    v->words -= 2u * count;
    __m256i y = _mm256_blendv_epi8(_mm256_srli_epi32(x, 16), x, fits);

    __m256 reciprocal = _mm256_div_ps(_mm256_castsi256_ps(least), _mm256_cvtepi32_ps(f));
    __m256i q = _mm256_cvttps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(y), reciprocal));
    __m256i rest = _mm256_sub_epi32(y, _mm256_mullo_epi32(q, f));
    __m256i exact = _mm256_cmpgt_epi32(f, rest), sum = _mm256_add_epi32(_mm256_slli_epi32(q, PROBABILITY_BITS), rest);
    sum = _mm256_add_epi32(sum, _mm256_andnot_si256(exact, others)); /* one more, and so f less of the rest */
    sum = _mm256_add_epi32(sum, _mm256_and_si256(ones, others));     /* after the zeros */
    v->x[i] = all ? sum : _mm256_blendv_epi8(x, sum, gives);
}

TARGET FL_INLINE void push_avx2(writer_avx2 *v, const uint8_t *symbols, uint64_t columns, const int signs,
                                const uint32_t lanes) {
    const uint32_t last = lanes / 8u - 1u;
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    for (uint32_t half = 2; half-- > 0u;) {
        const uint32_t valid = (uint32_t)(columns >> (32u * half));
        if (valid == 0) continue;
        __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(symbols + 32u * half)), low, high;
        uint32_t ones = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(c, 2));
        c = _mm256_and_si256(c, _mm256_set1_epi8(31));
        if (signs) {
            low = _mm256_shuffle_epi8(v->low[2], c);
            high = _mm256_shuffle_epi8(v->high[2], c);
        } else {
            __m256i second = _mm256_slli_epi16(c, 3);
            low = _mm256_blendv_epi8(_mm256_shuffle_epi8(v->low[0], c), _mm256_shuffle_epi8(v->low[1], c), second);
            high = _mm256_blendv_epi8(_mm256_shuffle_epi8(v->high[0], c), _mm256_shuffle_epi8(v->high[1], c), second);
        }
        __m256i even = _mm256_unpacklo_epi8(low, high), odd = _mm256_unpackhi_epi8(low, high);
        const __m256i zero[4] = {_mm256_cvtepu16_epi32(_mm256_castsi256_si128(even)),
                                 _mm256_cvtepu16_epi32(_mm256_castsi256_si128(odd)),
                                 _mm256_cvtepu16_epi32(_mm256_extracti128_si256(even, 1)),
                                 _mm256_cvtepu16_epi32(_mm256_extracti128_si256(odd, 1))};
        for (uint32_t i = 4u; i-- > 0u;) {
            const uint32_t lane = (4u * half + i) & last, own = valid >> (8u * i) & 255u;
            __m256i one = _mm256_and_si256(_mm256_set1_epi32((int)(ones >> (8u * i))), bit);
            one = _mm256_cmpeq_epi32(one, bit);
            if (own == 255u) {
                give_avx2(v, lane, zero[i], one, zero[i], 1);
            } else if (own) {
                __m256i gives = _mm256_and_si256(_mm256_set1_epi32((int)own), bit);
                give_avx2(v, lane, zero[i], one, _mm256_cmpeq_epi32(gives, bit), 0);
            }
        }
    }
}
