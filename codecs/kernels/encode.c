/* Encoding of tiles (SPEC 3.5 to 3.8): passes are turned into symbols, shared out to layers, and the layers written:
 * what the range coder writes forwards, the rANS words backwards. */
#include "encode.h"

/* WebAssembly decodes only. */
#if !defined(__wasm__)

size_t fl_wavelet_encode_scratch(const fl_info *info) {
    (void)info;
    return sizeof(fl_encoder);
}

/* ---- layers as they will be written ------------------------------------------------------------------------------ */

/* More lanes are faster, but a reader of the first layers pays for their states early: about 27 bits each. */
static uint32_t lanes_code(uint64_t cost) {
    uint64_t bytes = cost / (8 * COST_ONE);
    return bytes > 4000u ? 4u : bytes > 1500u ? 3u : bytes > 500u ? 2u : 1u;
}

/* What the layers begin with: which are static, and with how many lanes. */
static void plan_layers(const fl_encoder *e, tile_layers *t) {
    uint32_t is_static = 0, lanes = 0;
    for (uint32_t n = 0; n < t->count; n++) {
        written_layer *layer = &t->layer[n];
        uint64_t cost = 0;
        uint32_t passes = 0, any = 0;
        *layer = (written_layer){.lanes_before = lanes_of(lanes)};
        for (uint32_t c = 0; c < e->tile.components; c++) {
            const coded_component *k = &e->component[c];
            uint32_t first = t->passes[n][c], end = t->passes[n + 1u][c];
            layer->head.end[c] = (uint8_t)end;
            passes += end - first;
            is_static |= end > first && end > k->tried;
            for (uint32_t s = first; s < end; s++) {
                const pass_choice *choice = &k->pass[s].choice;
                if (!choice->coded) continue;
                layer->any_raw |= choice->raw_bits | choice->raw_signs;
                layer->raw_bits += choice->raw_bits ? k->pass[s].bit_count : 0u;
                layer->raw_bits += choice->raw_signs ? k->pass[s].sign_count : 0u;
                any |= !choice->raw_bits | !choice->raw_signs;
                cost += k->pass[s].static_cost;
            }
        }
        layer->is_empty = passes == 0;
        layer->head.is_static = (uint8_t)is_static;
        if (is_static && any) lanes = fl_max(lanes, lanes_code(cost));
        layer->head.lanes = (uint8_t)lanes;
        layer->lanes = lanes_of(lanes);
        if (!is_static) layer->any_raw = layer->raw_bits = 0;
    }
}

/* ---- the range coder's part -------------------------------------------------------------------------------------- */

static void write_pass(fl_coder *c, fl_encoder *e, uint32_t component, uint32_t s, int is_static) {
    fl_component *k = &e->tile.component[component];
    coded_pass *pass = &e->component[component].pass[s];
    const uint32_t b = pass_band(s);
    if (!pass_is(k, s)) return;
    if (pass_opens(k, s)) fl_write_flags(c, k, b, pass_plane(k, s), e->component[component].reach[b] + FIRST_BLOCK);
    if (!pass->choice.coded) return;
    if (is_static)
        fl_write_choice(c, k, pass->has_refinement, &pass->choice, pass->tables);
    else
        fl_write_symbols(c, e, &k->bands[b], pass_part_of(k, s), pass, k->models.symbol[b]);
}

/* The tile's sequence. Adaptive layers, which are nothing but a piece of it, have as little of it as they can. */
static void write_sequence(fl_encoder *e, tile_layers *t) {
    fl_coder coder;
    fl_mark mark[FL_MAX_LAYERS];
    uint32_t begun = 0;
    size_t most = 0, end = 0;
    fl_encoder_start(&coder, e->sequence, e->sequence + sizeof e->sequence);
    for (uint32_t n = 0; n < t->count; n++) {
        written_layer *layer = &t->layer[n];
        if (layer->is_empty) continue;
        if (!begun) fl_write_planes(&coder, &e->tile);
        begun = 1;
        if (!t->is_base) fl_write_layer(&coder, &e->tile, &layer->head);
        for (uint32_t c = 0; c < e->tile.components; c++)
            for (uint32_t s = t->passes[n][c]; s < t->passes[n + 1u][c]; s++) {
                write_pass(&coder, e, c, s, layer->head.is_static);
                e->tile.component[c].passes++;
            }
        if (layer->any_raw) fl_write_size(&coder, (layer->raw_bits + 7u) / 8u);
        mark[n] = fl_encoder_mark(&coder, e->sequence);
        most = mark[n].position;
    }
    uint8_t *last = fl_encoder_finish(&coder, e->sequence);
    while (last < e->sequence + most) *last++ = 0;
    for (uint32_t n = 0; n < t->count; n++) {
        written_layer *layer = &t->layer[n];
        const size_t own = layer->is_empty         ? 0
                           : layer->head.is_static ? mark[n].position
                                                   : fl_piece_end(mark[n], e->sequence);
        layer->sequence_end = (uint32_t)(end = end > own ? end : own);
    }
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

static uint8_t *put_states(uint8_t *out, const uint32_t *state, uint32_t lanes) {
    raw_writer w = {out, 0, 0};
    for (uint32_t i = 0; i < lanes; i++) {
        uint32_t bits = fl_bits_of(state[i]), longer = bits > 16u ? bits - 16u : 0u;
        fl_put_raw(&w, longer, 4);
        fl_put_raw(&w, longer ? state[i] ^ 1u << (bits - 1u) : state[i], longer ? bits - 1u : 16u);
    }
    return fl_end_raw(&w);
}

/* Layer n's segment at t->out, where words further on may have to be kept. Returns its size, 0 if there is no space. */
static uint32_t put_segment(const fl_encoder *e, const fl_encode_ops *ops, tile_layers *t, uint32_t n,
                            const uint32_t *state) {
    const written_layer *layer = &t->layer[n];
    const uint8_t *a = e->sequence + (n > 0 ? t->layer[n - 1u].sequence_end : 0u);
    const uint8_t *a_end = e->sequence + layer->sequence_end;
    const uint32_t joining = layer->lanes - layer->lanes_before, raw = (layer->raw_bits + 7u) / 8u;
    uint8_t *segment = t->out, *out = segment;
    const size_t most = (size_t)(a_end - a) + 5u * joining + raw;
    if ((size_t)(layer->words - out) < most) return 0;
    fl_copy(out, a, (size_t)(a_end - a));
    out = put_states(out + (a_end - a), state + layer->lanes_before, joining);
    if (raw > 0) {
        raw_writer w = {out, 0, 0};
        for (uint32_t c = 0; c < e->tile.components; c++)
            if (t->passes[n + 1u][c] > t->passes[n][c]) ops->put_raw(e, c, t->passes[n][c], t->passes[n + 1u][c], &w);
        out = fl_end_raw(&w);
    }
    __builtin_memmove(out, layer->words, (size_t)(layer->words_end - layer->words));
    out += layer->words_end - layer->words;
    const uint32_t payload = (uint32_t)(out - segment), check = fl_check_size(payload + 1u);
    if ((size_t)(layer->words_end - out) < check) return 0;
    const uint32_t crc = fl_crc32c(segment, payload);
    for (uint32_t i = 0; i < check; i++) *out++ = (uint8_t)(crc >> (8u * i));
    t->out = out;
    return payload + check;
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const fl_info *info;
    const fl_level *at;
    uint32_t level;
    fl_tile_shape shape;
    const int32_t *from[FL_MAX_COMPONENTS][BANDS];
    size_t stride;
} input;

static void start_input(fl_encoder *e, input *in, const int32_t *planes) {
    const size_t stride = in->info->width, plane = stride * in->info->height;
    const size_t low_x = fl_low(in->at->width), low_y = fl_low(in->at->height) * stride;
    for (uint32_t c = 0; c < in->info->components; c++) {
        const int32_t *own = planes + c * plane, *corner = own + (size_t)in->shape.y.first * stride + in->shape.x.first;
        in->from[c][0] = corner + low_x;
        in->from[c][1] = corner + low_y;
        in->from[c][2] = corner + low_y + low_x;
        if (!in->shape.is_base) continue;
        int32_t *differences = e->differences[c];
        for (uint32_t y = 0; y < in->at->height; y++)
            for (uint32_t x = 0; x < in->at->width; x++) {
                const int32_t *at = own + (size_t)y * stride + x;
                differences[y * in->at->width + x] = *at - fl_predict(at, x, y, (ptrdiff_t)stride);
            }
        in->from[c][2] = differences;
        in->stride = in->at->width;
    }
}

/* Decoding an adaptive symbol takes some five times as long as one of many lanes. So only the first passes of a tile
 * are adaptive, where tables, and lanes' states that are paid for in advance, would cost more than they save: as many
 * symbols as this part of its coefficients. Of level 0 low rates need little, the less the smaller the picture is. */
enum { FINEST_PART = 1, FINEST_PART_OF_SMALL = 48, COARSER_PART = 1 };
/* Only small tiles of small pictures are wholly adaptive, if that saves anything; and unless the picture is very small
 * it has to save a twentieth. */
enum { SMALL_TILE = 3 * 64 * 64, SMALL_PICTURE = 512 * 512, VERY_SMALL_PICTURE = 192 * 192, LARGE_PICTURE = 1 << 19 };

static uint64_t samples_of(const input *in) { return (uint64_t)in->info->width * in->info->height; }

static int may_be_adaptive(const input *in) {
    return in->shape.is_base || (in->shape.size <= SMALL_TILE && samples_of(in) <= SMALL_PICTURE);
}

static uint32_t most_adaptive(const input *in) {
    if (in->level > 0) return in->shape.size / COARSER_PART;
    return in->shape.size / (samples_of(in) < LARGE_PICTURE ? FINEST_PART_OF_SMALL : FINEST_PART);
}

/* Symbols of each component that may be adaptive are known to the last: all of them, or only the first ones? */
static void choose_adaptive(fl_encoder *e, const input *in) {
    uint64_t adaptive = 0, fixed = 0;
    int all = may_be_adaptive(in);
    for (uint32_t c = 0; c < e->tile.components; c++) {
        const coded_component *k = &e->component[c];
        all &= k->tried == k->passes;
        for (uint32_t s = 0; s < k->tried; s++) {
            adaptive += k->pass[s].adaptive_cost;
            fixed += k->pass[s].static_cost;
        }
    }
    if (in->shape.is_base) return;
    if (samples_of(in) > VERY_SMALL_PICTURE) adaptive += fixed / 20u;
    if (all && adaptive < fixed) return;
    for (uint32_t c = 0; c < e->tile.components; c++) {
        coded_component *k = &e->component[c];
        uint32_t symbols = 0, most = most_adaptive(in), tried = k->tried;
        for (k->tried = 0; k->tried < tried; k->tried++) {
            symbols += k->pass[k->tried].bit_count + k->pass[k->tried].sign_count;
            if (symbols > most) break;
        }
    }
}

/* Magnitudes, symbols and costs of all components. Returns 0 if there is a coefficient of too many bits. */
static int take_tile(fl_encoder *e, const fl_encode_ops *ops, const input *in, const fl_layering *layering,
                     uint32_t level) {
    const uint32_t most = may_be_adaptive(in) ? MOST_ADAPTIVE : most_adaptive(in);
    fl_tile_start(&e->tile, in->info->components);
    fl_start_costs(&e->costs);
    e->symbol_count = e->sign_count = 0;
    for (uint32_t c = 0; c < in->info->components; c++) {
        fl_component *k = &e->tile.component[c];
        uint32_t planes = 0;
        fl_component_start(k, &in->shape, 0);
        for (uint32_t b = 0; b < BANDS; b++) {
            uint32_t *most = &e->component[c].most[b];
            *most = ops->reach(in->from[c][b], in->stride, k->bands[b].width, k->bands[b].height);
            planes = fl_max(planes, fl_bits_of(*most));
        }
        if (planes > FL_MAX_PLANES) return 0;
        k->planes = planes;
        e->words = fl_max(k->bands[1].width, k->bands[2].width) > WORD ? 2u : 1u;
        for (uint32_t b = 0; b < BANDS && planes > 0; b++)
            ops->load_band(e, k, b, e->component[c].reach[b], in->from[c][b], in->stride);
        if (!in->shape.is_base) fl_split_planes(k, layering, level, in->at->layers, c);
        fl_take_component(e, ops, c, most);
    }
    choose_adaptive(e, in);
    return 1;
}

fl_status fl_wavelet_tile_encode_by(uint32_t path, const fl_info *info, const fl_layering *layering, uint32_t level,
                                    uint32_t tile_x, uint32_t tile_y, const int32_t *planes, uint8_t *out,
                                    size_t capacity, uint32_t *layer_size, fl_tile_report *report, void *scratch) {
    fl_encoder *e = scratch;
    input in = {.info = info, .at = &info->level[level], .level = level, .stride = info->width};
    const fl_encode_ops *ops = fl_tile_ops_for(path) ? fl_tile_ops_for(path)->encode : 0;
    if (!ops || !fl_shape_of(info, level, tile_x, tile_y, &in.shape)) return FL_INVALID;
    start_input(e, &in, planes);
    if (!take_tile(e, ops, &in, layering, level)) return FL_INVALID;

    tile_layers t = {.count = in.at->layers, .is_base = in.shape.is_base, .out = out, .end = out + capacity};
    uint32_t state[MAX_LANES];
    if (t.is_base) {
        for (uint32_t c = 0; c < info->components; c++) t.passes[1][c] = (uint8_t)e->component[c].passes;
        fl_fill(report, 0, sizeof *report);
        fl_fill(report->cut[0], FL_MAX_PLANES, sizeof report->cut[0]);
    } else {
        fl_share_out(e, layering, level, t.count, t.passes);
        fl_report(e, layering, level, t.count, t.passes, report);
    }
    plan_layers(e, &t);
    write_sequence(e, &t);
    if (!fl_push_words(e, ops, &t, state)) return FL_NO_SPACE;
    for (uint32_t n = 0; n < t.count; n++) {
        layer_size[n] = t.layer[n].is_empty ? 0u : put_segment(e, ops, &t, n, state);
        if (layer_size[n] == 0 && !t.layer[n].is_empty) return FL_NO_SPACE;
    }
    return FL_OK;
}

fl_status fl_wavelet_tile_encode(const fl_info *info, const fl_layering *layering, uint32_t level, uint32_t tile_x,
                                 uint32_t tile_y, const int32_t *planes, uint8_t *out, size_t capacity,
                                 uint32_t *layer_size, fl_tile_report *report, void *scratch) {
    return fl_wavelet_tile_encode_by(FL_PATH_BEST, info, layering, level, tile_x, tile_y, planes, out, capacity,
                                     layer_size, report, scratch);
}
#endif
