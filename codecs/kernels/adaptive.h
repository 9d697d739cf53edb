/* Rows of adaptive layers (SPEC 3.6.3): all symbols by the range coder. Included once for each instruction set by
 * planes.h, for what it has of contexts, bytes and spread. */

/* A function of its own: what is in registers here leaves none for others. */
TARGET static __attribute__((noinline)) uint64_t NAME(decode_bits)(fl_coder *c, fl_model *models, const uint8_t *which,
                                                                   uint32_t n) {
    return fl_decode_bits(c, models, which, n);
}

/* Symbols of the columns of a word; contexts[0 .. 64] has each column's model. */
TARGET FL_INLINE uint64_t NAME(adaptive_bits)(fl_coder *c, fl_model *models, const uint8_t *contexts,
                                              uint64_t columns) {
    uint32_t n = (uint32_t)__builtin_popcountll(columns);
    if (columns == fl_low_bits(n)) return NAME(decode_bits)(c, models, contexts, n);
    uint8_t list[WORD + 1];
    n = 0;
    for (uint64_t left = columns; left; left &= left - 1u) list[n++] = contexts[__builtin_ctzll(left)];
    list[n] = 0;
    return NAME(spread)(NAME(decode_bits)(c, models, list, n), columns);
}

/* Signs of `fresh` columns; `around`: their contexts. */
TARGET FL_INLINE void NAME(adaptive_signs)(fl_coder *c, fl_model *models, const uint64_t (*around)[WORDS],
                                           const uint64_t *fresh, uint64_t *minus) {
    uint8_t bytes[WORD], list[WORDS * WORD + 1];
    uint32_t n = 0, first = 0;
    for (uint32_t w = 0; w < WORDS; w++) {
        if (fresh[w] == 0) continue;
        NAME(bytes)(bytes, &around[0][w], WORDS, 4);
        for (uint64_t left = fresh[w]; left; left &= left - 1u)
            list[n++] = fl_sign_context[bytes[__builtin_ctzll(left)]];
        if (w == 0) first = n;
    }
    list[n] = 0;
    if (n <= WORD) { /* nearly always */
        const uint64_t found = NAME(decode_bits)(c, models, list, n);
        minus[0] = NAME(spread)(found, fresh[0]);
        minus[1] = NAME(spread)(fl_shift_right(found, first), fresh[1]);
    } else {
        minus[0] = NAME(spread)(NAME(decode_bits)(c, models, list, first), fresh[0]);
        minus[1] = NAME(spread)(NAME(decode_bits)(c, models, list + first, n - first), fresh[1]);
    }
}

TARGET static void NAME(adaptive_row)(fl_coder *c, fl_component *k, uint32_t b, uint32_t y, uint64_t *columns,
                                      pass_part part, row_symbols *row) {
    const band *own = &k->bands[b];
    const state_row *at = own->state + y;
    fl_model *models = k->models.symbol[b], *bit_models = models + (part == FIRST_PART ? FIRST_MODELS : 0);
    uint64_t contexts[5][WORDS], around[4][WORDS], fresh[WORDS];
    uint8_t bytes[WORD + 1];
    bytes[WORD] = 0;
#ifdef OWN_PASS
    context_bits words[WORDS];
    fl_contexts(own, b, y, words);
    for (uint32_t i = 0; i < 5u; i++)
        for (uint32_t w = 0; w < WORDS; w++) contexts[i][w] = words[w].bit[i];
#else
    fl_wide bits[5];
    NAME(window) n;
    NAME(open_window)(&n, at, WORDS);
    NAME(row_contexts)(&n, own, b, y, (n.own[0] | n.own[1]) != 0, bits, WORDS);
    for (uint32_t i = 0; i < 5u; i++) fl_store_wide(contexts[i], bits[i]);
#endif
    for (uint32_t w = 0; w < WORDS; w++) {
        const uint64_t some = contexts[0][w] | contexts[1][w] | contexts[2][w] | contexts[3][w];
        row->bits[w] = row->minus[w] = 0;
        columns[w] = fl_part_columns(own, y, w, columns[w], part, some);
        if (columns[w] == 0) continue;
        NAME(bytes)(bytes, &contexts[0][w], WORDS, 5);
        row->bits[w] = NAME(adaptive_bits)(c, bit_models, bytes, columns[w]);
    }
    for (uint32_t w = 0; w < WORDS; w++) fresh[w] = row->bits[w] & ~at->one[w];
    if ((fresh[0] | fresh[1]) == 0) return;
#ifdef OWN_PASS
    for (uint32_t w = 0; w < WORDS; w++) {
        const sign_bits signs = fl_sign_bits(at, w);
        for (uint32_t i = 0; i < 4u; i++) around[i][w] = signs.bit[i];
    }
#else
    NAME(sign_contexts)(&n, around, WORDS);
#endif
    NAME(adaptive_signs)(c, models + BIT_CONTEXTS, (const uint64_t (*)[WORDS])around, fresh, row->minus);
}
