/* Fuzz target: any bytes as a shard. Heads, segment offsets, tile decoding and the inverse transform must give a status
 * or a picture, within the buffers that firstlight.h promises: every buffer here is exactly as large as it says, so
 * that AddressSanitizer sees the first byte beyond.
 *
 * libFuzzer drives it in `make fuzz`, driver.c with the seeds and mutations of them in `make sanitize`. */
#include <string.h>

#include "common.h"

enum { MOST_TILES = 12 }; /* tiles decoded of each input, a time limit */

/* One decoding of a tile, by all ways of coding; they must agree. */
static fl_status decode(const fl_info *info, uint32_t level, uint32_t tile, uint8_t *const *layer, const uint32_t *size,
                        uint32_t layers, uint32_t partial, void *coefs, uint32_t *wide, void *scratch) {
    uint32_t tile_x = tile % info->level[level].tiles_x, tile_y = tile / info->level[level].tiles_x;
    size_t count = info->components * fl_wavelet_tile_size(info, level, tile_x, tile_y);
    *wide = 2;
    fl_status status = fl_wavelet_tile_decode(info, level, tile_x, tile_y, (const uint8_t *const *)layer, size, layers,
                                              partial, coefs, wide, scratch);
    require(status != FL_OK || *wide < 2u);
    size_t bytes = count * (*wide ? sizeof(int32_t) : sizeof(int16_t));
    void *other = exactly(count * sizeof(int32_t));
    for (uint32_t path = FL_PATH_PORTABLE; path <= FL_PATH_AVX512; path++) {
        uint32_t other_wide = 2;
        fl_status found = fl_wavelet_tile_decode_by(path, info, level, tile_x, tile_y, (const uint8_t *const *)layer,
                                                    size, layers, partial, other, &other_wide, scratch);
        if (found == FL_INVALID) continue; /* not on this processor, or not for the base level */
        require(found == status);
        require(found != FL_OK || (other_wide == *wide && memcmp(other, coefs, bytes) == 0));
    }
    free(other);
    return status;
}

/* Three prefixes of the last segment: a time limit. */
static void decode_prefixes(const fl_info *info, uint32_t level, uint32_t tile, uint8_t *const *layer,
                            const uint32_t *size, uint32_t layers, void *coefs, void *scratch) {
    uint8_t *cut_layer[FL_MAX_LAYERS];
    uint32_t cut_size[FL_MAX_LAYERS], whole = size[layers - 1u], wide;
    memcpy(cut_layer, layer, sizeof cut_layer);
    memcpy(cut_size, size, sizeof cut_size);
    for (uint32_t cut = 1u + whole / 8u; cut <= whole; cut += 1u + whole / 3u) {
        uint8_t *prefix = exactly(cut);
        memcpy(prefix, layer[layers - 1u], cut);
        cut_layer[layers - 1u] = prefix;
        cut_size[layers - 1u] = cut;
        decode(info, level, tile, cut_layer, cut_size, layers, 1, coefs, &wide, scratch);
        free(prefix);
    }
}

/* Decode what the bytes have of one tile, every number of layers; the last coefficients or NULL. */
static void *decode_tile(const fl_info *info, const uint32_t *offsets, const uint8_t *data, size_t size, uint32_t level,
                         uint32_t tile, uint8_t *wide, void *scratch) {
    const fl_level *l = &info->level[level];
    size_t tile_size = fl_wavelet_tile_size(info, level, tile % l->tiles_x, tile / l->tiles_x);
    void *coefs = exactly(info->components * tile_size * sizeof(int32_t));
    uint8_t *copies[FL_MAX_LAYERS] = {NULL};
    uint32_t sizes[FL_MAX_LAYERS] = {0}, layers = 0, is_wide;
    int sound = 1;
    for (; layers < l->layers && sound; layers++) {
        uint32_t segment = fl_segment(info, level, layers, tile);
        require(segment < info->segments);
        if (offsets[segment + 1u] > size) break; /* not received */
        sizes[layers] = offsets[segment + 1u] - offsets[segment];
        copies[layers] = exactly(sizes[layers]);
        if (sizes[layers] == 0) continue; /* adds nothing */
        memcpy(copies[layers], data + offsets[segment], sizes[layers]);
        decode_prefixes(info, level, tile, copies, sizes, layers + 1u, coefs, scratch);
        sound = decode(info, level, tile, copies, sizes, layers + 1u, 0, coefs, &is_wide, scratch) == FL_OK;
    }
    if (!sound) layers--;
    int decoded = layers > 0 && decode(info, level, tile, copies, sizes, layers, 0, coefs, &is_wide, scratch) == FL_OK;
    if (decoded) *wide = (uint8_t)is_wide;
    for (uint32_t layer = 0; layer < FL_MAX_LAYERS; layer++) free(copies[layer]);
    if (decoded) return coefs;
    free(coefs);
    return NULL;
}

/* The tiles without what the samples from (x, y) of `level` on need not: NULL where all was kept. */
static void trim_tiles(const fl_info *info, uint32_t level, uint32_t x, uint32_t y, void *const *tiles,
                       const uint8_t *wide, void **small, uint8_t *trimmed) {
    for (uint32_t k = level; k < info->levels; k++) {
        const fl_level *l = &info->level[k];
        const uint32_t left = (x >> (k - level)) - fl_min(x >> (k - level), info->margin);
        const uint32_t top = (y >> (k - level)) - fl_min(y >> (k - level), info->margin);
        for (uint32_t tile = 0; tile < l->tiles_x * l->tiles_y; tile++) {
            const uint32_t tile_x = tile % l->tiles_x, tile_y = tile / l->tiles_x, i = l->first_tile + tile;
            const uint32_t first_x = tile_x << l->tile_log2, first_y = tile_y << l->tile_log2;
            const uint32_t columns = (left - fl_min(left, first_x)) / 2u, rows = (top - fl_min(top, first_y)) / 2u;
            const size_t count = info->components * fl_wavelet_trimmed_size(info, k, tile_x, tile_y, columns, rows);
            if (!tiles[i] || count == 0) continue;
            small[i] = exactly(count * (wide[i] ? sizeof(int32_t) : sizeof(int16_t)));
            fl_wavelet_tile_trim(info, k, tile_x, tile_y, columns, rows, tiles[i], wide[i], small[i]);
            trimmed[2u * i] = (uint8_t)columns;
            trimmed[2u * i + 1u] = (uint8_t)rows;
        }
    }
}

/* A part of a level, from whole tiles and from trimmed ones. */
static void picture(const fl_info *info, uint32_t level, void *const *tiles, const uint8_t *wide,
                    const uint16_t *values) {
    uint32_t width = fl_min(info->level[level].width, 40u), height = fl_min(info->level[level].height, 40u);
    uint32_t x = info->level[level].width - width, y = (info->level[level].height - height) / 2u;
    const size_t bytes = (size_t)width * height * info->components * (info->bits <= 8u ? 1u : 2u);
    void *samples = exactly(bytes), *again = exactly(bytes);
    void *workspace = exactly(fl_wavelet_region_workspace(info, level, width, height));
    void **small = exactly(info->tiles * sizeof(void *));
    uint8_t *trimmed = exactly(2u * (size_t)info->tiles);
    memset(small, 0, info->tiles * sizeof(void *));
    memset(trimmed, 0, 2u * (size_t)info->tiles);
    const ptrdiff_t plane = (ptrdiff_t)(width * height), row = (ptrdiff_t)width;
    require(fl_wavelet_region(info, level, x, y, width, height, (const void *const *)tiles, wide, NULL, values, samples,
                              plane, row, 1, workspace) == FL_OK);
    trim_tiles(info, level, x, y, tiles, wide, small, trimmed);
    const void **mixed = exactly(info->tiles * sizeof(void *));
    for (uint32_t i = 0; i < info->tiles; i++) mixed[i] = small[i] ? small[i] : tiles[i];
    require(fl_wavelet_region(info, level, x, y, width, height, mixed, wide, trimmed, values, again, plane, row, 1,
                              workspace) == FL_OK);
    require(memcmp(samples, again, bytes) == 0);
    /* What was left out is zeros. */
    require(fl_wavelet_region(info, level, 0, 0, width, height, mixed, wide, trimmed, values, again, plane, row, 1,
                              workspace) == FL_OK);
    for (uint32_t i = 0; i < info->tiles; i++) free(small[i]);
    free(mixed);
    free(trimmed);
    free(small);
    free(workspace);
    free(again);
    free(samples);
}

/* The parts of a head that tell of the first groups tell the same of them as the whole head. */
static void first_groups(const uint8_t *data, const fl_info *info, const uint32_t *offsets) {
    for (uint32_t g = 1; g < info->groups; g++) {
        const uint32_t size = info->part_end[g - 1u];
        uint8_t *part = exactly(size);
        memcpy(part, data, size);
        fl_info known;
        require(fl_head_parse(part, size, g, &known) == FL_OK && known.groups == g && known.segments <= info->segments);
        uint32_t *own = exactly((known.segments + 1u) * sizeof(uint32_t));
        require(fl_head_index(part, size, &known, own) == FL_OK);
        require(memcmp(own, offsets, (known.segments + 1u) * sizeof(uint32_t)) == 0);
        for (uint32_t k = 0; k <= info->levels; k++)
            require(memcmp(known.level[k].error, info->level[k].error, (known.level[k].layers + 1u) * 4u) == 0);
        free(own);
        free(part);
    }
}

static void shard(const uint8_t *data, size_t size) {
    fl_info info;
    if (fl_head_parse(data, size, FL_MAX_GROUPS, &info) != FL_OK) return;
    /* A head earns its index. */
    require(info.head_size <= size && info.segments <= 64u * info.head_size);
    require(info.levels <= FL_MAX_LEVELS && info.components >= 1u && info.components <= FL_MAX_COMPONENTS);
    uint32_t *offsets = exactly((info.segments + 1u) * sizeof(uint32_t));
    if (fl_head_index(data, size, &info, offsets) == FL_OK && info.codec == FL_CODEC_WAVELET) {
        require(offsets[0] == info.head_size);
        for (uint32_t s = 0; s < info.segments; s++) require(offsets[s] <= offsets[s + 1u]);
        first_groups(data, &info, offsets);
        void **tiles = exactly(info.tiles * sizeof(void *));
        uint8_t *wide = exactly(info.tiles);
        memset(tiles, 0, info.tiles * sizeof(void *));
        memset(wide, 0, info.tiles);
        void *scratch = exactly(fl_wavelet_decode_scratch(&info));
        uint32_t left = MOST_TILES;
        for (uint32_t level = info.levels + 1u; level-- > 0u && left > 0u;) {
            const fl_level *l = &info.level[level];
            for (uint32_t tile = 0; tile < l->tiles_x * l->tiles_y && left > 0u; tile++, left--)
                tiles[l->first_tile + tile] =
                    decode_tile(&info, offsets, data, size, level, tile, &wide[l->first_tile + tile], scratch);
        }
        uint16_t *values = exactly(info.values * sizeof(uint16_t));
        require(fl_head_values(data, size, &info, values) == FL_OK);
        picture(&info, info.levels, tiles, wide, values);
        picture(&info, info.levels / 2u, tiles, wide, values);
        picture(&info, 0, tiles, wide, values);
        free(values);
        for (uint32_t i = 0; i < info.tiles; i++) free(tiles[i]);
        free(wide);
        free(tiles);
        free(scratch);
    }
    free(offsets);
}

/* Make the checksums of segments right too. */
static void repair(uint8_t *data, size_t size) {
    repair_head(data, size);
    fl_info info;
    if (fl_head_parse(data, size, FL_MAX_GROUPS, &info) != FL_OK) return;
    uint32_t *offsets = exactly((info.segments + 1u) * sizeof(uint32_t));
    if (fl_head_index(data, size, &info, offsets) == FL_OK)
        for (uint32_t s = 0; s < info.segments && offsets[s + 1u] <= size; s++) {
            uint32_t length = offsets[s + 1u] - offsets[s], check = fl_check_size(length);
            if (length == 0) continue;
            uint32_t crc = fl_crc32c(data + offsets[s], length - check);
            for (uint32_t i = 0; i < check; i++) data[offsets[s + 1u] - check + i] = (uint8_t)(crc >> (8u * i));
        }
    free(offsets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    shard(data, size);
    uint8_t *copy = exactly(size);
    if (size > 0) memcpy(copy, data, size);
    repair(copy, size);
    shard(copy, size);
    free(copy);
    return 0;
}
