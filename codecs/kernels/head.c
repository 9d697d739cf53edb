/* Shard heads: geometry, groups, value table, parts (SPEC 2, 3.2, 3.9); what is range coded is in index.c. */
#include "index.h"
#include "transform.h"

enum { HEAD_SIZE_AT = 6, MOST_FIXED = 80 };
/* Tiles may get smaller at so many of the finest levels. The encoder's do at level 1, and at level 3 if samples have 8
 * bits: of these a view shows more with fewer bytes, so that what it doesn't show weighs more. */
enum { MOST_FALLS = 5, FALLS = 1 << 0, FALLS_8_BIT = 1 << 0 | 1 << 2 };
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
        tiles += (uint64_t)level->tiles_x * level->tiles_y;
        segments += (uint64_t)level->tiles_x * level->tiles_y * level->layers;
        /* So that 32-bit casts hold: at most 2^15 x 2^15 tiles of one level are added to this. */
        if (segments > MAX_SEGMENTS) return FL_INVALID;
    }
    uint32_t first = 0;
    for (uint32_t g = 0; g < info->groups; g++)
        for (uint32_t k = info->levels + 1u; k-- > 0;) {
            fl_level *level = &info->level[k];
            level->first_segment[g] = first;
            first += level->tiles_x * level->tiles_y *
                     (fl_group_start(info, g + 1u, level->layers) - fl_group_start(info, g, level->layers));
        }
    info->tiles = (uint32_t)tiles;
    info->segments = (uint32_t)segments;
    return FL_OK;
}

static int groups_are_legal(const fl_info *info, uint32_t layers) {
    if (info->groups < 1 || info->groups > FL_MAX_GROUPS || info->group_start[0] != 0) return 0;
    for (uint32_t g = 1; g < info->groups; g++)
        if (info->group_start[g] <= info->group_start[g - 1u] || info->group_start[g] >= layers) return 0;
    return 1;
}

uint32_t fl_segment(const fl_info *info, uint32_t level, uint32_t layer, uint32_t tile) {
    const fl_level *l = &info->level[level];
    uint32_t group = 0;
    while (group + 1u < info->groups && info->group_start[group + 1u] <= layer) group++;
    uint32_t start = info->group_start[group], end = fl_group_start(info, group + 1u, l->layers);
    return l->first_segment[group] + tile * (end - start) + (layer - start);
}

static uint32_t levels_of(const fl_info *info) {
    uint32_t levels = 0;
    while (fl_ceil_shift(fl_max(info->width, info->height), levels) > (1u << FL_BASE_LOG2)) levels++;
    return levels;
}

/* Sizes and layers of all levels, from those of level 0; bit k - 1 of `falls`: tiles of level k are half those of k -
 * 1, if that can be. */
static void fill_levels(fl_info *info, uint32_t tile_log2, uint32_t falls, uint32_t layers) {
    info->margin = fl_margin(info->transform);
    info->levels = levels_of(info);
    for (uint32_t k = 0; k <= info->levels; k++) {
        if (k > 0 && k <= MOST_FALLS && falls >> (k - 1u) & 1u && tile_log2 > 1u) tile_log2--;
        info->level[k].tile_log2 = k == info->levels ? FL_BASE_LOG2 : tile_log2;
        info->level[k].layers = k == info->levels ? 1u : layers;
        for (uint32_t n = 0; n <= FL_MAX_LAYERS; n++) info->level[k].measured[n] = FL_NOT_MEASURED;
    }
}

fl_status fl_head_plan(fl_info *info) {
    fl_status status = check_samples(info);
    uint32_t layers = info->level[0].layers;
    if (status != FL_OK) return status;
    if (!groups_are_legal(info, layers) || layers < 1 || layers > FL_MAX_LAYERS) return FL_INVALID;
    info->version = FL_FORMAT_VERSION;
    info->parts = info->groups;
    /* Small tiles let a view leave out what it doesn't show; a small shard is shown whole. */
    const uint32_t falls = info->bits > 8u ? FALLS : FALLS_8_BIT;
    fill_levels(info, FL_MAX_TILE_LOG2, fl_max(info->width, info->height) > 1024u ? falls : 0u, layers);
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
    if (size < info->part_end[0]) return FL_INSUFFICIENT;
    fl_info again = *info;
    reader r = {data, info->values_offset, info->part_end[0] - FL_CHECKSUM_BYTES, 0};
    return read_values(&again, &r, values);
}

/* The fixed fields and the groups: everything before the value table. */
static fl_status read_fixed(const uint8_t *data, size_t size, fl_info *info, reader *r) {
    *r = (reader){data, HEAD_SIZE_AT, size, 0};
    info->head_size = read_varint(r);
    if (r->bad) return FL_CORRUPT;
    if (info->head_size > MAX_HEAD) return FL_CORRUPT;
    info->width = read_varint(r);
    info->height = read_varint(r);
    const uint32_t kind = read_byte(r), sample = read_byte(r), tiles = read_byte(r), layers = read_byte(r);
    info->components = 1u + (kind & 3u);
    info->colour = kind >> 2 & 3u;
    info->transform = kind >> 4;
    info->bits = sample & 127u;
    info->is_signed = sample >> 7;
    info->groups = info->parts = 1u + (layers >> 5);
    if (r->bad || check_samples(info) != FL_OK || (layers & 31u) > FL_MAX_LAYERS || (layers & 31u) == 0 ||
        info->parts > FL_MAX_GROUPS)
        return FL_CORRUPT;
    uint64_t others = 0;
    for (uint32_t g = 1; g < info->parts; g++) {
        info->group_start[g] = read_byte(r);
        info->part_end[g] = read_varint(r); /* its bytes, for now */
        others += info->part_end[g];
        if (info->part_end[g] < FL_CHECKSUM_BYTES) r->bad = 1;
    }
    if (r->bad || !groups_are_legal(info, layers & 31u) || others + r->at + FL_CHECKSUM_BYTES > info->head_size)
        return FL_CORRUPT;
    info->part_end[0] = info->head_size - (uint32_t)others;
    for (uint32_t g = 1; g < info->parts; g++) info->part_end[g] += info->part_end[g - 1u];
    fill_levels(info, 1u + (tiles & 7u), tiles >> 3, layers & 31u);
    return FL_OK;
}

/* Know only the first `groups` groups. */
static void forget_groups(fl_info *info, uint32_t groups) {
    if (groups >= info->groups) return;
    for (uint32_t k = 0; k <= info->levels; k++)
        info->level[k].layers = fl_min(info->level[k].layers, info->group_start[groups]);
    info->groups = groups;
}

static int part_is_sound(const uint8_t *data, uint32_t begin, uint32_t end) {
    return fl_crc32c(data + begin, end - begin - FL_CHECKSUM_BYTES) == fl_read32(data + end - FL_CHECKSUM_BYTES);
}

fl_status fl_head_parse(const uint8_t *data, size_t size, uint32_t groups, fl_info *info) {
    fl_info found = {0};
    reader r;
    fl_fill(info, 0, sizeof *info);
    for (size_t i = 0; i < sizeof MAGIC && i < size; i++)
        if (data[i] != MAGIC[i]) return FL_CORRUPT;
    if (size > 4 && data[4] != FL_FORMAT_VERSION) return FL_UNSUPPORTED;
    if (size > 5 && data[5] != FL_CODEC_WAVELET) return FL_UNSUPPORTED;
    if (groups < 1) return FL_INVALID;
    if (size <= HEAD_SIZE_AT) return FL_INSUFFICIENT;
    const fl_status fixed = read_fixed(data, size, &found, &r);
    if (fixed != FL_OK && r.at >= size && size < MOST_FIXED) return FL_INSUFFICIENT;
    if (fixed != FL_OK) return fixed;
    *info = found;
    info->version = data[4];
    info->codec = data[5];
    const uint32_t known = fl_min(groups, info->parts), needed = info->part_end[known - 1u];
    info->head_size = needed;
    if (size < needed) return FL_INSUFFICIENT;
    info->head_size = info->part_end[info->parts - 1u];
    for (uint32_t g = 0; g < known; g++)
        if (!part_is_sound(data, g > 0 ? info->part_end[g - 1u] : 0u, info->part_end[g])) return FL_CORRUPT;
    r.end = info->part_end[0] - FL_CHECKSUM_BYTES;
    info->values_offset = (uint32_t)r.at;
    if (read_values(info, &r, 0) != FL_OK) return FL_CORRUPT;
    info->index_offset = (uint32_t)r.at;
    forget_groups(info, known);
    if (fill_geometry(info) != FL_OK) return FL_CORRUPT;
    for (uint32_t g = 0; g < known; g++) {
        const uint32_t begin = g > 0 ? info->part_end[g - 1u] : info->index_offset;
        if (fl_group_segments(info, g) > FL_SEGMENTS_A_BYTE * (uint64_t)(info->part_end[g] - FL_CHECKSUM_BYTES - begin))
            return FL_CORRUPT;
    }
    return FL_OK;
}

fl_status fl_head_index(const uint8_t *data, size_t size, fl_info *info, uint32_t *offsets) {
    if (size < info->part_end[info->groups - 1u]) return FL_INSUFFICIENT;
    fl_status status = fl_index_read(data, info, offsets);
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

/* Everything before the index; part[g]: bytes of each part of the head. */
static void write_before_index(writer *w, const fl_info *info, const uint16_t *values, const uint32_t *part) {
    uint32_t total = 0, tile_log2 = info->levels > 0 ? info->level[0].tile_log2 : 1u, falls = 0;
    for (uint32_t k = 1; k <= MOST_FALLS && k < info->levels; k++)
        falls |= (uint32_t)(info->level[k].tile_log2 < info->level[k - 1u].tile_log2) << (k - 1u);
    for (uint32_t g = 0; g < info->groups; g++) total += part[g];
    for (uint32_t i = 0; i < sizeof MAGIC; i++) write_byte(w, MAGIC[i]);
    write_byte(w, FL_FORMAT_VERSION);
    write_byte(w, info->codec);
    write_varint(w, total);
    write_varint(w, info->width);
    write_varint(w, info->height);
    write_byte(w, (info->components - 1u) | info->colour << 2 | info->transform << 4);
    write_byte(w, info->bits | info->is_signed << 7);
    write_byte(w, (tile_log2 - 1u) | falls << 3);
    write_byte(w, info->level[0].layers | (info->groups - 1u) << 5);
    for (uint32_t g = 1; g < info->groups; g++) {
        write_byte(w, info->group_start[g]);
        write_varint(w, part[g]);
    }
    write_values(w, info, values);
}

fl_status fl_head_write(const fl_info *info, const uint16_t *values, const uint32_t *lengths, uint8_t *out,
                        size_t capacity, size_t *written) {
    *written = 0;
    if (check_samples(info) != FL_OK || !groups_are_legal(info, info->level[0].layers)) return FL_INVALID;
    if (info->values > 0 && !values) return FL_INVALID;
    /* The index is coded further on, then its parts are moved to where they belong: so far that none moves up. */
    writer size = {0, 0, 0};
    size_t ends[FL_MAX_GROUPS];
    write_values(&size, info, values);
    const size_t room =
        MOST_FIXED + size.at + FL_MAX_GROUPS * (FL_CHECKSUM_BYTES + 1u) + info->segments / FL_SEGMENTS_A_BYTE;
    if (room > capacity) return FL_NO_SPACE;
    fl_status status = fl_index_write(info, lengths, out + room, capacity - room, ends);
    if (status != FL_OK) return status;
    uint32_t part[FL_MAX_GROUPS];
    uint64_t total = 0;
    for (uint32_t g = 0; g < info->groups; g++) {
        const size_t length = ends[g] - (g > 0 ? ends[g - 1u] : 0u), least = fl_index_least(info, g);
        part[g] = (uint32_t)(FL_CHECKSUM_BYTES + (length > least ? length : least));
        total += part[g];
        if (total > MAX_HEAD - MOST_FIXED - size.at) return FL_INVALID;
    }
    /* The first part tells the size of the head, which it is in: once more where that takes a byte more. */
    const uint32_t coded = part[0];
    writer w;
    for (uint32_t before = 0;; before = (uint32_t)w.at) {
        w = (writer){out, 0, room};
        part[0] = coded + before;
        write_before_index(&w, info, values, part);
        if (w.at == before) break;
    }
    size_t to = w.at, begin = 0;
    for (uint32_t g = 0; g < info->groups; g++) {
        const size_t from = g > 0 ? ends[g - 1u] : 0u, end = begin + part[g] - FL_CHECKSUM_BYTES;
        __builtin_memmove(out + to, out + room + from, ends[g] - from);
        for (to += ends[g] - from; to < end; to++) out[to] = 0;
        fl_write32(out + end, fl_crc32c(out + begin, end - begin));
        begin = to = end + FL_CHECKSUM_BYTES;
    }
    *written = begin;
    return FL_OK;
}

#endif
