/* The encoder's part of the portable way (symbols.h says what each function does). */
FL_INLINE void split_scalar(const uint8_t *bytes, uint64_t *to, uint32_t step, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) to[i * step] = 0;
    for (uint32_t x = 0; x < WORD; x += 8u) {
        uint64_t eight = (uint64_t)fl_read32(bytes + x) | (uint64_t)fl_read32(bytes + x + 4) << 32;
        for (uint32_t i = 0; i < n; i++) {
            /* The lowest bit of byte j goes to bit 56 + j. */
            uint64_t lowest = eight >> i & 0x0101010101010101u;
            to[i * step] |= (lowest * 0x0102040810204080u >> 56) << x;
        }
    }
}

FL_INLINE uint64_t gather_scalar(uint64_t bits, uint64_t mask) {
    uint64_t gathered = 0;
    for (uint32_t i = 0; mask; mask &= mask - 1u, i++) gathered |= (bits >> __builtin_ctzll(mask) & 1u) << i;
    return gathered;
}

FL_INLINE uint64_t ones_scalar(const uint8_t *symbols) {
    uint64_t ones = 0;
    for (uint32_t x = 0; x < WORD; x++) ones |= (uint64_t)(symbols[x] / SYMBOL_ONE & 1u) << x;
    return ones;
}

/* Symbols are counted in four parts, so that one symbol's count is not needed by the next. */
typedef struct {
    uint16_t bits[4][SYMBOLS], signs[4][SYMBOLS];
} counter_scalar;

FL_INLINE void start_count_scalar(counter_scalar *c) { fl_fill(c, 0, sizeof *c); }
FL_INLINE void count_rows_scalar(counter_scalar *c, const fl_rows *slices, fl_rows columns) {
    (void)c, (void)slices, (void)columns;
}
FL_INLINE void count_each_scalar(uint16_t (*part)[SYMBOLS], const uint8_t *symbols, uint32_t n) {
    for (uint32_t i = 0; i + 4u <= n; i += 4u)
        for (uint32_t j = 0; j < 4u; j++) part[j][symbols[i + j]]++;
    for (uint32_t i = n & ~3u; i < n; i++) part[0][symbols[i]]++;
}
FL_INLINE void count_word_scalar(counter_scalar *c, const uint8_t *symbols, uint64_t columns) {
    for (uint32_t x = 0; x < WORD; x += BLOCK_COLUMNS) {
        const uint64_t half = (uint32_t)(columns >> x), n = (uint32_t)__builtin_popcountll(half);
        if (half == ((uint64_t)1 << n) - 1u) { /* of a whole plane's block, the first columns are coded, or none */
            count_each_scalar(c->bits, symbols + x, (uint32_t)n);
            continue;
        }
        for (uint64_t left = half, i = 0; left; left &= left - 1u, i++)
            c->bits[i & 3u][symbols[x + (uint32_t)__builtin_ctzll(left)]]++;
    }
}
FL_INLINE void count_signs_scalar(counter_scalar *c, const fl_rows *slices, fl_rows columns) {
    (void)c, (void)slices, (void)columns;
}
FL_INLINE void count_list_scalar(counter_scalar *c, const uint8_t *symbols, uint32_t n) {
    count_each_scalar(c->signs, symbols, n);
}
FL_INLINE void end_count_scalar(const counter_scalar *c, symbol_counts *counts) {
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        counts->bits[i] = (uint16_t)(c->bits[0][i] + c->bits[1][i] + c->bits[2][i] + c->bits[3][i]);
        counts->signs[i] = (uint16_t)(c->signs[0][i] + c->signs[1][i] + c->signs[2][i] + c->signs[3][i]);
    }
}
FL_INLINE fl_rows rows_scalar(const uint64_t *from) {
    fl_rows rows;
    fl_copy(&rows, from, sizeof rows);
    return rows;
}
FL_INLINE int any_scalar(fl_rows rows) {
    uint64_t any = 0;
    for (uint32_t i = 0; i < WORDS_AT_ONCE; i++) any |= rows[i];
    return any != 0;
}

typedef struct {
    uint64_t slice[6][WORDS_AT_ONCE];
} lines_scalar;

FL_INLINE void open_lines_scalar(lines_scalar *l, const fl_rows *slices) { fl_copy(l->slice, slices, sizeof l->slice); }
FL_INLINE void line_scalar(const lines_scalar *l, uint32_t i, uint8_t *to) {
    bytes_scalar(to, &l->slice[0][i], WORDS_AT_ONCE, 6);
}
FL_INLINE void list_scalar(const lines_scalar *l, uint32_t i, uint64_t columns, uint8_t *to) {
    uint64_t list[6];
    for (uint32_t j = 0; j < 6u; j++)
        list[j] = j == 4u ? 0 : gather_scalar(l->slice[j][i], columns); /* signs have no fifth */
    bytes_scalar(to, list, 1, 6);
}

FL_INLINE void cost_16_scalar(const int16_t (*cost)[2], uint32_t tables, const int16_t (*count)[2], int32_t *sums) {
    for (uint32_t t = 0; t < 16u; t++) sums[t] = 0;
    for (uint32_t i = 0; i < 16u; i++, cost += tables)
        for (uint32_t t = 0; t < 16u; t++) sums[t] += cost[t][0] * count[i][0] + cost[t][1] * count[i][1];
}

typedef struct {
    uint32_t *state;
    uint8_t *words;
    const symbol_code *bits, *signs;
} writer_scalar;

FL_INLINE void begin_scalar(writer_scalar *v, uint32_t *state, uint8_t *words, uint32_t lanes) {
    (void)lanes;
    *v = (writer_scalar){state, words, 0, 0};
}

FL_INLINE void end_scalar(const writer_scalar *v, uint32_t *state, uint32_t lanes) {
    (void)v, (void)state, (void)lanes;
}

FL_INLINE void use_scalar(writer_scalar *v, fl_encoder *e, const pass_choice *choice, uint32_t lanes) {
    (void)lanes;
    fl_start_codes(e->codes, e->sign_codes, choice);
    v->bits = e->codes;
    v->signs = e->sign_codes;
}

FL_INLINE void push_scalar(writer_scalar *v, const uint8_t *symbols, uint64_t columns, int signs,
                           const uint32_t lanes) {
    const symbol_code *codes = signs ? v->signs : v->bits;
    while (columns) {
        const uint32_t i = (uint32_t)WORD - 1u - (uint32_t)__builtin_clzll(columns);
        const symbol_code *code = &codes[symbols[i]];
        uint32_t x = v->state[i & (lanes - 1u)];
        if (x >= code->limit) {
            v->words -= 2;
            v->words[0] = (uint8_t)x;
            v->words[1] = (uint8_t)(x >> 8);
            x >>= 16;
        }
        v->state[i & (lanes - 1u)] = fl_push(x, code);
        columns ^= (uint64_t)1 << i;
    }
}
