/* Decoding of tiles (SPEC 3.5 to 3.8). */
#include "tile.h"

/* LEB128 below 2^28 (SPEC 1.2): sizes of parts of a segment. Returns 0 when it is none. */
static int read_size(const uint8_t **data, const uint8_t *end, uint32_t *value) {
    *value = 0;
    for (uint32_t shift = 0; shift < 28u && *data < end; shift += 7u) {
        uint32_t byte = *(*data)++;
        *value |= (byte & 127u) << shift;
        if (byte < 128u) return byte != 0 || shift == 0;
    }
    return 0;
}

/* Planes top - 1 down to low with the range coder alone. */
static void decode_adaptive(fl_tile *t, uint32_t top, uint32_t low, const uint8_t *data, const uint8_t *end) {
    fl_coder coder;
    fl_decoder_start(&coder, data, (size_t)(end - data));
    for (uint32_t p = top; p-- > low;)
        for (uint32_t b = 0; b < 3u; b++) {
            fl_read_flags(&coder, t, b, p);
            fl_read_plane(&coder, t, b, p);
        }
}

/* Set up the lanes: their states are at `data`, the words behind. */
static int start_reader(fl_rans_reader *r, uint32_t code, const uint8_t *raw, const uint8_t *data, const uint8_t *end) {
    r->lanes = code ? 4u << code : 0u;
    r->raw = raw;
    r->raw_end = data;
    r->raw_bits_used = 0;
    r->in_tail = 0;
    for (uint32_t i = 0; i < MAX_LANES; i++) r->state[i] = 0;
    /* States: 4 bits tell the length, then come all bits but the leading 1. Bytes after the end are 0. */
    uint64_t window = 0;
    uint32_t held = 0, used = 0;
    const uint8_t *start = data;
    for (uint32_t i = 0; i < r->lanes; i++) {
        for (; held <= 56u && data < end; held += 8u) window |= (uint64_t)*data++ << held;
        uint32_t longer = (uint32_t)window & 15u, bits = longer ? 15u + longer : 16u;
        uint32_t rest = (uint32_t)(window >> 4) & ((1u << bits) - 1u);
        r->state[i] = rest | (longer ? 1u << bits : 0u);
        window >>= 4u + bits;
        held -= fl_min(held, 4u + bits);
        used += 4u + bits;
    }
    data = (size_t)(end - start) < (used + 7u) / 8u ? end : start + (used + 7u) / 8u;
    r->words = data;
    r->end = end;
    return r->lanes ? (end - data) % 2 == 0 : data == end;
}

static int decode_static(fl_tile *t, const fl_tile_ops *ops, uint32_t top, uint32_t low, const uint8_t *data,
                         const uint8_t *end) {
    uint32_t head, raw = 0;
    if (!read_size(&data, end, &head)) return 0;
    if ((head & 4u) && !read_size(&data, end, &raw)) return 0;
    uint32_t side = head >> 3;
    if (side > (size_t)(end - data) || raw > (size_t)(end - data) - side) return 0;

    fl_coder coder;
    uint32_t any = 0;
    fl_decoder_start(&coder, data, side);
    for (uint32_t p = top; p-- > low;)
        for (uint32_t b = 0; b < 3u; b++) {
            plane_choice *choice = &t->choices[p][b];
            int refined = t->bands[b].begun != 0;
            fl_read_flags(&coder, t, b, p);
            choice->coded = t->bands[b].begun != 0;
            if (!choice->coded) continue;
            fl_read_choice(&coder, t, refined, choice);
            any |= !choice->raw_bits | !choice->raw_signs;
        }
    fl_rans_reader reader;
    if (!start_reader(&reader, head & 3u, data + side, data + side + raw, end)) return 0;
    if (any && reader.lanes == 0) return 0;
    if (reader.lanes == 0) reader.lanes = 8;
    for (uint32_t p = top; p-- > low;)
        for (uint32_t b = 0; b < 3u; b++)
            if (t->choices[p][b].coded) ops->decode_plane(t, b, p, &t->choices[p][b], &reader);
    return 1;
}

static fl_status decode(const fl_info *info, uint32_t component, uint32_t level, const fl_tile_shape *shape,
                        const uint8_t *const *layer_data, const uint32_t *layer_size, uint32_t layers, int32_t *coefs,
                        fl_tile *t, const fl_tile_ops *ops) {
    uint32_t planes = 0, lowest = 0, adaptive = 0;
    for (uint32_t n = 0; n < layers; n++) {
        const uint8_t *data = layer_data[n];
        uint32_t size = layer_size[n];
        fl_plane_range range = fl_layer_planes(info, component, level, n);
        uint32_t low = range.low, top = planes > 0 ? fl_min(range.top, planes) : range.top;
        lowest = low;
        if (size == 0) {
            if (planes > 0 && top > low) return FL_CORRUPT; /* planes are due here */
            continue;
        }
        if (size < CHECK_BYTES || top <= low) return FL_CORRUPT;
        size -= CHECK_BYTES;
        if (fl_crc16(data, size) != ((uint32_t)data[size] | (uint32_t)data[size + 1u] << 8)) return FL_CORRUPT;
        const uint8_t *end = data + size;
        if (planes == 0) { /* the first segment with anything in it tells how many planes there are */
            if (size == 0) return FL_CORRUPT;
            adaptive = *data & ADAPTIVE;
            planes = top = *data++ & ~(uint32_t)ADAPTIVE;
            if (planes <= low || planes > range.top || (shape->is_base && !adaptive)) return FL_CORRUPT;
            fl_tile_start(t, shape, planes);
        }
        if (adaptive)
            decode_adaptive(t, top, low, data, end);
        else if (!decode_static(t, ops, top, low, data, end))
            return FL_CORRUPT;
    }
    if (planes == 0) {
        fl_fill(coefs, 0, shape->size * sizeof *coefs);
        return FL_OK;
    }
    for (uint32_t b = 0; b < 3u; b++) {
        ops->finish(t, b, (int32_t)((1u << lowest) >> 1), coefs);
        coefs += (size_t)t->bands[b].width * t->bands[b].height;
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

fl_status fl_wavelet_tile_decode_by(uint32_t path, const fl_info *info, uint32_t component, uint32_t level,
                                    uint32_t tile_x, uint32_t tile_y, const uint8_t *const *layer_data,
                                    const uint32_t *layer_size, uint32_t layers, int32_t *coefs, void *scratch) {
    fl_tile_shape shape;
    const fl_tile_ops *ops = fl_tile_ops_for(path);
    if (!ops || component >= info->components || !fl_shape_of(info, level, tile_x, tile_y, &shape)) return FL_INVALID;
    if (layers > info->level[level].layers) return FL_INVALID;
    fl_status status = decode(info, component, level, &shape, layer_data, layer_size, layers, coefs, scratch, ops);
    if (status == FL_OK && shape.is_base && !add_predictions(coefs, shape.x.low, shape.y.low)) return FL_CORRUPT;
    return status;
}

fl_status fl_wavelet_tile_decode(const fl_info *info, uint32_t component, uint32_t level, uint32_t tile_x,
                                 uint32_t tile_y, const uint8_t *const *layer_data, const uint32_t *layer_size,
                                 uint32_t layers, int32_t *coefs, void *scratch) {
    return fl_wavelet_tile_decode_by(FL_PATH_BEST, info, component, level, tile_x, tile_y, layer_data, layer_size,
                                     layers, coefs, scratch);
}
