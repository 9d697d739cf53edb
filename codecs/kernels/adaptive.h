/* Rows of adaptive layers (SPEC 3.6.3): all symbols by the range coder. Included once for each instruction set by
 * planes.h, for what it has of bytes and spread. */

/* Symbols of the columns of a word; contexts[0 .. 64] has each column's model. */
TARGET FL_INLINE uint64_t NAME(adaptive_word)(fl_coder *c, fl_model *models, const uint8_t *contexts,
                                              uint64_t columns) {
    uint32_t n = (uint32_t)__builtin_popcountll(columns);
    if (columns == fl_low_bits(n)) return fl_decode_bits(c, models, contexts, n);
    uint8_t list[WORD + 1];
    n = 0;
    for (uint64_t left = columns; left; left &= left - 1u) list[n++] = contexts[__builtin_ctzll(left)];
    list[n] = 0;
    return NAME(spread)(fl_decode_bits(c, models, list, n), columns);
}

TARGET static void NAME(adaptive_row)(fl_coder *c, fl_component *k, uint32_t b, uint32_t y, const uint64_t *columns,
                                      row_symbols *row) {
    const band *own = &k->bands[b];
    const state_row *at = own->state + y;
    fl_model *models = k->models.symbol[b];
    context_bits contexts[WORDS];
    uint8_t bytes[WORD + 1], list[WORD + 1];
    bytes[WORD] = 0;
    fl_contexts(own, b, y, contexts);
    for (uint32_t w = 0; w < WORDS; w++) {
        row->bits[w] = 0;
        if (columns[w] == 0) continue;
        NAME(bytes)(bytes, contexts[w].bit, 1, 5);
        row->bits[w] = NAME(adaptive_word)(c, models, bytes, columns[w]);
    }
    for (uint32_t w = 0; w < WORDS; w++) {
        const uint64_t fresh = row->bits[w] & ~at->one[w];
        row->minus[w] = 0;
        if (fresh == 0) continue;
        NAME(bytes)(bytes, fl_sign_bits(at, w).bit, 1, 4);
        uint32_t n = 0;
        for (uint64_t left = fresh; left; left &= left - 1u) list[n++] = fl_sign_context[bytes[__builtin_ctzll(left)]];
        list[n] = 0;
        row->minus[w] = NAME(spread)(fl_decode_bits(c, models + BIT_CONTEXTS, list, n), fresh);
    }
}
