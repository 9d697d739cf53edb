/* Shard heads: geometry, error table, codec parameters, segment lengths (SPEC 2). */
#include "transform.h"

enum { HEAD_SIZE_AT = 8, LEVEL_TABLE_AT = 26, CHECKSUM_BYTES = 4 };
/* A head has at least a byte a segment; more than this is no head that an encoder writes, and no number that a reader
 * should fetch on trust. */
#define MAX_HEAD (16u << 20)
static const uint8_t MAGIC[4] = {'F', 'L', 'S', 'H'};

uint32_t fl_info_size(void) { return (uint32_t)sizeof(fl_info); }

/* ---- geometry -------------------------------------------------------------------------------------------------- */

static fl_status check_samples(const fl_info *info) {
    if (info->codec != FL_CODEC_WAVELET) return FL_UNSUPPORTED;
    if (info->width < 1 || info->width > FL_MAX_SIDE || info->height < 1 || info->height > FL_MAX_SIDE)
        return FL_INVALID;
    if (info->components < 1 || info->components > FL_MAX_COMPONENTS) return FL_INVALID;
    if (info->bits < 1 || info->bits > 16 || info->is_signed > 1) return FL_INVALID;
    if (info->colour > FL_COLOUR_YCOCG_R || info->transform > FL_TRANSFORM_HAAR) return FL_INVALID;
    if (info->colour != FL_COLOUR_NONE && info->components < 3) return FL_INVALID;
    if (info->values == 1 || info->values > 1u << info->bits) return FL_INVALID;
    return FL_OK;
}

/* Derived fields, from width, height, components, levels and each level's tile_log2 and layers. */
static fl_status fill_geometry(fl_info *info) {
    uint64_t tiles = 0, segments = 0;
    for (uint32_t k = info->levels + 1u; k-- > 0;) {
        fl_level *level = &info->level[k];
        level->width = fl_ceil_shift(info->width, k);
        level->height = fl_ceil_shift(info->height, k);
        level->tiles_x = fl_ceil_shift(level->width, level->tile_log2);
        level->tiles_y = fl_ceil_shift(level->height, level->tile_log2);
        level->first_tile = (uint32_t)tiles;
        level->first_segment = (uint32_t)segments;
        tiles += (uint64_t)level->tiles_x * level->tiles_y;
        segments = segments + (uint64_t)level->tiles_x * level->tiles_y * level->layers * info->components;
        /* So that the 32-bit casts above hold: at most 2^15 x 2^15 tiles of one level are added to this. */
        if (segments > MAX_HEAD) return FL_INVALID;
    }
    info->tiles = (uint32_t)tiles;
    info->segments = (uint32_t)segments;
    return FL_OK;
}

fl_status fl_head_plan(fl_info *info) {
    fl_status status = check_samples(info);
    if (status != FL_OK) return status;
    info->version = FL_FORMAT_VERSION;
    info->margin = fl_margin(info->transform);
    info->levels = 0;
    while (fl_ceil_shift(fl_max(info->width, info->height), info->levels) > (1u << FL_BASE_LOG2)) info->levels++;
    for (uint32_t k = 0; k <= info->levels; k++) {
        /* 128, 64, 32, 32 ... coefficients a band: a tile covers 256 samples of level 0 down to level 2. */
        info->level[k].tile_log2 = k == info->levels ? FL_BASE_LOG2 : FL_MAX_TILE_LOG2 - fl_min(k, 2u);
        info->level[k].layers = k == info->levels ? 1u : 3u;
    }
    return fill_geometry(info);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* State of the reader: bytes [at, end) are not read yet; end <= size of the caller's buffer. */
typedef struct {
    const uint8_t *data;
    size_t at, end;
    int bad;
} reader;

static uint32_t read_byte(reader *r) {
    if (r->at >= r->end) {
        r->bad = 1;
        return 0;
    }
    return r->data[r->at++];
}

/* LEB128, at most 32 bits, no padding (SPEC 1.2). */
static uint32_t read_varint(reader *r) {
    uint32_t value = 0;
    for (uint32_t shift = 0; shift < 35u; shift += 7u) {
        uint32_t byte = read_byte(r);
        if (shift == 28u && byte > 15u) break;
        value |= (byte & 127u) << shift;
        if (byte < 128u) {
            if (byte == 0 && shift > 0) break;
            return value;
        }
    }
    r->bad = 1;
    return 0;
}

static fl_status read_wavelet_parameters(fl_info *info, reader *r) {
    if (read_varint(r) != (info->levels > 0 ? info->components * info->levels * info->level[0].layers : 0u)) r->bad = 1;
    for (uint32_t c = 0; c < info->components; c++)
        for (uint32_t k = 0; k < info->levels; k++)
            for (uint32_t n = 0; n < info->level[k].layers; n++) {
                uint32_t cut = read_byte(r), above = n > 0 ? info->cut[c][k][n - 1u] : FL_MAX_PLANES;
                int last = n + 1u == info->level[k].layers;
                if (cut > above || (last && cut > 0)) r->bad = 1;
                info->cut[c][k][n] = cut;
            }
    return r->bad ? FL_CORRUPT : FL_OK;
}

/* The value table (SPEC 3.9): the first value, then runs of values the same gap apart. Fills values[], if not NULL. */
static fl_status read_values(fl_info *info, reader *r, uint16_t *values) {
    uint32_t runs = read_varint(r), most = (1u << info->bits) - 1u, count = 1;
    info->values = 0;
    if (runs == 0) return r->bad ? FL_CORRUPT : FL_OK;
    uint32_t value = read_varint(r), least = info->is_signed ? 1u << (info->bits - 1u) : 0u;
    if (value > most) return FL_CORRUPT;
    if (values) *values++ = (uint16_t)(value - least);
    for (uint32_t i = 0; i < runs; i++) {
        uint32_t gap = read_varint(r), length = read_varint(r);
        if (r->bad || gap < 1 || length < 1 || (uint64_t)gap * length > most - value) return FL_CORRUPT;
        count += length;
        while (length-- > 0) {
            value += gap;
            if (values) *values++ = (uint16_t)(value - least);
        }
    }
    info->values = count;
    return FL_OK;
}

fl_status fl_head_values(const uint8_t *data, size_t size, const fl_info *info, uint16_t *values) {
    if (size < info->head_size) return FL_INSUFFICIENT;
    fl_info again = *info;
    reader r = {data, info->values_offset, info->head_size - CHECKSUM_BYTES, 0};
    return read_values(&again, &r, values);
}

/* Rules of the wavelet codec on the level table (SPEC 3.2). */
static int levels_are_wavelet(const fl_info *info) {
    const fl_level *base = &info->level[info->levels];
    if (info->levels > FL_MAX_LEVELS - 1u) return 0;
    if (base->layers != 1 || base->tile_log2 != FL_BASE_LOG2) return 0;
    if (fl_ceil_shift(fl_max(info->width, info->height), info->levels) > (1u << FL_BASE_LOG2)) return 0;
    for (uint32_t k = 0; k < info->levels; k++) {
        const fl_level *level = &info->level[k];
        if (level->layers != info->level[0].layers || level->tile_log2 < 1 || level->tile_log2 > FL_MAX_TILE_LOG2)
            return 0;
    }
    return info->margin >= fl_margin(info->transform);
}

fl_status fl_head_parse(const uint8_t *data, size_t size, fl_info *info) {
    fl_fill(info, 0, sizeof *info);
    for (size_t i = 0; i < sizeof MAGIC && i < size; i++)
        if (data[i] != MAGIC[i]) return FL_CORRUPT;
    if (size > 4 && data[4] != FL_FORMAT_VERSION) return FL_UNSUPPORTED;
    if (size > 5 && data[5] != FL_CODEC_WAVELET) return FL_UNSUPPORTED;
    if (size < HEAD_SIZE_AT + 4) return FL_INSUFFICIENT;
    uint32_t head_size = fl_read32(data + HEAD_SIZE_AT);
    if (data[6] != 0 || data[7] != 0 || head_size < LEVEL_TABLE_AT + CHECKSUM_BYTES || head_size > MAX_HEAD)
        return FL_CORRUPT;
    info->head_size = head_size;
    if (size < head_size) return FL_INSUFFICIENT;
    if (fl_crc32c(data, head_size - CHECKSUM_BYTES) != fl_read32(data + head_size - CHECKSUM_BYTES)) return FL_CORRUPT;

    info->version = data[4];
    info->codec = data[5];
    info->width = fl_read32(data + 12);
    info->height = fl_read32(data + 16);
    info->components = data[20];
    info->bits = data[21] & 127u;
    info->is_signed = data[21] >> 7;
    info->colour = data[22];
    info->levels = data[23];
    info->margin = data[24];
    info->transform = data[25];
    if (check_samples(info) != FL_OK || info->levels > FL_MAX_LEVELS) return FL_CORRUPT;

    reader r = {data, LEVEL_TABLE_AT, head_size - CHECKSUM_BYTES, 0};
    for (uint32_t k = info->levels + 1u; k-- > 0;) {
        info->level[k].tile_log2 = read_byte(&r);
        info->level[k].layers = read_byte(&r);
        if (info->level[k].tile_log2 > 16u || info->level[k].layers < 1 || info->level[k].layers > FL_MAX_LAYERS)
            return FL_CORRUPT;
    }
    if (r.bad || !levels_are_wavelet(info) || fill_geometry(info) != FL_OK) return FL_CORRUPT;
    for (uint32_t k = info->levels + 1u; k-- > 0;)
        for (uint32_t n = 0; n <= info->level[k].layers; n++) {
            uint32_t error = read_varint(&r);
            /* 13 levels of these still sum up in 31 bits. */
            if (error > (1u << 27) || (n > 0 && error > info->level[k].error[n - 1u])) r.bad = 1;
            info->level[k].error[n] = error;
        }
    if (r.bad || read_wavelet_parameters(info, &r) != FL_OK) return FL_CORRUPT;
    info->values_offset = (uint32_t)r.at;
    if (read_values(info, &r, 0) != FL_OK) return FL_CORRUPT;
    info->lengths_offset = (uint32_t)r.at;
    if (info->segments > r.end - r.at) return FL_CORRUPT;
    return FL_OK;
}

fl_status fl_head_offsets(const uint8_t *data, size_t size, const fl_info *info, uint32_t *offsets) {
    if (size < info->head_size) return FL_INSUFFICIENT;
    reader r = {data, info->lengths_offset, info->head_size - CHECKSUM_BYTES, 0};
    uint64_t offset = info->head_size;
    for (uint32_t s = 0; s < info->segments; s++) {
        offsets[s] = (uint32_t)offset;
        offset += read_varint(&r);
        if (r.bad || offset > 0xffffffffu) return FL_CORRUPT;
    }
    offsets[info->segments] = (uint32_t)offset;
    return r.at == r.end ? FL_OK : FL_CORRUPT;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t *data;
    size_t at, capacity; /* at > capacity: it did not fit */
} writer;

static void write_byte(writer *w, uint32_t byte) {
    if (w->at < w->capacity) w->data[w->at] = (uint8_t)byte;
    w->at++;
}

static void write_word(writer *w, uint32_t word) {
    for (uint32_t i = 0; i < 4u; i++) write_byte(w, (word >> (8u * i)) & 255u);
}

static void write_varint(writer *w, uint32_t value) {
    for (; value > 127u; value >>= 7) write_byte(w, (value & 127u) | 128u);
    write_byte(w, value);
}

static void write_values(writer *w, const fl_info *info, const uint16_t *values) {
    uint32_t runs = 0, least = info->is_signed ? 1u << (info->bits - 1u) : 0u;
    for (uint32_t i = 1; i < info->values; i++)
        runs += i == 1 || (uint16_t)(values[i] - values[i - 1u]) != (uint16_t)(values[i - 1u] - values[i - 2u]);
    write_varint(w, runs);
    if (runs == 0) return;
    write_varint(w, (values[0] + least) & 0xffffu);
    for (uint32_t i = 1; i < info->values;) {
        uint32_t gap = (uint16_t)(values[i] - values[i - 1u]), length = 0;
        for (; i < info->values && (uint16_t)(values[i] - values[i - 1u]) == gap; i++) length++;
        write_varint(w, gap);
        write_varint(w, length);
    }
}

fl_status fl_head_write(const fl_info *info, const uint16_t *values, const uint32_t *lengths, uint8_t *out,
                        size_t capacity, size_t *written) {
    writer w = {out, 0, capacity};
    *written = 0;
    if (check_samples(info) != FL_OK || info->levels > FL_MAX_LEVELS) return FL_INVALID;
    if (info->values > 0 && !values) return FL_INVALID;
    for (uint32_t i = 0; i < sizeof MAGIC; i++) write_byte(&w, MAGIC[i]);
    write_byte(&w, FL_FORMAT_VERSION);
    write_byte(&w, info->codec);
    write_byte(&w, 0);
    write_byte(&w, 0);
    write_word(&w, 0); /* head_size, known at the end */
    write_word(&w, info->width);
    write_word(&w, info->height);
    write_byte(&w, info->components);
    write_byte(&w, info->bits | info->is_signed << 7);
    write_byte(&w, info->colour);
    write_byte(&w, info->levels);
    write_byte(&w, info->margin);
    write_byte(&w, info->transform);
    for (uint32_t k = info->levels + 1u; k-- > 0;) {
        write_byte(&w, info->level[k].tile_log2);
        write_byte(&w, info->level[k].layers);
    }
    for (uint32_t k = info->levels + 1u; k-- > 0;)
        for (uint32_t n = 0; n <= info->level[k].layers; n++) write_varint(&w, info->level[k].error[n]);
    write_varint(&w, info->levels > 0 ? info->components * info->levels * info->level[0].layers : 0u);
    for (uint32_t c = 0; c < info->components; c++)
        for (uint32_t k = 0; k < info->levels; k++)
            for (uint32_t n = 0; n < info->level[k].layers; n++) write_byte(&w, info->cut[c][k][n]);
    write_values(&w, info, values);
    for (uint32_t s = 0; s < info->segments; s++) write_varint(&w, lengths[s]);
    if (w.at + CHECKSUM_BYTES > MAX_HEAD) return FL_INVALID;
    if (w.at + CHECKSUM_BYTES > capacity) return FL_NO_SPACE;
    fl_write32(out + HEAD_SIZE_AT, (uint32_t)w.at + CHECKSUM_BYTES);
    fl_write32(out + w.at, fl_crc32c(out, w.at));
    *written = w.at + CHECKSUM_BYTES;
    return FL_OK;
}
