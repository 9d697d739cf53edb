/* The words of a tile's static layers: what rANS starts from, and the order of its symbols, which is backwards (SPEC
 * 3.5.2, 3.6.4). */
#include "encode.h"

/* WebAssembly decodes only. */
#if !defined(__wasm__)

static symbol_code code_of(uint32_t frequency, uint32_t start) {
    symbol_code code = {0, frequency << 19, (uint16_t)start, (uint16_t)(PROBABILITY_ONE - frequency), 0};
    if (frequency < 2u) { /* gives x - 1 for x >= 1; the bias makes up for it */
        code.reciprocal = 0xffffffffu;
        code.bias = (uint16_t)(start + PROBABILITY_ONE - 1u);
        return code;
    }
    uint32_t shift = fl_bits_of(frequency - 1u);
    code.reciprocal = (uint32_t)((((uint64_t)1 << (shift + 31u)) + frequency - 1u) / frequency);
    code.shift = (uint8_t)(shift - 1u);
    return code;
}

void fl_start_codes(symbol_code *bits, symbol_code *signs, const pass_choice *choice) {
    for (uint32_t i = 0; i < BIT_CONTEXTS; i++) {
        uint32_t zero = choice->zero[i];
        if (zero == 0) continue; /* contexts of raw symbols; refinement in a band's first pass */
        bits[i] = code_of(zero, 0);
        bits[i + SYMBOL_ONE] = code_of(PROBABILITY_ONE - zero, zero);
    }
    for (uint32_t i = 0; i < 16u; i++) {
        uint32_t zero = choice->zero[fl_sign_context_of(i)];
        if (zero == 0) continue;
        signs[i] = code_of(zero, 0);
        signs[i + SYMBOL_ONE] = code_of(PROBABILITY_ONE - zero, zero);
    }
}

/* The tile's last symbols, from the last one on, as rANS codes them. */
typedef struct {
    uint32_t count, most;     /* `most`: there may be more */
    uint32_t left[MAX_LANES]; /* the number of symbols listed when a lane comes to its first one */
} tail;

static uint32_t list_pass(fl_encoder *e, const coded_pass *pass, uint32_t height, uint32_t lanes, uint32_t n,
                          const uint32_t most) {
    uint32_t at = pass->symbols_end, signs = pass->signs + pass->sign_count;
    fl_start_codes(e->codes, e->sign_codes, &pass->choice);
    for (uint32_t y = height; y-- > 0u;) {
        signs -= pass->row_signs[y];
        for (uint32_t i = pass->choice.raw_signs ? 0u : pass->row_signs[y]; i-- > 0u;) {
            if (n == most) return n;
            e->tail[n] = (uint8_t)(i & (lanes - 1u));
            e->tail_codes[n++] = e->sign_codes[e->signs[signs + i]];
        }
        for (uint32_t w = WORDS; w-- > 0u;) {
            uint64_t columns = pass->columns[y][w];
            at -= columns ? WORD : 0u;
            while (columns && !pass->choice.raw_bits) {
                uint32_t x = 63u - (uint32_t)__builtin_clzll(columns);
                columns ^= (uint64_t)1 << x;
                if (n == most) return n;
                e->tail[n] = (uint8_t)(x & (lanes - 1u));
                e->tail_codes[n++] = e->codes[e->symbols[at + x]];
            }
        }
    }
    return n;
}

static void list_tail(fl_encoder *e, const tile_layers *t, tail *tail) {
    uint32_t n = 0;
    tail->most = TAIL_OF_LANE * t->layer[t->count - 1u].lanes; /* no layer has more */
    for (uint32_t i = 0; i < MAX_LANES; i++) tail->left[i] = UINT32_MAX;
    for (uint32_t layer = t->count; layer-- > 0u && n < tail->most;) {
        const written_layer *l = &t->layer[layer];
        if (l->is_empty || !l->head.is_static) continue;
        for (uint32_t c = e->tile.components; c-- > 0u;)
            for (uint32_t s = t->passes[layer + 1u][c]; s-- > t->passes[layer][c];) {
                const coded_pass *pass = &e->component[c].pass[s];
                if (pass->choice.coded && !(pass->choice.raw_bits && pass->choice.raw_signs))
                    n = list_pass(e, pass, fl_rows_of(e, c, s), l->lanes, n, tail->most);
            }
        if (n < tail->most)
            for (uint32_t i = l->lanes_before; i < l->lanes; i++) tail->left[i] = n;
    }
    tail->count = n;
}

/* The states that encoding starts from. A decoder fills up a state below 2^15 as long as there are words; so where the
 * last word is read all other lanes that there are must be above that, but what they are in the end does not matter. A
 * lane that can starts from 1, which saves its two bytes; the others start from 2^15. */
static void first_states(fl_encoder *e, const tile_layers *t, uint32_t *state) {
    const uint32_t never = UINT32_MAX;
    tail tail;
    uint32_t low[MAX_LANES], high[MAX_LANES];        /* states of lanes that started from 1, from 2^15 */
    uint32_t filled[MAX_LANES], emits[2][MAX_LANES]; /* when `low` is above 2^15, when each emits its first word */
    list_tail(e, t, &tail);
    for (uint32_t i = 0; i < MAX_LANES; i++) {
        low[i] = 1;
        high[i] = STATE_LOW;
        filled[i] = emits[0][i] = emits[1][i] = never;
    }
    for (uint32_t n = 0; n < tail.count; n++) {
        const uint32_t i = e->tail[n];
        const symbol_code *code = &e->tail_codes[n];
        if (emits[1][i] == never) {
            if (high[i] >= code->limit)
                emits[1][i] = n;
            else
                high[i] = fl_push(high[i], code);
        }
        if (emits[0][i] == never) {
            if (low[i] >= code->limit)
                emits[0][i] = n;
            else
                low[i] = fl_push(low[i], code);
            if (filled[i] == never && low[i] >= STATE_LOW) filled[i] = n;
        }
    }
    for (uint32_t i = 0; i < MAX_LANES; i++) state[i] = 1;
    for (uint32_t again = 1; again;) {
        uint32_t word = tail.count < tail.most ? never : tail.count; /* the first one, at the latest */
        again = 0;
        for (uint32_t i = 0; i < MAX_LANES; i++) word = fl_min(word, emits[state[i] == STATE_LOW][i]);
        for (uint32_t i = 0; word < never && i < MAX_LANES; i++)
            if (state[i] == 1u && filled[i] >= word && tail.left[i] > word) {
                state[i] = STATE_LOW;
                again = 1;
            }
    }
}

/* All words, backwards from the end of the room; state[] gets what each lane begins with. Returns 0 if there is no
 * space. */
int fl_push_words(fl_encoder *e, const fl_encode_ops *ops, tile_layers *t, uint32_t *state) {
    uint8_t *words = t->end;
    first_states(e, t, state);
    for (uint32_t n = t->count; n-- > 0u;) {
        written_layer *layer = &t->layer[n];
        layer->words_end = words;
        for (uint32_t c = e->tile.components; layer->lanes > 0 && c-- > 0u;) {
            uint32_t first = t->passes[n][c], end = t->passes[n + 1u][c];
            if (end > first) words = ops->push(e, c, first, end, layer->lanes, state, t->out, words);
            if (!words) return 0;
        }
        layer->words = words;
    }
    return 1;
}
#endif
