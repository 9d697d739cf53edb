/* Shard heads: geometry, level table, groups, value table (SPEC 2, 3.2, 3.9); what is range coded is in index.c. */
#include "index.h"
#include "transform.h"

enum { HEAD_SIZE_AT = 8, LEVEL_TABLE_AT = 26, CHECKSUM_BYTES = 4 };
/* More than this is no head that an encoder writes, and no number that a reader should fetch on trust. */
#define MAX_HEAD (16u << 20)
#define MAX_SEGMENTS (16u << 20)
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
        segments += (uint64_t)level->tiles_x * level->tiles_y * level->layers;
        /* So that the 32-bit casts above hold: at most 2^15 x 2^15 tiles of one level are added to this. */
        if (segments > MAX_SEGMENTS) return FL_INVALID;
    }
    info->tiles = (uint32_t)tiles;
    info->segments = (uint32_t)segments;
    return FL_OK;
}

static int groups_are_legal(const fl_info *info) {
    if (info->groups < 1 || info->groups > FL_MAX_GROUPS || info->group_start[0] != 0) return 0;
    for (uint32_t g = 1; g < info->groups; g++)
        if (info->group_start[g] <= info->group_start[g - 1u] || info->group_start[g] >= FL_MAX_LAYERS) return 0;
    return 1;
}

uint32_t fl_segment(const fl_info *info, uint32_t level, uint32_t layer, uint32_t tile) {
    const fl_level *l = &info->level[level];
    uint32_t group = 0;
    while (group + 1u < info->groups && info->group_start[group + 1u] <= layer) group++;
    uint32_t start = info->group_start[group], end = fl_group_start(info, group + 1u, l->layers);
    return l->first_segment + l->tiles_x * l->tiles_y * start + tile * (end - start) + (layer - start);
}

fl_status fl_head_plan(fl_info *info) {
    fl_status status = check_samples(info);
    uint32_t layers = info->level[0].layers;
    if (status != FL_OK) return status;
    if (!groups_are_legal(info) || layers < 1 || layers > FL_MAX_LAYERS) return FL_INVALID;
    info->version = FL_FORMAT_VERSION;
    info->margin = fl_margin(info->transform);
    info->levels = 0;
    while (fl_ceil_shift(fl_max(info->width, info->height), info->levels) > (1u << FL_BASE_LOG2)) info->levels++;
    /* Small tiles let a view leave out what it doesn't show; a small shard is shown whole. */
    uint32_t finer = fl_max(info->width, info->height) > 1024u ? 2u : 0u;
    for (uint32_t k = 0; k <= info->levels; k++) {
        info->level[k].tile_log2 = k == info->levels ? FL_BASE_LOG2 : FL_MAX_TILE_LOG2 - fl_min(k, finer);
        info->level[k].layers = k == info->levels ? 1u : layers;
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
    if (info->levels > FL_MAX_LEVELS) return 0;
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
    info->groups = read_byte(&r);
    for (uint32_t g = 1; g < info->groups && g < FL_MAX_GROUPS; g++) info->group_start[g] = read_byte(&r);
    if (r.bad || !levels_are_wavelet(info) || !groups_are_legal(info) || fill_geometry(info) != FL_OK)
        return FL_CORRUPT;
    info->values_offset = (uint32_t)r.at;
    if (read_values(info, &r, 0) != FL_OK) return FL_CORRUPT;
    info->index_offset = (uint32_t)r.at;
    if (info->segments > FL_SEGMENTS_A_BYTE * (uint64_t)(r.end - r.at)) return FL_CORRUPT;
    return fl_index_tables(data + r.at, r.end - r.at, info);
}

fl_status fl_head_offsets(const uint8_t *data, size_t size, const fl_info *info, uint32_t *offsets) {
    if (size < info->head_size) return FL_INSUFFICIENT;
    size_t index_size = info->head_size - CHECKSUM_BYTES - info->index_offset;
    fl_status status = fl_index_lengths(data + info->index_offset, index_size, info, offsets);
    uint64_t offset = info->head_size;
    for (uint32_t s = 0; s < info->segments && status == FL_OK; s++) {
        uint32_t length = offsets[s];
        offsets[s] = (uint32_t)offset;
        offset += length;
        if (offset > 0xffffffffu) status = FL_CORRUPT;
    }
    offsets[info->segments] = (uint32_t)offset;
    return status;
}

#if !defined(__wasm__)

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
    if (check_samples(info) != FL_OK || !groups_are_legal(info) || !levels_are_wavelet(info)) return FL_INVALID;
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
    write_byte(&w, info->groups);
    for (uint32_t g = 1; g < info->groups; g++) write_byte(&w, info->group_start[g]);
    write_values(&w, info, values);
    if (w.at + CHECKSUM_BYTES > capacity) return FL_NO_SPACE;
    size_t index_size = 0;
    fl_status status = fl_index_write(info, lengths, out + w.at, capacity - CHECKSUM_BYTES - w.at, &index_size);
    if (status != FL_OK) return status;
    w.at += index_size;
    if (w.at + CHECKSUM_BYTES > MAX_HEAD) return FL_INVALID;
    fl_write32(out + HEAD_SIZE_AT, (uint32_t)w.at + CHECKSUM_BYTES);
    fl_write32(out + w.at, fl_crc32c(out, w.at));
    *written = w.at + CHECKSUM_BYTES;
    return FL_OK;
}

#endif
