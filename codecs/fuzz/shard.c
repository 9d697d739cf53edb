/* Fuzz target: any bytes as a shard. Heads, segment offsets, tile decoding and the inverse transform must give a status
 * or a picture, within the buffers that firstlight.h promises: every buffer here is exactly as large as it says, so
 * that AddressSanitizer sees the first byte beyond.
 *
 * libFuzzer:   clang -fsanitize=fuzzer,address,undefined codecs/kernels/ *.c codecs/fuzz/shard.c
 * elsewhere:   driver.c runs the seeds and mutations of them (make sanitize). */
#include <stdlib.h>
#include <string.h>

#include "../kernels/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_TILES = 24 }; /* tiles decoded of each input, a time limit */

static void require(int ok) {
    if (!ok) abort();
}

static void *exactly(size_t size) {
    void *p = malloc(size ? size : 1u);
    require(p != NULL);
    return p;
}

/* Decode what the bytes have of one tile, every number of layers; the last coefficients or NULL. */
static int32_t *decode_tile(const fl_info *info, const uint32_t *offsets, const uint8_t *data, size_t size,
                            uint32_t component, uint32_t level, uint32_t tile, void *scratch) {
    const fl_level *l = &info->level[level];
    uint32_t tile_x = tile % l->tiles_x, tile_y = tile / l->tiles_x;
    size_t count = fl_wavelet_tile_size(info, level, tile_x, tile_y);
    int32_t *coefs = exactly(count * sizeof(int32_t));
    uint8_t *copies[FL_MAX_LAYERS] = {NULL};
    uint32_t sizes[FL_MAX_LAYERS] = {0};
    int decoded = 0;
    uint32_t tiles = l->tiles_x * l->tiles_y;
    for (uint32_t layer = 0; layer < l->layers; layer++) {
        uint32_t segment = l->first_segment + (layer * tiles + tile) * info->components + component;
        require(segment < info->segments);
        if (offsets[segment + 1u] > size) break; /* not received */
        sizes[layer] = offsets[segment + 1u] - offsets[segment];
        copies[layer] = exactly(sizes[layer]);
        memcpy(copies[layer], data + offsets[segment], sizes[layer]);
        fl_status status = fl_wavelet_tile_decode(info, component, level, tile_x, tile_y,
                                                  (const uint8_t *const *)copies, sizes, layer + 1u, coefs, scratch);
        for (uint32_t path = FL_PATH_PORTABLE; path <= FL_PATH_AVX512; path++) {
            int32_t *other = exactly(count * sizeof(int32_t));
            fl_status found =
                fl_wavelet_tile_decode_by(path, info, component, level, tile_x, tile_y, (const uint8_t *const *)copies,
                                          sizes, layer + 1u, other, scratch);
            if (found != FL_INVALID) {
                require(found == status);
                require(found != FL_OK || memcmp(other, coefs, count * sizeof(int32_t)) == 0);
            }
            free(other);
        }
        if (status != FL_OK) break;
        decoded = 1;
    }
    for (uint32_t layer = 0; layer < FL_MAX_LAYERS; layer++) free(copies[layer]);
    if (decoded) return coefs;
    free(coefs);
    return NULL;
}

static void picture(const fl_info *info, uint32_t level, const int32_t *const *tiles, const uint16_t *values) {
    uint32_t width = fl_min(info->level[level].width, 40u), height = fl_min(info->level[level].height, 40u);
    uint32_t x = info->level[level].width - width, y = (info->level[level].height - height) / 2u;
    size_t bytes = info->bits <= 8u ? 1u : 2u;
    void *samples = exactly((size_t)width * height * info->components * bytes);
    void *workspace = exactly(fl_wavelet_region_workspace(info, level, width, height));
    fl_status status = fl_wavelet_region(info, level, x, y, width, height, tiles, values, samples,
                                         (ptrdiff_t)(width * height), (ptrdiff_t)width, 1, workspace);
    require(status == FL_OK);
    free(workspace);
    free(samples);
}

static void shard(const uint8_t *data, size_t size) {
    fl_info info;
    if (fl_head_parse(data, size, &info) != FL_OK) return;
    /* A head earns its index: one byte a segment length at least. */
    require(info.head_size <= size && info.segments <= info.head_size);
    require(info.levels <= FL_MAX_LEVELS && info.components >= 1u && info.components <= FL_MAX_COMPONENTS);
    uint32_t *offsets = exactly((info.segments + 1u) * sizeof(uint32_t));
    if (fl_head_offsets(data, size, &info, offsets) == FL_OK && info.codec == FL_CODEC_WAVELET) {
        require(offsets[0] == info.head_size);
        for (uint32_t s = 0; s < info.segments; s++) require(offsets[s] <= offsets[s + 1u]);
        size_t count = (size_t)info.tiles * info.components;
        int32_t **tiles = exactly(count * sizeof(int32_t *));
        memset(tiles, 0, count * sizeof(int32_t *));
        void *scratch = exactly(fl_wavelet_tile_scratch(&info));
        uint32_t left = MOST_TILES;
        for (uint32_t level = info.levels + 1u; level-- > 0u && left > 0u;) {
            const fl_level *l = &info.level[level];
            for (uint32_t tile = 0; tile < l->tiles_x * l->tiles_y && left > 0u; tile++, left--)
                for (uint32_t c = 0; c < info.components; c++)
                    tiles[c + info.components * (l->first_tile + tile)] =
                        decode_tile(&info, offsets, data, size, c, level, tile, scratch);
        }
        uint16_t *values = exactly(info.values * sizeof(uint16_t));
        require(fl_head_values(data, size, &info, values) == FL_OK);
        picture(&info, info.levels, (const int32_t *const *)tiles, values);
        picture(&info, info.levels / 2u, (const int32_t *const *)tiles, values);
        picture(&info, 0, (const int32_t *const *)tiles, values);
        free(values);
        for (size_t i = 0; i < count; i++) free(tiles[i]);
        free(tiles);
        free(scratch);
    }
    free(offsets);
}

/* Make the checksums right, so that what lies behind them is reached too. */
static void repair(uint8_t *data, size_t size) {
    if (size < 16u) return;
    size_t head_size = fl_read32(data + 8);
    if (head_size < 16u || head_size > size) return;
    fl_write32(data + head_size - 4u, fl_crc32c(data, head_size - 4u));
    fl_info info;
    if (fl_head_parse(data, size, &info) != FL_OK) return;
    uint32_t *offsets = exactly((info.segments + 1u) * sizeof(uint32_t));
    if (fl_head_offsets(data, size, &info, offsets) == FL_OK)
        for (uint32_t s = 0; s < info.segments && offsets[s + 1u] <= size; s++) {
            if (offsets[s + 1u] - offsets[s] < 2u) continue;
            uint32_t crc = fl_crc16(data + offsets[s], offsets[s + 1u] - offsets[s] - 2u);
            data[offsets[s + 1u] - 2u] = (uint8_t)crc;
            data[offsets[s + 1u] - 1u] = (uint8_t)(crc >> 8);
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
