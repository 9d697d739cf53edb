/* Decoding of tiles (SPEC 3.5 to 3.7). */
#include "decode.h"

size_t fl_wavelet_decode_scratch(const fl_info *info) {
    return sizeof(fl_decoder) - (FL_MAX_COMPONENTS - info->components) * sizeof(fl_component);
}

/* ---- a row, symbol by symbol ------------------------------------------------------------------------------------- */

/* SPEC 3.5.2, with masks instead of branches. */
static inline uint32_t read_symbol(fl_rans_reader *r, uint32_t lane, uint32_t zero) {
    uint32_t x = r->state[lane], low = x & (PROBABILITY_ONE - 1u), scaled = zero * (x >> PROBABILITY_BITS);
    uint32_t bit = low >= zero, mask = 0u - bit;
    x = ((scaled + low) & ~mask) | ((x - scaled - zero) & mask);
    if (x < STATE_LOW && r->words < r->end) {
        x = x << 16 | r->words[0] | (uint32_t)r->words[1] << 8;
        r->words += 2;
    }
    r->state[lane] = x;
    return bit;
}

/* A bit of each column in `columns`. Lanes are those of the columns, or for signs counted from `count` on. */
FL_INLINE uint64_t read_columns(fl_rans_reader *r, const uint16_t *zero, const uint8_t *contexts, uint64_t columns,
                                uint32_t count, const int signs) {
    uint64_t result = 0;
    for (; columns; columns &= columns - 1u, count++) {
        const uint32_t x = (uint32_t)__builtin_ctzll(columns);
        const uint32_t context = signs ? BIT_CONTEXTS + (uint32_t)fl_sign_context[contexts[x]] : contexts[x];
        const uint32_t bit = read_symbol(r, (signs ? count : x) & (r->lanes - 1u), zero[context]);
        result |= (uint64_t)bit << x;
    }
    return result;
}

/* The next raw bits, one for each column in `columns`; zeros after the end. */
static uint64_t read_raw_columns(fl_rans_reader *r, uint64_t columns) {
    return fl_spread(fl_read_raw(r, (uint32_t)__builtin_popcountll(columns)), columns);
}

void fl_read_row(const band *own, uint32_t b, uint32_t y, const uint64_t *active, pass_part part,
                 const pass_choice *choice, fl_rans_reader *r, row_symbols *row) {
    const state_row *at = own->state + y;
    context_bits contexts[WORDS] = {{{0}}};
    uint8_t bytes[WORD];
    uint32_t count = 0;
    if (!choice->raw_bits || part == FIRST_PART) fl_contexts(own, b, y, contexts);
    for (uint32_t w = 0; w < WORDS; w++) {
        const uint64_t *bit = contexts[w].bit, some = bit[0] | bit[1] | bit[2] | bit[3];
        const uint64_t columns = fl_part_columns(own, y, w, active[w], part, some);
        row->bits[w] = 0;
        if (columns == 0) continue;
        if (choice->raw_bits) {
            row->bits[w] = read_raw_columns(r, columns);
            continue;
        }
        fl_bytes(bytes, contexts[w].bit, 1, 5);
        row->bits[w] = read_columns(r, choice->zero, bytes, columns, 0, 0);
    }
    for (uint32_t w = 0; w < WORDS; w++) {
        uint64_t fresh = row->bits[w] & ~at->one[w];
        row->minus[w] = 0;
        if (fresh == 0) continue;
        if (choice->raw_signs) {
            row->minus[w] = read_raw_columns(r, fresh);
            continue;
        }
        sign_bits around = fl_sign_bits(at, w);
        fl_bytes(bytes, around.bit, 1, 4);
        row->minus[w] = read_columns(r, choice->zero, bytes, fresh, count, 1);
        count += (uint32_t)__builtin_popcountll(fresh);
    }
}

/* A pass with adaptive models. */
static void read_adaptive(fl_coder *c, fl_component *k, uint32_t b, uint32_t plane, pass_part part,
                          const fl_tile_ops *ops) {
    band *own = &k->bands[b];
    for (uint32_t y = 0; own->begun && y < own->height; y++) {
        row_symbols row = {{0}, {0}};
        uint64_t columns[WORDS], any = 0;
        for (uint32_t w = 0; w < WORDS; w++) any |= columns[w] = fl_coded_columns(own, y / BLOCK_ROWS, w, plane);
        if (any)
            ops->adaptive_row(c, k, b, y, columns, part, &row);
        else if (part == FIRST_PART)
            fl_fill(&own->parts[y], 0, sizeof own->parts[y]);
        fl_set_row(own, y, plane, part, &row, WORDS);
    }
    if (own->begun && part == FIRST_PART) fl_end_first_part(own, plane);
}

/* ---- raw bits and lanes ------------------------------------------------------------------------------------------ */

uint64_t fl_read_raw(fl_rans_reader *r, uint32_t n) {
    /* The last bytes, with zeros behind them. */
    const uint32_t from = fl_min(r->raw_used >> 3, r->raw_size), left = fl_min(r->raw_size - from, 9);
    uint8_t last[9] = {0};
    fl_copy(last, r->raw + from, left);
    fl_rans_reader copy;
    copy.raw = last;
    copy.raw_size = sizeof last;
    copy.raw_used = r->raw_used & 7u;
    r->raw_used += n;
    return fl_take_raw(&copy, n);
}

/* What follows the range-coded part of a static layer: states of the lanes that are new, raw bits, words. */
static int start_reader(fl_rans_reader *r, uint32_t lanes, uint32_t raw_size, const uint8_t *data, const uint8_t *end,
                        int partial) {
    /* States: 4 bits tell the length, then come all bits but the leading 1. */
    uint64_t window = 0;
    uint32_t held = 0;
    for (uint32_t i = r->lanes; i < lanes; i++) {
        for (; held <= 56u && data < end; held += 8u) window |= (uint64_t)*data++ << held;
        const uint32_t longer = (uint32_t)window & 15u, bits = longer ? 15u + longer : 16u;
        const uint32_t rest = (uint32_t)(window >> 4) & ((1u << bits) - 1u);
        if (held < 4u + bits) return 0;
        r->state[i] = rest | (longer ? 1u << bits : 0u);
        window >>= 4u + bits;
        held -= 4u + bits;
    }
    data -= held / 8u;
    if (raw_size > (size_t)(end - data)) return 0;
    r->lanes = lanes;
    r->raw = data;
    r->raw_size = raw_size;
    r->raw_used = 0;
    r->words = data + raw_size;
    r->end = end;
    r->in_tail = 0;
    const ptrdiff_t odd = (end - r->words) % 2;
    if (partial) r->end -= odd;
    return partial || odd == 0;
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

/* Of a prefix, passes count as long as the coder has not come to its end: from there on it reads zeros. */
static void read_adaptive_layer(fl_coder *c, fl_tile *t, const fl_layer *layer, int partial, const fl_tile_ops *ops) {
    for (uint32_t i = 0; i < t->components; i++) {
        fl_component *k = &t->component[i];
        for (; k->passes < layer->end[i]; k->passes++) {
            const uint32_t b = pass_band(k->passes), plane = pass_plane(k, k->passes);
            if (!pass_is(k, k->passes)) continue;
            if (pass_opens(k, k->passes)) fl_read_flags(c, k, b, plane);
            read_adaptive(c, k, b, plane, pass_part_of(k, k->passes), ops);
            if (partial && c->in == c->end) return;
        }
    }
}

/* Whether a lane may have wanted a word where there was none. */
static int ran_short(const fl_rans_reader *r) {
    uint32_t low = 0;
    for (uint32_t i = 0; i < r->lanes; i++) low |= r->state[i] < STATE_LOW;
    return low && r->words == r->end;
}

/* 0: corrupt. Of a prefix, passes count as long as all that they need is there. */
static int read_static_layer(fl_decoder *d, fl_coder *c, const fl_layer *layer, int partial, const fl_tile_ops *ops) {
    fl_tile *t = &d->tile;
    uint32_t coded = 0, raw = 0;
    for (uint32_t i = 0; i < t->components; i++) {
        fl_component *k = &t->component[i];
        for (uint32_t s = k->passes; s < layer->end[i]; s++) {
            const uint32_t b = pass_band(s), plane = pass_plane(k, s);
            pass_choice *choice = &d->choices[i][s];
            choice->coded = 0;
            if (!pass_is(k, s)) continue;
            if (pass_opens(k, s)) fl_read_flags(c, k, b, plane);
            choice->coded = k->bands[b].begun != 0;
            if (!choice->coded) continue;
            fl_read_choice(c, k, pass_part_of(k, s) != FIRST_PART && k->bands[b].begun > plane + 1u, choice);
            coded |= !choice->raw_bits | !choice->raw_signs;
            raw |= choice->raw_bits | choice->raw_signs;
        }
    }
    const uint32_t lanes = lanes_of(layer->lanes), raw_size = raw ? fl_read_size(c) : 0u;
    if (partial && c->in == c->end) return 1;
    if (coded && lanes == 0) return 0;
    if (!start_reader(&d->reader, lanes, raw_size, c->in, c->end, partial)) return partial;
    for (uint32_t i = 0; i < t->components; i++) {
        fl_component *k = &t->component[i];
        for (; k->passes < layer->end[i]; k->passes++) {
            const pass_choice *choice = &d->choices[i][k->passes];
            const uint32_t b = pass_band(k->passes), plane = pass_plane(k, k->passes);
            if (!choice->coded) continue;
            ops->decode_pass(k, b, plane, pass_part_of(k, k->passes), choice, &d->reader);
            if (partial && ran_short(&d->reader)) return 1;
        }
    }
    return partial || d->reader.words == d->reader.end; /* no word may be left */
}

/* Coefficients that became significant in a first part whose second one is not there. */
static void add_first_part(const band *own, uint32_t plane, void *coefs, int wide) {
    const int32_t point = (1 << plane) + ((7 << plane) >> 4);
    for (uint32_t y = 0; y < own->height; y++)
        for (uint32_t w = 0; w < WORDS; w++)
            for (uint64_t left = own->magnitude[BANDS * plane].row[y][w] & own->parts[y].done[w]; left;
                 left &= left - 1u) {
                const uint32_t x = (uint32_t)__builtin_ctzll(left);
                const size_t at = (size_t)y * own->width + w * WORD + x;
                const int32_t value = own->parts[y].minus[w] >> x & 1u ? -point : point;
                if (wide)
                    ((int32_t *)coefs)[at] = value;
                else
                    ((int16_t *)coefs)[at] = (int16_t)value;
            }
}

static void finish(const fl_component *k, size_t size, void *coefs, int wide, const fl_tile_ops *ops) {
    const size_t each = wide ? sizeof(int32_t) : sizeof(int16_t);
    if (k->passes == 0) {
        fl_fill(coefs, 0, size * each);
        return;
    }
    uint8_t *to = coefs;
    for (uint32_t b = 0; b < BANDS; b++) {
        const band *own = &k->bands[b];
        const uint32_t low = k->planes - planes_before(b, k->passes);
        const size_t bytes = (size_t)own->width * own->height * each;
        if (own->begun > low)
            ops->finish(k, b, (fl_points){low, (7 << low) >> 4, (31 << low) >> 6}, to, wide);
        else
            fl_fill(to, 0, bytes);
        if (k->passes % PLACES > b && k->passes % PLACES <= BANDS + b && own->begun >= low && low > 0 &&
            k->split[low - 1u])
            add_first_part(own, low - 1u, to, wide);
        to += bytes;
    }
}

/* Bytes of a segment without its check, or UINT32_MAX if that is wrong. */
static uint32_t checked_size(const uint8_t *data, uint32_t size) {
    const uint32_t check = fl_check_size(size), payload = size - check;
    uint32_t crc = fl_crc32c(data, payload) ^ data[payload];
    if (check > 1u) crc ^= (uint32_t)data[payload + 1u] << 8;
    return crc & ((1u << (8u * check)) - 1u) ? UINT32_MAX : payload;
}

/* `partial`: the last of the layers is a prefix of its segment, so without a check. */
static fl_status read_layers(fl_decoder *d, const fl_tile_shape *shape, const uint8_t *const *layer_data,
                             const uint32_t *layer_size, uint32_t layers, uint32_t partial, const fl_tile_ops *ops) {
    fl_tile *t = &d->tile;
    fl_coder coder;
    int begun = 0;
    for (uint32_t n = 0; n < layers; n++) {
        if (layer_size[n] == 0) continue;
        const int cut = partial && n + 1u == layers;
        const uint32_t size = cut ? layer_size[n] : checked_size(layer_data[n], layer_size[n]);
        fl_layer layer = {0, 0, {0}};
        if (size == UINT32_MAX) return FL_CORRUPT;
        if (begun) {
            if (!fl_decoder_resume(&coder, layer_data[n], size)) return FL_CORRUPT;
        } else {
            fl_decoder_start(&coder, layer_data[n], size);
            const int sound = fl_read_planes(&coder, t);
            if (cut && coder.in == coder.end) {
                for (uint32_t i = 0; i < t->components; i++) t->component[i].planes = t->component[i].passes = 0;
                return FL_OK;
            }
            if (!sound) return FL_CORRUPT;
            for (uint32_t i = 0; i < t->components; i++)
                fl_component_start(&t->component[i], shape, t->component[i].planes);
        }
        begun = 1;
        if (shape->is_base) {
            uint32_t any = 0;
            for (uint32_t i = 0; i < t->components; i++) {
                layer.end[i] = (uint8_t)(PLACES * t->component[i].planes);
                any |= layer.end[i];
            }
            if (any == 0) return FL_CORRUPT;
        } else {
            const int sound = fl_read_layer(&coder, t, &layer);
            if (cut && coder.in == coder.end) return FL_OK;
            if (!sound) return FL_CORRUPT;
        }
        if (layer.is_static) {
            if (!read_static_layer(d, &coder, &layer, cut, ops)) return FL_CORRUPT;
        } else {
            read_adaptive_layer(&coder, t, &layer, cut, ops);
            if (!cut && coder.in != coder.end) return FL_CORRUPT;
        }
    }
    return FL_OK;
}

/* Add its prediction to each difference. */
static int add_predictions(int32_t *coefs, uint32_t width, uint32_t height) {
    const int32_t limit = 1 << FL_MAX_PLANES;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            int32_t *at = coefs + (size_t)y * width + x;
            *at += fl_predict(at, x, y, (ptrdiff_t)width); /* both below 2^22 + 2^23 */
            if (*at > limit || *at < -limit) return 0;
        }
    return 1;
}

fl_status fl_wavelet_tile_decode_by(uint32_t path, const fl_info *info, uint32_t level, uint32_t tile_x,
                                    uint32_t tile_y, const uint8_t *const *layer_data, const uint32_t *layer_size,
                                    uint32_t layers, uint32_t partial, void *coefs, uint32_t *wide, void *scratch) {
    fl_tile_shape shape;
    fl_decoder *d = scratch;
    const fl_tile_ops *ops = fl_tile_ops_for(path);
    if (!ops || !fl_shape_of(info, level, tile_x, tile_y, &shape)) return FL_INVALID;
    if (layers > info->level[level].layers || (partial && (layers == 0 || shape.is_base))) return FL_INVALID;
    fl_tile_start(&d->tile, info->components);
    fl_fill(&d->reader, 0, offsetof(fl_rans_reader, tail));
    fl_status status = read_layers(d, &shape, layer_data, layer_size, layers, partial, ops);
    if (status != FL_OK) return status;

    uint32_t planes = 0;
    for (uint32_t i = 0; i < info->components; i++) planes = fl_max(planes, d->tile.component[i].planes);
    *wide = shape.is_base || planes > 15u;
    for (uint32_t i = 0; i < info->components; i++) {
        uint8_t *to = (uint8_t *)coefs + i * shape.size * (*wide ? sizeof(int32_t) : sizeof(int16_t));
        finish(&d->tile.component[i], shape.size, to, *wide != 0, ops);
        if (shape.is_base && !add_predictions((int32_t *)(void *)to, shape.x.low, shape.y.low)) return FL_CORRUPT;
    }
    return FL_OK;
}

fl_status fl_wavelet_tile_decode(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y,
                                 const uint8_t *const *layer_data, const uint32_t *layer_size, uint32_t layers,
                                 uint32_t partial, void *coefs, uint32_t *wide, void *scratch) {
    return fl_wavelet_tile_decode_by(FL_PATH_BEST, info, level, tile_x, tile_y, layer_data, layer_size, layers, partial,
                                     coefs, wide, scratch);
}
