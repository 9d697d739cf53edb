/* Encoding of tiles (SPEC 3.5 to 3.8): planes are turned into symbols with their contexts, tables chosen by what the
 * symbols cost with each, and the symbols of a layer coded backwards, as rANS wants it. */
#include "encode.h"

/* WebAssembly decodes only. */
#if !defined(__wasm__)

/* Costs are in 1/256 bit; a symbol's is at most 12 bits. */
enum { COST_ONE = 256, COST_MAX = 12 * COST_ONE };

static uint32_t bits_of(uint32_t value) { return value ? 32u - (uint32_t)__builtin_clz(value) : 0u; }

/* ---- costs ------------------------------------------------------------------------------------------------------- */

/* 256 log2(value), value >= 1. */
static int32_t logarithm(uint32_t value) {
    uint32_t bits = bits_of(value) - 1u;
    uint32_t part = bits >= 8u ? value >> (bits - 8u) : value << (8u - bits);
    return (int32_t)(bits * COST_ONE + fl_cost_steps[part & 255u]);
}

static void fill_costs(int16_t (*cost)[2], const uint16_t *zero, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        cost[i][0] = (int16_t)(COST_MAX - logarithm(zero[i]));
        cost[i][1] = (int16_t)(COST_MAX - logarithm(PROBABILITY_ONE - (uint32_t)zero[i]));
    }
}

static void start_costs(fl_encoder *e) {
    for (uint32_t i = 0; i < FL_SIGNIFICANCE_TABLES; i++)
        fill_costs(e->significance_cost[i], fl_significance_tables[i], 16);
    for (uint32_t i = 0; i < FL_REFINEMENT_TABLES; i++) fill_costs(e->refinement_cost[i], fl_refinement_tables[i], 16);
    for (uint32_t i = 0; i < FL_SIGN_TABLES; i++) {
        fl_fill(e->sign_cost[i], 0, sizeof e->sign_cost[i]);
        fill_costs(e->sign_cost[i], fl_sign_tables[i], SIGN_CONTEXTS);
    }
}

/* What the counted symbols of 16 contexts cost. Counts are below 2^15, costs below 2^12. */
static int32_t cost_of(const int16_t (*cost)[2], const int16_t (*count)[2]) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < 16u; i++) sum += cost[i][0] * count[i][0] + cost[i][1] * count[i][1];
    return sum;
}

/* The cheapest table of a set, its coding included; *total gets the cost. */
static table_choice choose_table(const table_choice *last, const int16_t (*costs)[16][2], uint32_t tables,
                                 uint32_t bits, const int16_t (*count)[2], uint32_t entries, int32_t *total) {
    table_choice best = {0, {0}};
    *total = INT32_MAX;
    for (uint32_t i = 0; i < tables; i++) {
        int32_t cost = cost_of(costs[i], count) + (i == last->index ? COST_ONE : (int32_t)(bits + 1u) * COST_ONE);
        if (cost < *total) {
            *total = cost;
            best.index = (uint8_t)i;
        }
    }
    table_choice own = {EXPLICIT, {0}};
    int32_t cost = (int32_t)(8u * entries + 3u) * COST_ONE;
    if (cost >= *total) return best;
    for (uint32_t i = 0; i < entries && cost < *total; i++) {
        uint32_t zeros = (uint32_t)count[i][0], ones = (uint32_t)count[i][1];
        /* 128 + 15 ln((zeros + 0.4) / (ones + 0.4)); 15 ln 2 / 256 = 2662 / 2^16 */
        int32_t place = 128 + (((logarithm(5u * zeros + 2u) - logarithm(5u * ones + 2u)) * 2662 + (1 << 15)) >> 16);
        own.bytes[i] = (uint8_t)(place < 0 ? 0 : place > 255 ? 255 : place);
        uint32_t zero = fl_logistic[own.bytes[i]];
        cost += (int32_t)zeros * (COST_MAX - logarithm(zero));
        cost += (int32_t)ones * (COST_MAX - logarithm(PROBABILITY_ONE - zero));
    }
    if (cost < *total) {
        *total = cost;
        best = own;
    }
    return best;
}

/* ---- choices ----------------------------------------------------------------------------------------------------- */

/* Raw from 0.98 bit a symbol on. */
static int worth_raw(int32_t cost, uint32_t symbols) { return (int64_t)cost * 100 >= (int64_t)symbols * COST_ONE * 98; }

static void choose(fl_encoder *e, int refined, progress *at, coded_pass *pass, const symbol_counts *counts,
                   fl_coder *side) {
    int16_t count[SETS][16][2];
    table_choice tables[SETS];
    for (uint32_t set = 0; set < SETS; set++)
        for (uint32_t i = 0; i < 16u; i++)
            for (uint32_t bit = 0; bit < 2u; bit++) {
                uint32_t symbol = set * 16u + i + bit * SYMBOL_ONE;
                count[set][i][bit] = (int16_t)(counts->part[0][symbol] + counts->part[1][symbol] +
                                               counts->part[2][symbol] + counts->part[3][symbol]);
            }
    const table_choice *last = e->tile.models.last;
    int32_t bits, more = 0, signs;
    tables[0] = choose_table(&last[0], e->significance_cost, FL_SIGNIFICANCE_TABLES, 5, count[0], 16, &bits);
    if (refined) tables[1] = choose_table(&last[1], e->refinement_cost, FL_REFINEMENT_TABLES, 4, count[1], 16, &more);
    tables[2] = choose_table(&last[2], e->sign_cost, FL_SIGN_TABLES, 4, count[2], SIGN_CONTEXTS, &signs);
    plane_choice choice = {.coded = 1};
    choice.raw_bits = (uint8_t)worth_raw(bits + more, pass->bit_count);
    choice.raw_signs = (uint8_t)worth_raw(signs, pass->sign_count);
    if (!choice.raw_bits) at->cost += (uint32_t)(bits + more);
    if (!choice.raw_signs) at->cost += (uint32_t)signs;
    fl_write_choice(side, &e->tile, refined, &choice, tables);
    pass->raw_bits = choice.raw_bits;
    pass->raw_signs = choice.raw_signs;
    fl_copy(pass->zero, choice.zero, sizeof pass->zero);
}

/* ---- rANS -------------------------------------------------------------------------------------------------------- */

static symbol_code code_of(uint32_t frequency, uint32_t start) {
    symbol_code code = {0, frequency << 19, (uint16_t)start, (uint16_t)(PROBABILITY_ONE - frequency), 0};
    if (frequency < 2u) { /* gives x - 1 for x >= 1; the bias makes up for it */
        code.reciprocal = 0xffffffffu;
        code.bias = (uint16_t)(start + PROBABILITY_ONE - 1u);
        return code;
    }
    uint32_t shift = bits_of(frequency - 1u);
    code.reciprocal = (uint32_t)((((uint64_t)1 << (shift + 31u)) + frequency - 1u) / frequency);
    code.shift = (uint8_t)(shift - 1u);
    return code;
}

void fl_start_codes(fl_encoder *e, const coded_pass *pass) {
    for (uint32_t i = 0; i < CONTEXTS; i++) {
        uint32_t zero = pass->zero[i];
        if (zero == 0) continue; /* refinement contexts of a band's first plane */
        e->codes[i] = code_of(zero, 0);
        e->codes[i + SYMBOL_ONE] = code_of(PROBABILITY_ONE - zero, zero);
    }
}

/* The last symbols of the layer, last one first: lane << 8 | symbol. */
static uint32_t list_tail(fl_encoder *e, uint32_t passes, uint32_t lanes) {
    uint32_t n = 0;
    for (uint32_t p = passes; p-- > 0u;) {
        const coded_pass *pass = &e->passes[p];
        if (pass->raw_bits && pass->raw_signs) continue;
        fl_start_codes(e, pass);
        for (uint32_t r = pass->rows; r-- > 0u;) {
            const coded_row *row = &e->rows[pass->first_row + r];
            for (uint32_t i = pass->raw_signs ? 0u : row->sign_count; i-- > 0u;) {
                if (n == MOST_TAIL) return n;
                e->tail[n] = (uint16_t)(i & (lanes - 1u));
                e->tail_codes[n++] = e->codes[e->signs[row->signs + i]];
            }
            if (pass->raw_bits) continue;
            uint32_t last = row->groups * (uint32_t)GROUP - row->missing;
            for (uint32_t i = last; i-- > 0u;) {
                if (n == MOST_TAIL) return n;
                e->tail[n] = (uint16_t)(i & (lanes - 1u));
                e->tail_codes[n++] = e->codes[e->symbols[row->symbols + i]];
            }
        }
    }
    return n;
}

/* The states that encoding starts from. A decoder fills up a state below 2^15 as long as there are words; so where the
 * last word is read all the other lanes must be above that, but what they are in the end does not matter. Most lanes
 * can start from 1, which saves their two bytes; the others start from 2^15. */
static void first_states(const fl_encoder *e, uint32_t tail, uint32_t lanes, uint32_t *state) {
    uint32_t raised[MAX_LANES];
    for (uint32_t i = 0; i < lanes; i++) raised[i] = 1;
    for (uint32_t again = 1; again;) {
        uint32_t left = tail;
        for (uint32_t i = 0; i < lanes; i++) state[i] = raised[i];
        for (uint32_t i = 0; i < tail; i++, left--) {
            const symbol_code *code = &e->tail_codes[i];
            uint32_t *x = &state[e->tail[i]];
            if (*x >= code->limit) break;
            *x = fl_push(*x, code);
        }
        again = 0;
        if (left == 0 && tail < MOST_TAIL) break; /* all symbols, and not one word */
        for (uint32_t i = 0; i < lanes; i++)
            if (state[i] < STATE_LOW && raised[i] == 1u) raised[i] = again = STATE_LOW;
    }
    for (uint32_t i = 0; i < lanes; i++) state[i] = raised[i];
}

/* ---- raw bits ---------------------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t *out, *end;
    uint64_t window;
    uint32_t bits; /* in the window */
    int full;
} raw_writer;

static void put_raw(raw_writer *w, uint32_t bits, uint32_t n) {
    w->window |= (uint64_t)bits << w->bits;
    for (w->bits += n; w->bits >= 8u; w->bits -= 8u, w->window >>= 8) {
        if (w->out < w->end)
            *w->out++ = (uint8_t)w->window;
        else
            w->full = 1;
    }
}

static uint32_t top_bits(const uint8_t *symbols, uint32_t n) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < n; i++) bits |= (uint32_t)(symbols[i] >> 7) << i;
    return bits;
}

/* The raw bits of all passes: of each row the bits, then the signs. */
static uint8_t *put_all_raw(fl_encoder *e, uint32_t passes, uint8_t *out, uint8_t *end) {
    raw_writer w = {out, end, 0, 0, 0};
    for (uint32_t p = 0; p < passes; p++) {
        const coded_pass *pass = &e->passes[p];
        if (!pass->raw_bits && !pass->raw_signs) continue;
        for (uint32_t r = 0; r < pass->rows; r++) {
            const coded_row *row = &e->rows[pass->first_row + r];
            uint32_t last = pass->raw_bits ? row->groups * (uint32_t)GROUP - row->missing : 0u;
            for (uint32_t i = 0; i < last; i += GROUP) {
                uint32_t n = fl_min(GROUP, last - i);
                put_raw(&w, top_bits(e->symbols + row->symbols + i, n), n);
            }
            uint32_t signs = pass->raw_signs ? row->sign_count : 0u;
            for (uint32_t i = 0; i < signs; i += GROUP) {
                uint32_t n = fl_min(GROUP, signs - i);
                put_raw(&w, top_bits(e->signs + row->signs + i, n), n);
            }
        }
    }
    if (w.bits > 0) put_raw(&w, 0, 8u - w.bits);
    return w.full ? 0 : w.out;
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

static uint8_t *put_size(uint8_t *out, uint32_t value) {
    for (; value > 127u; value >>= 7) *out++ = (uint8_t)((value & 127u) | 128u);
    *out++ = (uint8_t)value;
    return out;
}

/* More lanes are faster, but cost half a byte each. */
static uint32_t lane_code(uint64_t cost) {
    uint64_t bytes = cost / (8 * COST_ONE);
    return bytes > 3000u ? 3u : bytes > 900u ? 2u : 1u;
}

static uint8_t *encode_static(fl_encoder *e, const fl_encode_ops *ops, uint32_t top, uint32_t low, uint8_t *out,
                              uint8_t *end) {
    fl_coder side;
    progress at = {0, 0, 0, 0};
    uint32_t passes = 0, raw_bits = 0, any = 0;
    fl_encoder_start(&side, e->side, e->side + sizeof e->side);
    for (uint32_t p = top; p-- > low;)
        for (uint32_t b = 0; b < 3u; b++) {
            coded_pass *pass = &e->passes[passes];
            symbol_counts counts;
            int refined = e->tile.bands[b].begun != 0;
            fl_write_flags(&side, &e->tile, b, p, e->reach[b]);
            if (!e->tile.bands[b].begun) continue;
            fl_fill(&counts, 0, sizeof counts);
            ops->take_symbols(e, b, p, &at, pass, &counts);
            choose(e, refined, &at, pass, &counts, &side);
            if (pass->raw_bits) raw_bits += pass->bit_count;
            if (pass->raw_signs) raw_bits += pass->sign_count;
            any |= !pass->raw_bits | !pass->raw_signs;
            passes++;
        }
    uint8_t *side_end = fl_encoder_finish(&side, e->side);
    uint32_t side_size = (uint32_t)(side_end - e->side), code = any ? lane_code(at.cost) : 0u;
    uint32_t lanes = code ? 4u << code : 0u, raw_size = (raw_bits + 7u) / 8u;

    if ((size_t)(end - out) < 8u + side_size + raw_size + 5u * lanes) return 0;
    out = put_size(out, side_size << 3 | (raw_size > 0 ? 4u : 0u) | code);
    if (raw_size > 0) out = put_size(out, raw_size);
    fl_copy(out, e->side, side_size);
    out = put_all_raw(e, passes, out + side_size, out + side_size + raw_size);
    if (!out || !code) return out;

    uint32_t state[MAX_LANES];
    first_states(e, list_tail(e, passes, lanes), lanes, state);
    uint8_t *words = ops->push_all(e, passes, lanes, state, out + 5u * lanes, end);
    if (!words) return 0;
    uint8_t *states = out;
    raw_writer w = {out, out + 5u * lanes, 0, 0, 0};
    for (uint32_t i = 0; i < lanes; i++) {
        uint32_t bits = bits_of(state[i]), longer = bits > 16u ? bits - 16u : 0u;
        put_raw(&w, longer, 4);
        put_raw(&w, longer ? state[i] ^ 1u << (bits - 1u) : state[i], longer ? bits - 1u : 16u);
    }
    if (w.bits > 0) put_raw(&w, 0, 8u - w.bits);
    out = w.out;
    if (words == end) {
        while (out > states && out[-1] == 0) out--;
        return out;
    }
    __builtin_memmove(out, words, (size_t)(end - words));
    return out + (end - words);
}

static uint8_t *encode_adaptive(fl_encoder *e, uint32_t top, uint32_t low, uint8_t *out, uint8_t *end) {
    fl_coder coder;
    fl_encoder_start(&coder, out, end);
    for (uint32_t p = top; p-- > low;)
        for (uint32_t b = 0; b < 3u; b++) {
            fl_write_flags(&coder, &e->tile, b, p, e->reach[b]);
            fl_write_plane(&coder, &e->tile, b, p, e->negative[b]);
        }
    out = fl_encoder_finish(&coder, out);
    return coder.full ? 0 : out;
}

static uint8_t *finish_segment(uint8_t *segment, uint8_t *out, uint32_t *size) {
    uint32_t crc = fl_crc16(segment, (size_t)(out - segment));
    *out++ = (uint8_t)crc;
    *out++ = (uint8_t)(crc >> 8);
    *size = (uint32_t)(out - segment);
    return out;
}

typedef struct {
    const fl_info *info;
    uint32_t component, level, planes;
    const int32_t *from[3];
    size_t stride;
    const fl_encode_ops *ops;
} input;

/* All layers one way; returns the end of the output, NULL if there is no space. */
static uint8_t *encode_layers(fl_encoder *e, const input *in, const fl_tile_shape *shape, uint32_t adaptive,
                              uint8_t *out, uint8_t *end, uint32_t *layer_size) {
    fl_tile_start(&e->tile, shape, 0);
    for (uint32_t b = 0; b < 3u; b++) in->ops->load_band(e, b, in->from[b], in->stride, in->planes);
    int begun = 0;
    for (uint32_t n = 0; n < in->info->level[in->level].layers; n++) {
        fl_plane_range range = fl_layer_planes(in->info, in->component, in->level, n);
        uint32_t top = fl_min(in->planes, range.top);
        layer_size[n] = 0;
        if (top <= range.low) continue;
        uint8_t *segment = out;
        if ((size_t)(end - out) < 1u + CHECK_BYTES) return 0;
        if (!begun) *out++ = (uint8_t)(in->planes | adaptive);
        begun = 1;
        out = adaptive ? encode_adaptive(e, top, range.low, out, end - CHECK_BYTES)
                       : encode_static(e, in->ops, top, range.low, out, end - CHECK_BYTES);
        if (!out) return 0;
        out = finish_segment(segment, out, &layer_size[n]);
    }
    return out;
}

/* Adaptive coding is several times slower to decode: only small tiles of small pictures are tried both ways, and unless
 * the picture is very small it has to save a sixty-fourth. */
enum { SMALL_TILE = 3 * 64 * 64, SMALL_PICTURE = 512 * 512, VERY_SMALL_PICTURE = 192 * 192 };

fl_status fl_wavelet_tile_encode_by(uint32_t path, const fl_info *info, uint32_t component, uint32_t level,
                                    uint32_t tile_x, uint32_t tile_y, const int32_t *plane, uint8_t *out,
                                    size_t capacity, uint32_t *layer_size, void *scratch) {
    fl_tile_shape shape;
    const fl_encode_ops *ops = fl_tile_ops_for(path) ? fl_tile_ops_for(path)->encode : 0;
    if (!ops || component >= info->components || !fl_shape_of(info, level, tile_x, tile_y, &shape)) return FL_INVALID;
    fl_encoder *e = scratch;
    const fl_level *at = &info->level[level];
    size_t stride = info->width, low_x = fl_low(at->width), low_y = fl_low(at->height);
    const int32_t *corner = plane + (size_t)shape.y.first * stride + shape.x.first;
    input in = {info,   component, level, 0, {corner + low_x, corner + low_y * stride, corner + low_y * stride + low_x},
                stride, ops};
    if (shape.is_base) {
        for (uint32_t y = 0; y < at->height; y++)
            for (uint32_t x = 0; x < at->width; x++) {
                const int32_t *from = plane + (size_t)y * stride + x;
                e->differences[y * at->width + x] = *from - fl_predict(from, x, y, (ptrdiff_t)stride);
            }
        in.from[2] = e->differences;
        in.stride = at->width;
    }
    fl_tile_start(&e->tile, &shape, 0);
    for (uint32_t b = 0; b < 3u; b++) {
        const band *own = &e->tile.bands[b];
        in.planes = fl_max(in.planes, bits_of(in.ops->reach(in.from[b], in.stride, own->width, own->height)));
    }
    if (in.planes > FL_MAX_PLANES) return FL_INVALID;

    start_costs(e);
    uint8_t *end = encode_layers(e, &in, &shape, shape.is_base ? ADAPTIVE : 0u, out, out + capacity, layer_size);
    if (!end) return FL_NO_SPACE;
    uint64_t samples = (uint64_t)info->width * info->height;
    if (!shape.is_base && shape.size <= SMALL_TILE && samples <= SMALL_PICTURE) {
        uint32_t sizes[FL_MAX_LAYERS];
        uint8_t *other = encode_layers(e, &in, &shape, ADAPTIVE, end, out + capacity, sizes);
        if (!other) return FL_NO_SPACE;
        ptrdiff_t least = samples <= VERY_SMALL_PICTURE ? 0 : (end - out) / 64;
        if (end - out - (other - end) > least) {
            __builtin_memmove(out, end, (size_t)(other - end));
            for (uint32_t n = 0; n < at->layers; n++) layer_size[n] = sizes[n];
        }
    }
    return FL_OK;
}

fl_status fl_wavelet_tile_encode(const fl_info *info, uint32_t component, uint32_t level, uint32_t tile_x,
                                 uint32_t tile_y, const int32_t *plane, uint8_t *out, size_t capacity,
                                 uint32_t *layer_size, void *scratch) {
    return fl_wavelet_tile_encode_by(FL_PATH_BEST, info, component, level, tile_x, tile_y, plane, out, capacity,
                                     layer_size, scratch);
}
#endif
