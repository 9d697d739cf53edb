/* The encoder's way from coefficients to symbols, and from symbols to rANS words and raw bits (SPEC 3.5.2, 3.6).
 * Included by planes.h, once for each instruction set, after push_*.h, which defines:
 *
 *   split            64 bytes of up to 8 bits to a word a bit: the contrary of `bytes`
 *   ones             a bit for each of 64 stored symbols: whether it is 1
 *   rows             loads eight words; any: a bit of them is set
 *   NAME(counter)    counts of symbols: start_count; count_rows takes slices in the columns of a mask, or count_word 64
 *                    stored symbols; of signs count_signs and count_list; end_count
 *   NAME(lines)      eight words of 64 symbols, from slices of a bit each: open_lines, line, and list: those in a mask
 *   cost_16          what counted symbols of 16 contexts cost with each of 16 tables
 *   NAME(writer)     rANS states in registers, and where the words go; begin, end
 *   use              the tables of a pass
 *   push             the symbols of the columns in a mask, backwards; signs, if `signs` */

/* ---- coefficients ------------------------------------------------------------------------------------------------ */

TARGET static uint32_t NAME(reach)(const int32_t *from, size_t stride, uint32_t width, uint32_t height) {
    uint32_t seen = 0;
    for (uint32_t y = 0; y < height; y++, from += stride) {
        if (y + 2u < height)
            for (uint32_t x = 0; x < width; x += 16u) __builtin_prefetch(from + 2u * stride + x);
        for (uint32_t x = 0; x < width; x++) {
            const uint32_t magnitude = (uint32_t)(from[x] < 0 ? -from[x] : from[x]);
            seen = magnitude > seen ? magnitude : seen;
        }
    }
    return seen;
}

/* 64 columns as words of magnitudes, `planes` of them, `step` apart, and the signs. Returns the OR of the magnitudes of
 * the first 32 columns, and that of the others above it. */
TARGET FL_INLINE uint64_t NAME(load_word)(const int32_t *restrict from, uint64_t *to, const uint32_t step,
                                          uint64_t *negative, const uint32_t planes, const uint32_t slices) {
    uint8_t minus[WORD], m[SLICES][WORD];
    uint32_t seen[WORD / BLOCK_COLUMNS] = {0};
    for (uint32_t i = 0; i < WORD / BLOCK_COLUMNS; i++)
        for (uint32_t x = i * BLOCK_COLUMNS; x < (i + 1u) * BLOCK_COLUMNS; x++) {
            uint32_t magnitude = (uint32_t)(from[x] < 0 ? -from[x] : from[x]);
            seen[i] |= magnitude;
            minus[x] = (uint8_t)((uint32_t)from[x] >> 31);
            m[0][x] = (uint8_t)magnitude;
            if (slices > 1) m[1][x] = (uint8_t)(magnitude >> 8);
            if (slices > 2) m[2][x] = (uint8_t)(magnitude >> 16);
        }
    NAME(split)(minus, negative, 0, 1);
    for (uint32_t i = 0; i < slices; i++) NAME(split)(m[i], to + 8u * i * step, step, fl_min(8, planes - 8u * i));
    return seen[0] | (uint64_t)seen[1] << 32;
}

TARGET static void NAME(load_band)(fl_encoder *e, fl_component *k, uint32_t b, uint8_t *reach, const int32_t *from,
                                   size_t stride) {
    const band *own = &k->bands[b];
    const uint32_t planes = k->planes, words = e->words, border = BORDER * words;
    fl_fill(reach, 0, BLOCK_AREA);
    /* Zeros above and below, as far as other bands may look; no plane is known in the beginning. */
    const uint32_t rows = fl_max(k->bands[0].height, fl_max(k->bands[1].height, k->bands[2].height));
    for (uint32_t p = 0; p < planes + 3u; p++) {
        uint64_t *known = e->known[b][p];
        const uint32_t below = border + (p < planes ? own->height : 0u) * words;
        fl_fill(known, 0, border * sizeof *known);
        fl_fill(known + below, 0, (rows * words + 2u * border - below) * sizeof *known);
    }
    for (uint32_t y = 0; y < own->height; y++, from += stride) {
        uint8_t *block = reach + FIRST_BLOCK + y / BLOCK_ROWS * BLOCK_STRIDE;
        for (uint32_t w = 0; w < words; w++, block += WORD / BLOCK_COLUMNS) {
            const uint32_t x = fl_min(own->width, w * WORD), n = fl_min(WORD, own->width - x);
            const size_t to = border + y * words + w;
            uint64_t *magnitude = e->magnitude[b][0] + to, *known = e->known[b][0] + to,
                     *negative = e->negative[b] + to;
            int32_t some[WORD];
            const int32_t *at = from + x;
            if (n < WORD) {
                fl_fill(some, 0, sizeof some);
                if (n == WORD / 2) /* the most frequent: compilers are slow at copies of any length */
                    fl_copy(some, at, sizeof some / 2);
                else
                    for (uint32_t i = 0; i < n; i++) some[i] = at[i];
                at = some;
            }
            uint64_t seen, any = 0;
            if (planes <= 8)
                seen = NAME(load_word)(at, magnitude, PLANE_WORDS, negative, planes, 1);
            else if (planes <= 16)
                seen = NAME(load_word)(at, magnitude, PLANE_WORDS, negative, planes, 2);
            else
                seen = NAME(load_word)(at, magnitude, PLANE_WORDS, negative, planes, 3);
            block[0] = (uint8_t)fl_max(block[0], fl_bits_of((uint32_t)seen));
            block[1] = (uint8_t)fl_max(block[1], fl_bits_of((uint32_t)(seen >> 32)));
            for (size_t p = planes; p-- > 0u;) known[p * PLANE_WORDS] = any |= magnitude[p * PLANE_WORDS];
        }
    }
}

/* ---- symbols ----------------------------------------------------------------------------------------------------- */

/* What the rows of a pass add up to. */
typedef struct {
    uint8_t *symbols, *signs; /* where the next ones go */
    NAME(counter) counter;
} NAME(taken);

/* Eight words from row y on, `count` of them inside the band. `columns`: of each those of active blocks, then those
 * that are coded. */
TARGET FL_INLINE void NAME(take_rows)(fl_encoder *e, uint32_t plane, pass_part part, uint32_t y, uint64_t *columns,
                                      const uint32_t count, uint8_t *row_signs, NAME(taken) * t, const uint32_t b,
                                      const uint32_t words) {
    const uint32_t sibling[2] = {b == 0, b == 2 ? 1 : 2};
    const size_t at = (y + BORDER) * words, up = at - words, down = at + words;
    /* A row is coded after those above it, but for first parts, which don't look at what is coded with them. */
    const uint64_t (*known)[PLANE_WORDS] = &e->known[b][plane];
    const uint64_t *own = e->one[b], *own2 = e->two[b], *above = known[part == FIRST_PART];
    const fl_rows one = NAME(rows)(own + at), two = NAME(rows)(own2 + at);
    const fl_rows north = NAME(rows)(above + up), south = NAME(rows)(own + down);
    const fl_rows_neighbours n = {
        .own = one,
        .west = fl_rows_left(one, 1, words),
        .east = fl_rows_right(one, 1, words),
        .west2 = fl_rows_left(one, 2, words),
        .east2 = fl_rows_right(one, 2, words),
        .south = south,
        .south_west = fl_rows_left(south, 1, words),
        .south_east = fl_rows_right(south, 1, words),
        .south2 = NAME(rows)(own + down + words),
        .a = NAME(rows)(e->one[sibling[0]] + at),
        .b = NAME(rows)(e->one[sibling[1]] + at),
        .north = north,
        .north_west = fl_rows_left(north, 1, words),
        .north_east = fl_rows_right(north, 1, words),
        .north2 = NAME(rows)(above + up - words),
        .own_two = two,
        .west_two = fl_rows_left(two, 1, words),
        .east_two = fl_rows_right(two, 1, words),
        .north_two = NAME(rows)(known[1] + up),
        .south_two = NAME(rows)(own2 + down),
        .a_two = NAME(rows)(e->two[sibling[0]] + at),
        .b_two = NAME(rows)(e->two[sibling[1]] + at),
        .own_four = NAME(rows)(known[3] + at),
    };
    const uint64_t left = columns[0], right = columns[words - 1u];
    const fl_rows place = {0, 1, 2, 3, 4, 5, 6, 7}, inside = (fl_rows)(place < count);
    fl_rows slices[6], coded = (fl_rows){left, right, left, right, left, right, left, right} & inside;
    NAME(lines) lines;
    fl_rows_significance(&n, slices, (int)b);
    if (part == FIRST_PART) coded &= (slices[0] | slices[1] | slices[2] | slices[3]) & ~one;
    if (part == SECOND_PART) coded &= ~NAME(rows)(e->done[b] + at);
    const fl_rows bits = NAME(rows)(e->magnitude[b][plane] + at) & coded, fresh = bits & ~one;
    if (part == FIRST_PART) {
        const fl_rows half = one | bits;
        fl_copy(e->done[b] + at, &coded, sizeof coded);
        fl_copy(e->half_known[b] + at, &half, sizeof half);
    }
    fl_copy(columns, &coded, sizeof coded);
    slices[4] = one ^ one;
    if (part != FIRST_PART && NAME(any)(one)) fl_rows_refinement(&n, slices);
    slices[5] = bits;
    NAME(count_rows)(&t->counter, slices, coded);
    NAME(open_lines)(&lines, slices);
    for (uint32_t i = 0; i < count; i++) {
        if (columns[i] == 0) continue;
        NAME(line)(&lines, i, t->symbols);
        NAME(count_word)(&t->counter, t->symbols, columns[i]);
        t->symbols += WORD;
    }
    if (!NAME(any)(fresh)) return;
    /* Signs of neighbours that are significant. */
    const uint64_t *negative = e->negative[b];
    const fl_rows minus = NAME(rows)(negative + at), north_minus = NAME(rows)(negative + up);
    const fl_rows south_minus = NAME(rows)(negative + down);
    const fl_rows own_minus = one & minus, own_plus = one & ~minus;
    const fl_rows across_minus = fl_rows_left(own_minus, 1, words) | fl_rows_right(own_minus, 1, words);
    const fl_rows across_plus = fl_rows_left(own_plus, 1, words) | fl_rows_right(own_plus, 1, words);
    const fl_rows down_minus = (north & north_minus) | (south & south_minus);
    const fl_rows down_plus = (north & ~north_minus) | (south & ~south_minus);
    slices[0] = across_plus & ~across_minus;
    slices[1] = across_minus & ~across_plus;
    slices[2] = down_plus & ~down_minus;
    slices[3] = down_minus & ~down_plus;
    slices[4] = one ^ one;
    slices[5] = minus;
    NAME(count_signs)(&t->counter, slices, fresh);
    NAME(open_lines)(&lines, slices);
    uint64_t now[WORDS_AT_ONCE];
    fl_copy(now, &fresh, sizeof now);
    for (uint32_t i = 0; i < WORDS_AT_ONCE; i++) {
        if (now[i] == 0) continue;
        const uint32_t signs = (uint32_t)__builtin_popcountll(now[i]);
        NAME(list)(&lines, i, now[i], t->signs);
        NAME(count_list)(&t->counter, t->signs, signs);
        row_signs[i / words] = (uint8_t)(row_signs[i / words] + signs);
        t->signs += signs;
    }
}

TARGET FL_INLINE void NAME(take_band)(fl_encoder *e, uint32_t plane, pass_part part, coded_pass *pass, const band *own,
                                      NAME(taken) * t, const uint32_t b, const uint32_t words) {
    const uint32_t height = own->height, rows = WORDS_AT_ONCE / words;
    for (uint32_t y = 0; y < height; y += rows) {
        uint64_t columns[WORDS_AT_ONCE], any = 0;
        for (uint32_t w = 0; w < words; w++) any |= columns[w] = fl_coded_columns(own, y / BLOCK_ROWS, w, plane);
        if (any == 0) {
            fl_fill(pass->columns[y], 0, rows * sizeof pass->columns[y]);
            continue;
        }
        const uint32_t count = fl_min(WORDS_AT_ONCE, (height - y) * words);
        NAME(take_rows)(e, plane, part, y, columns, count, pass->row_signs + y, t, b, words);
        for (uint32_t i = 0; i < rows; i++) {
            pass->columns[y + i][0] = columns[i * words];
            pass->columns[y + i][1] = words > 1u ? columns[i * words + 1u] : 0u;
        }
        for (uint32_t i = 0; i < WORDS_AT_ONCE; i++) pass->bit_count += (uint32_t)__builtin_popcountll(columns[i]);
    }
}

TARGET static void NAME(take_pass)(fl_encoder *e, fl_component *k, uint32_t b, uint32_t plane, pass_part part,
                                   coded_pass *pass, symbol_counts *counts) {
    const band *own = &k->bands[b];
    NAME(taken) t;
    t.symbols = e->symbols + e->symbol_count;
    t.signs = e->signs + e->sign_count;
    NAME(start_count)(&t.counter);
    pass->symbols = e->symbol_count;
    pass->signs = e->sign_count;
    pass->bit_count = 0;
    fl_fill(pass->row_signs, 0, sizeof pass->row_signs);
    if (part == FIRST_PART) {
        fl_fill(e->done[b], 0, sizeof e->done[b]);
        fl_fill(e->half_known[b], 0, sizeof e->half_known[b]);
    }
    if (b == 0 && e->words == 1)
        NAME(take_band)(e, plane, part, pass, own, &t, 0, 1);
    else if (b == 0)
        NAME(take_band)(e, plane, part, pass, own, &t, 0, 2);
    else if (b == 1 && e->words == 1)
        NAME(take_band)(e, plane, part, pass, own, &t, 1, 1);
    else if (b == 1)
        NAME(take_band)(e, plane, part, pass, own, &t, 1, 2);
    else if (e->words == 1)
        NAME(take_band)(e, plane, part, pass, own, &t, 2, 1);
    else
        NAME(take_band)(e, plane, part, pass, own, &t, 2, 2);
    e->one[b] = part == FIRST_PART ? e->half_known[b] : e->known[b][plane];
    e->two[b] = e->known[b][part == FIRST_PART ? plane + 2u : plane + 1u];
    NAME(end_count)(&t.counter, counts);
    /* Contexts of refinement. */
    pass->refined = 0;
    for (uint32_t i = BIT_CONTEXTS / 2; i < BIT_CONTEXTS; i++)
        pass->refined += counts->bits[i] + (uint32_t)counts->bits[i + SYMBOL_ONE];
    pass->sign_count = (uint32_t)(t.signs - e->signs) - e->sign_count;
    pass->symbols_end = e->symbol_count = (uint32_t)(t.symbols - e->symbols);
    e->sign_count += pass->sign_count;
}

TARGET static void NAME(cost_tables)(const int16_t (*cost)[2], uint32_t tables, const int16_t (*count)[2],
                                     int32_t *sums) {
    for (uint32_t t = 0; t < tables; t += 16u) NAME(cost_16)(cost + t, tables, count, sums + t);
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

TARGET static void NAME(put_raw)(const fl_encoder *e, uint32_t component, uint32_t first, uint32_t end, raw_writer *w) {
    for (uint32_t s = first; s < end; s++) {
        const coded_pass *pass = &e->component[component].pass[s];
        if (!pass->choice.coded || (!pass->choice.raw_bits && !pass->choice.raw_signs)) continue;
        const uint8_t *symbols = e->symbols + pass->symbols, *signs = e->signs + pass->signs;
        const uint32_t height = fl_rows_of(e, component, s);
        for (uint32_t y = 0; y < height; y++) {
            const uint64_t *columns = pass->columns[y];
            for (uint32_t i = 0; i < WORDS; i++) {
                if (columns[i] == 0) continue;
                if (pass->choice.raw_bits) {
                    const uint64_t bits = NAME(gather)(NAME(ones)(symbols), columns[i]);
                    fl_put_raw_word(w, bits, (uint32_t)__builtin_popcountll(columns[i]));
                }
                symbols += WORD;
            }
            for (uint32_t left = pass->row_signs[y]; left > 0u;) {
                const uint32_t n = fl_min(WORD, left);
                if (pass->choice.raw_signs) fl_put_raw_word(w, NAME(ones)(signs) & ~(uint64_t)0 >> (WORD - n), n);
                signs += n;
                left -= n;
            }
        }
    }
}

TARGET FL_INLINE uint8_t *NAME(push_passes)(fl_encoder *e, uint32_t component, uint32_t first, uint32_t end,
                                            uint32_t *state, uint8_t *floor, uint8_t *words, const uint32_t lanes) {
    /* A row takes a word a symbol at most, and a vector is stored whole. */
    const ptrdiff_t enough = 2 * 2 * FL_MAX_TILE + 64;
    NAME(writer) v;
    NAME(begin)(&v, state, words, lanes);
    for (uint32_t s = end; s-- > first;) {
        const coded_pass *pass = &e->component[component].pass[s];
        if (!pass->choice.coded || (pass->choice.raw_bits && pass->choice.raw_signs)) continue;
        const uint32_t height = fl_rows_of(e, component, s);
        const uint8_t *symbols = e->symbols + pass->symbols_end, *signs = e->signs + pass->signs + pass->sign_count;
        NAME(use)(&v, e, &pass->choice, lanes);
        for (uint32_t y = height; y-- > 0u;) {
            const uint64_t *columns = pass->columns[y];
            if (v.words - floor < enough) return 0;
            signs -= pass->row_signs[y];
            if (!pass->choice.raw_signs)
                for (uint32_t n = pass->row_signs[y]; n > 0u;) {
                    const uint32_t from = (n - 1u) / WORD * WORD;
                    NAME(push)(&v, signs + from, ~(uint64_t)0 >> (WORD - (n - from)), 1, lanes);
                    n = from;
                }
            for (uint32_t w = WORDS; w-- > 0u;) {
                if (columns[w] == 0) continue;
                symbols -= WORD;
                if (!pass->choice.raw_bits) NAME(push)(&v, symbols, columns[w], 0, lanes);
            }
        }
    }
    NAME(end)(&v, state, lanes);
    return v.words;
}

TARGET static uint8_t *NAME(push_all)(fl_encoder *e, uint32_t component, uint32_t first, uint32_t end, uint32_t lanes,
                                      uint32_t *state, uint8_t *floor, uint8_t *words) {
    if (lanes == 64) return NAME(push_passes)(e, component, first, end, state, floor, words, 64);
    if (lanes == 32) return NAME(push_passes)(e, component, first, end, state, floor, words, 32);
    if (lanes == 16) return NAME(push_passes)(e, component, first, end, state, floor, words, 16);
    return NAME(push_passes)(e, component, first, end, state, floor, words, 8);
}

static const fl_encode_ops NAME(encode_ops) = {NAME(reach),       NAME(load_band), NAME(take_pass),
                                               NAME(cost_tables), NAME(put_raw),   NAME(push_all)};
