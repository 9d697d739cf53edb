/* Fuzz target: any bytes as the samples of a small image. Transform, tiles and the inverse must give them back exactly,
 * within buffers of exactly the promised sizes; fewer layers must stay within the stated bound. */
#include <stdlib.h>
#include <string.h>

#include "../kernels/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Tiles of more than 64 x 64 coefficients a band are coded by rANS. */
enum { MOST_SIDE = 160 };

static void require(int ok) {
    if (!ok) abort();
}

static void *exactly(size_t size) {
    void *p = malloc(size ? size : 1u);
    require(p != NULL);
    return p;
}

static int32_t sample(const fl_info *info, const void *samples, size_t i) {
    if (info->bits <= 8u) return info->is_signed ? ((const int8_t *)samples)[i] : ((const uint8_t *)samples)[i];
    return info->is_signed ? ((const int16_t *)samples)[i] : ((const uint16_t *)samples)[i];
}

/* The most that the first `layers` layers may leave: the sum over levels of what each adds (SPEC 2.4). */
static uint32_t bound(const fl_info *info, uint32_t layers) {
    uint32_t sum = 0;
    for (uint32_t k = 0; k <= info->levels; k++) sum += info->level[k].error[fl_min(layers, info->level[k].layers)];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 8u) return 0;
    fl_info info;
    memset(&info, 0, sizeof info);
    info.codec = FL_CODEC_WAVELET;
    info.width = 1u + data[0] % MOST_SIDE;
    info.height = 1u + data[1] % MOST_SIDE;
    info.components = data[2] & 1u ? 3u : 1u;
    info.components = data[2] & 128u && info.components == 3u ? 4u : info.components;
    info.colour = info.components >= 3u ? (data[2] >> 1 & 1u) + (data[2] >> 4 & 1u) : FL_COLOUR_NONE;
    info.transform = (data[2] >> 5 & 3u) % 3u;
    info.is_signed = data[2] >> 2 & 1u;
    info.bits = data[2] & 8u ? 16u : 8u;
    require(fl_head_plan(&info) == FL_OK);
    for (uint32_t c = 0; c < info.components; c++)
        for (uint32_t k = 0; k < info.levels; k++)
            for (uint32_t n = 0, cut = 3u + data[3] % 12u; n < info.level[k].layers;
                 n++, cut = cut > 2u ? cut / 2u : 0u)
                info.cut[c][k][n] = n + 1u == info.level[k].layers ? 0u : cut;

    size_t plane = (size_t)info.width * info.height, count = plane * info.components;
    size_t bytes = count * (info.bits <= 8u ? 1u : 2u);
    uint8_t *samples = exactly(bytes), *again = exactly(bytes);
    for (size_t i = 0; i < bytes; i++) samples[i] = data[4u + i % (size - 4u)]; /* a short input repeats */
    int32_t *planes = exactly(count * sizeof(int32_t));
    void *workspace = exactly(fl_wavelet_forward_workspace(&info));
    ptrdiff_t stride_c = (ptrdiff_t)plane, stride_y = (ptrdiff_t)info.width;
    require(fl_wavelet_forward(&info, samples, stride_c, stride_y, 1, planes, workspace) == FL_OK);
    free(workspace);
    require(fl_wavelet_errors(&info, planes, NULL) == FL_OK);

    void *scratch = exactly(fl_wavelet_tile_scratch(&info));
    workspace = exactly(fl_wavelet_region_workspace(&info, 0, info.width, info.height));
    int32_t **tiles = exactly((size_t)info.tiles * info.components * sizeof(int32_t *));
    size_t capacity = 64u + 8u * 3u * (size_t)FL_MAX_TILE * FL_MAX_TILE;
    uint8_t *segments = exactly(capacity);
    for (uint32_t layers = 0; layers <= info.level[0].layers; layers++) {
        for (uint32_t k = 0; k <= info.levels; k++)
            for (uint32_t t = 0; t < info.level[k].tiles_x * info.level[k].tiles_y; t++)
                for (uint32_t c = 0; c < info.components; c++) {
                    const fl_level *level = &info.level[k];
                    uint32_t x = t % level->tiles_x, y = t / level->tiles_x, lengths[FL_MAX_LAYERS] = {0};
                    require(fl_wavelet_tile_encode(&info, c, k, x, y, planes + c * plane, segments, capacity, lengths,
                                                   scratch) == FL_OK);
                    for (uint32_t path = FL_PATH_PORTABLE; layers == 0 && path <= FL_PATH_AVX512; path++) {
                        uint32_t sizes[FL_MAX_LAYERS] = {0}, total = 0;
                        uint8_t *other = exactly(capacity);
                        fl_status found = fl_wavelet_tile_encode_by(path, &info, c, k, x, y, planes + c * plane, other,
                                                                    capacity, sizes, scratch);
                        require(found == FL_OK || found == FL_INVALID);
                        for (uint32_t n = 0; n < level->layers; n++) total += lengths[n];
                        if (found == FL_OK)
                            require(memcmp(sizes, lengths, sizeof sizes) == 0 && memcmp(other, segments, total) == 0);
                        free(other);
                    }
                    const uint8_t *parts[FL_MAX_LAYERS] = {segments};
                    for (uint32_t n = 1; n < level->layers; n++) parts[n] = parts[n - 1u] + lengths[n - 1u];
                    int32_t *coefs = exactly(fl_wavelet_tile_size(&info, k, x, y) * sizeof(int32_t));
                    require(fl_wavelet_tile_decode(&info, c, k, x, y, parts, lengths, fl_min(layers, level->layers),
                                                   coefs, scratch) == FL_OK);
                    tiles[c + info.components * (level->first_tile + t)] = coefs;
                }
        require(fl_wavelet_region(&info, 0, 0, 0, info.width, info.height, (const int32_t *const *)tiles, NULL, again,
                                  stride_c, stride_y, 1, workspace) == FL_OK);
        for (size_t i = 0; i < count; i++) {
            int32_t off = sample(&info, samples, i) - sample(&info, again, i);
            require((uint32_t)(off < 0 ? -off : off) <= bound(&info, layers));
        }
        for (uint32_t i = 0; i < info.tiles * info.components; i++) free(tiles[i]);
    }
    require(memcmp(samples, again, bytes) == 0);
    free(segments);
    free(tiles);
    free(workspace);
    free(scratch);
    free(planes);
    free(again);
    free(samples);
    return 0;
}
