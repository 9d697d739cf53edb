/* Fuzz target: any bytes as the samples of a small image. Transform, tiles and the inverse must give them back exactly,
 * within buffers of exactly the promised sizes; any number of layers must stay within the stated bound; a prefix of a
 * segment must give whole passes; all ways of coding that the processor has must agree. */
#include <string.h>

#include "common.h"

/* Tiles of more than 64 x 64 coefficients a band are coded by rANS. */
enum { MOST_SIDE = 160, MOST_LAYERS = 7, OPTIONS = 8 };

/* Segments of a tile, in a buffer of their size. */
typedef struct {
    uint8_t *data;
    const uint8_t *layer[FL_MAX_LAYERS];
    uint32_t size[FL_MAX_LAYERS];
} tile_segments;

/* What the first bytes of an input choose; a table of values that lie 1 + i % 3 apart, or none. */
static void choose(const uint8_t *data, fl_info *info, uint16_t *values) {
    memset(info, 0, sizeof *info);
    info->codec = FL_CODEC_WAVELET;
    info->width = 1u + data[0] % MOST_SIDE;
    info->height = 1u + data[1] % MOST_SIDE;
    info->components = 1u + (data[2] & 3u);
    info->colour = info->components >= 3u ? (data[2] >> 2 & 3u) % 3u : FL_COLOUR_NONE;
    info->transform = (data[2] >> 4 & 3u) % 3u;
    info->is_signed = data[2] >> 6 & 1u;
    info->bits = 1u + data[3] % 16u;
    if (data[2] >> 7 && info->bits >= 3u) info->values = 1u << (info->bits - 2u);
    uint32_t place = info->is_signed ? 1u << (info->bits - 1u) : 0u;
    for (uint32_t i = 0; i < info->values; i++) values[i] = (uint16_t)(i * 2u + i % 3u - place);
    info->level[0].layers = 1u + data[4] % MOST_LAYERS;
    info->groups = 1u + (data[4] >> 3) % FL_MAX_GROUPS;
    for (uint32_t g = 1; g < info->groups; g++) {
        info->group_start[g] = info->group_start[g - 1u] + 1u + (data[4] >> 5) % 3u;
        if (info->group_start[g] >= info->level[0].layers) info->groups = g;
    }
}

/* Layers' slopes fall by 2 to 16 from one of up to 2^15; a band weighs twice what its finer neighbour does. No layer,
 * or every third, second or each ends with whole planes. */
static void share_out(const uint8_t *data, const fl_info *info, fl_layering *layering) {
    static const uint64_t WHOLE[] = {0, 0x249249, 0xaaaaaa, 0xffffff};
    memset(layering, 0, sizeof *layering);
    layering->whole = WHOLE[data[5] >> 6];
    double slope = (double)(1u << data[5] % 16u);
    for (uint32_t n = 0; n < info->level[0].layers; n++, slope /= (double)(2u << (data[5] >> 4 & 3u)))
        for (uint32_t c = 0; c < info->components; c++) layering->slope[c][n] = slope;
    for (uint32_t c = 0; c < info->components; c++)
        for (uint32_t k = 0; k < info->levels; k++)
            for (uint32_t b = 0; b < 3u; b++)
                layering->weight[c][k][b] = (double)(1u << 2u * k) * (b == 2 ? 0.5 : 1.0) * (c == 0 ? 3.0 : 0.75);
}

/* Samples of `info`: bytes of the input, over and over, cut to what the head allows. */
static void *fill(const uint8_t *data, size_t size, const fl_info *info, size_t count) {
    uint8_t *small = exactly(count * (info->bits <= 8u ? 1u : 2u));
    uint16_t *big = (uint16_t *)(void *)small;
    uint32_t most = info->values > 0 ? info->values : 1u << info->bits;
    uint32_t least = info->is_signed && info->values == 0 ? most / 2u : 0u;
    for (size_t i = 0; i < count; i++) {
        uint32_t byte = data[i % size], sample = info->bits <= 8u ? byte : byte << 8 | data[(i * 7u + 3u) % size];
        if (info->bits <= 8u)
            small[i] = (uint8_t)(sample % most - least);
        else
            big[i] = (uint16_t)(sample % most - least);
    }
    return small;
}

static int32_t sample(const fl_info *info, const void *samples, size_t i) {
    if (info->bits <= 8u) return info->is_signed ? ((const int8_t *)samples)[i] : ((const uint8_t *)samples)[i];
    return info->is_signed ? ((const int16_t *)samples)[i] : ((const uint16_t *)samples)[i];
}

/* The sample that a coded one stands for. */
static int32_t original(const fl_info *info, const uint16_t *values, const void *coded, size_t i) {
    if (info->values == 0) return sample(info, coded, i);
    uint16_t value = values[info->bits <= 8u ? ((const uint8_t *)coded)[i] : ((const uint16_t *)coded)[i]];
    return info->is_signed ? (int16_t)value : value;
}

/* The most that the first `layers` layers may leave: the sum over levels of what each adds (SPEC 2.4). */
static uint32_t bound(const fl_info *info, uint32_t layers) {
    uint32_t sum = 0;
    for (uint32_t k = 0; k <= info->levels; k++) sum += info->level[k].error[fl_min(layers, info->level[k].layers)];
    return sum;
}

static tile_segments encode(const fl_info *info, const fl_layering *layering, uint32_t level, uint32_t tile,
                            const int32_t *planes, fl_tile_report *report, void *scratch) {
    const fl_level *l = &info->level[level];
    uint32_t x = tile % l->tiles_x, y = tile / l->tiles_x, total = 0;
    size_t capacity = 4096u + 8u * info->components * fl_wavelet_tile_size(info, level, x, y);
    tile_segments segments;
    memset(&segments, 0, sizeof segments);
    uint8_t *out = exactly(capacity), *other = exactly(capacity);
    require(fl_wavelet_tile_encode(info, layering, level, x, y, planes, out, capacity, segments.size, report,
                                   scratch) == FL_OK);
    for (uint32_t n = 0; n < l->layers; n++) {
        total += segments.size[n];
        require(report->squared_error[n + 1u] <= report->squared_error[n]);
    }
    require(total <= capacity);
    for (uint32_t path = FL_PATH_PORTABLE; path <= FL_PATH_AVX512; path++) {
        uint32_t sizes[FL_MAX_LAYERS] = {0};
        fl_tile_report same;
        fl_status found = fl_wavelet_tile_encode_by(path, info, layering, level, x, y, planes, other, capacity, sizes,
                                                    &same, scratch);
        require(found == FL_OK || found == FL_INVALID);
        if (found == FL_OK) require(memcmp(sizes, segments.size, sizeof sizes) == 0 && memcmp(other, out, total) == 0);
    }
    segments.data = exactly(total);
    memcpy(segments.data, out, total);
    for (uint32_t n = 0, at = 0; n < l->layers; at += segments.size[n++]) segments.layer[n] = segments.data + at;
    free(other);
    free(out);
    return segments;
}

/* The first `layers` layers of a tile, of the last one `prefix` bytes or all (0). */
static void *decode(const fl_info *info, uint32_t level, uint32_t tile, const tile_segments *segments, uint32_t layers,
                    uint32_t prefix, uint8_t *wide, void *scratch) {
    const fl_level *l = &info->level[level];
    uint32_t x = tile % l->tiles_x, y = tile / l->tiles_x, sizes[FL_MAX_LAYERS], partial = prefix > 0, is_wide = 2;
    const uint8_t *layer[FL_MAX_LAYERS];
    size_t count = info->components * fl_wavelet_tile_size(info, level, x, y);
    void *coefs = exactly(count * sizeof(int32_t));
    uint8_t *part = exactly(prefix);
    memcpy(layer, segments->layer, sizeof layer);
    memcpy(sizes, segments->size, sizeof sizes);
    if (partial) {
        memcpy(part, layer[layers - 1u], prefix);
        layer[layers - 1u] = part;
        sizes[layers - 1u] = prefix;
    }
    require(fl_wavelet_tile_decode(info, level, x, y, layer, sizes, layers, partial, coefs, &is_wide, scratch) ==
            FL_OK);
    for (uint32_t path = FL_PATH_PORTABLE; path <= FL_PATH_AVX512; path++) {
        uint32_t other_wide = 2;
        void *other = exactly(count * sizeof(int32_t));
        fl_status found = fl_wavelet_tile_decode_by(path, info, level, x, y, layer, sizes, layers, partial, other,
                                                    &other_wide, scratch);
        require(found == FL_OK || found == FL_INVALID);
        if (found == FL_OK)
            require(other_wide == is_wide &&
                    memcmp(other, coefs, count * (is_wide ? sizeof(int32_t) : sizeof(int16_t))) == 0);
        free(other);
    }
    free(part);
    *wide = (uint8_t)is_wide;
    return coefs;
}

static int32_t coefficient(const void *coefs, int wide, size_t i) {
    return wide ? ((const int32_t *)coefs)[i] : ((const int16_t *)coefs)[i];
}

/* What is known of a coefficient with its planes down to p (SPEC 3.7). */
static int32_t known(int32_t exact, uint32_t p) {
    int32_t magnitude = exact < 0 ? -exact : exact, k = magnitude >> p;
    int32_t point = k == 0 ? 0 : (k << p) + (k == 1 ? (7 << p) >> 4 : (31 << p) >> 6);
    return exact < 0 ? -point : point;
}

/* Is that what is known of `exact` with its planes down to p, or of one that is not significant by then with the first
 * part of the next plane? */
static int is_known(int32_t found, int32_t exact, uint32_t p) {
    if (found == known(exact, p)) return 1;
    return p > 0 && known(exact, p) == 0 && found == known(exact, p - 1u);
}

/* Every prefix of a layer's segment must give whole passes of it: each band as it is with its planes down to one that
 * lies between what the layers before and this one have, or with a part of the next plane. */
static void check_prefixes(const fl_info *info, uint32_t level, uint32_t tile, const tile_segments *segments,
                           const fl_tile_report *report, void *scratch) {
    const fl_level *l = &info->level[level];
    uint32_t x = tile % l->tiles_x, y = tile / l->tiles_x;
    fl_extent across = fl_tile_extent(l->width, l->tile_log2, x), down = fl_tile_extent(l->height, l->tile_log2, y);
    size_t band[3] = {(size_t)across.high * down.low, (size_t)across.low * down.high, (size_t)across.high * down.high};
    uint8_t exact_wide, wide;
    void *exact = decode(info, level, tile, segments, l->layers, 0, &exact_wide, scratch);
    for (uint32_t n = 0; n < l->layers; n++) {
        if (segments->size[n] == 0) continue;
        uint32_t payload = segments->size[n] - fl_check_size(segments->size[n]);
        for (uint32_t prefix = 1; prefix <= payload; prefix += payload < 6u ? 1u : 1u + payload / 3u) {
            void *coefs = decode(info, level, tile, segments, n + 1u, prefix, &wide, scratch);
            size_t at = 0;
            for (uint32_t c = 0; c < info->components; c++)
                for (uint32_t b = 0; b < 3u; at += band[b++]) {
                    uint32_t p = report->cut[n + 1u][c][b], most = report->cut[n][c][b];
                    for (int same = 0; !same; p++) {
                        require(p <= most);
                        same = 1;
                        for (size_t i = at; i < at + band[b] && same; i++)
                            same = is_known(coefficient(coefs, wide, i), coefficient(exact, exact_wide, i), p);
                    }
                }
            free(coefs);
        }
    }
    free(exact);
}

/* What is measured in bands of rows of a picture of some layers is what it is off by: `off` in coded samples. */
static void check_measured(const fl_info *info, const int32_t *planes, const fl_tile_report *reports, uint32_t layers,
                           const void *samples, uint32_t off) {
    uint32_t most[FL_MEASURED_LEVELS] = {0}, whole[FL_MEASURED_LEVELS];
    const ptrdiff_t plane = (ptrdiff_t)info->width * info->height;
    const uint32_t band = 1u + layers * 5u;
    for (uint32_t y = 0; y <= info->height; y += band) {
        const uint32_t first = y < info->height ? y : 0,
                       rows = y < info->height ? fl_min(band, info->height - y) : info->height;
        uint32_t apart[FL_MEASURED_LEVELS];
        void *workspace = exactly(fl_wavelet_measure_workspace(info, rows));
        require(fl_wavelet_measure(info, planes, reports, &layers, 1, first, rows, samples, plane,
                                   (ptrdiff_t)info->width, 1, apart, workspace) == FL_OK);
        free(workspace);
        for (uint32_t k = 0; k < FL_MEASURED_LEVELS; k++) {
            whole[k] = apart[k];
            if (y < info->height) most[k] = most[k] > apart[k] ? most[k] : apart[k];
        }
        if (y < info->height && y + band > info->height) y = info->height - band; /* then all rows at once */
    }
    require(memcmp(most, whole, sizeof most) == 0 && most[0] == off);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint16_t values[1u << 14];
    if (size <= OPTIONS) return 0;
    fl_info info;
    fl_layering layering;
    choose(data, &info, values);
    require(fl_head_plan(&info) == FL_OK);
    share_out(data, &info, &layering);

    size_t plane = (size_t)info.width * info.height, count = plane * info.components;
    void *samples = fill(data + OPTIONS, size - OPTIONS, &info, count), *again = exactly(count * 2u);
    int32_t *planes = exactly(count * sizeof(int32_t));
    void *workspace = exactly(fl_wavelet_forward_workspace(&info));
    ptrdiff_t stride_c = (ptrdiff_t)plane, stride_y = (ptrdiff_t)info.width;
    require(fl_wavelet_forward(&info, samples, stride_c, stride_y, 1, planes, workspace) == FL_OK);
    free(workspace);

    void *scratch = exactly(fl_wavelet_encode_scratch(&info));
    tile_segments *segments = exactly(info.tiles * sizeof *segments);
    fl_tile_report *reports = exactly(info.tiles * sizeof *reports);
    for (uint32_t k = 0; k <= info.levels; k++)
        for (uint32_t t = 0, first = info.level[k].first_tile; t < info.level[k].tiles_x * info.level[k].tiles_y; t++)
            segments[first + t] = encode(&info, &layering, k, t, planes, &reports[first + t], scratch);
    free(scratch);
    require(fl_wavelet_errors(&info, planes, reports, info.values > 0 ? values : NULL) == FL_OK);

    scratch = exactly(fl_wavelet_decode_scratch(&info));
    workspace = exactly(fl_wavelet_region_workspace(&info, 0, info.width, info.height));
    void **tiles = exactly(info.tiles * sizeof(void *));
    uint8_t *wide = exactly(info.tiles);
    for (uint32_t layers = 0; layers <= info.level[0].layers; layers++) {
        for (uint32_t k = 0; k <= info.levels; k++)
            for (uint32_t t = 0, first = info.level[k].first_tile; t < info.level[k].tiles_x * info.level[k].tiles_y;
                 t++)
                tiles[first + t] = decode(&info, k, t, &segments[first + t], fl_min(layers, info.level[k].layers), 0,
                                          &wide[first + t], scratch);
        require(fl_wavelet_region(&info, 0, 0, 0, info.width, info.height, (const void *const *)tiles, wide, NULL,
                                  info.values > 0 ? values : NULL, again, stride_c, stride_y, 1, workspace) == FL_OK);
        uint32_t most = layers < info.level[0].layers ? bound(&info, layers) : 0u, worst = 0;
        for (size_t i = 0; i < count; i++) {
            int32_t off = original(&info, values, samples, i) - sample(&info, again, i);
            worst = fl_max(worst, (uint32_t)(off < 0 ? -off : off));
        }
        require(worst <= most);
        if (layers > 0 && info.levels > 0 && info.values == 0 && layering.whole >> layers & 1u &&
            layers < info.level[0].layers)
            check_measured(&info, planes, reports, layers, samples, worst);
        for (uint32_t i = 0; i < info.tiles; i++) free(tiles[i]);
    }
    for (uint32_t k = 0; k < info.levels; k++)
        for (uint32_t t = 0, first = info.level[k].first_tile; t < info.level[k].tiles_x * info.level[k].tiles_y; t++)
            check_prefixes(&info, k, t, &segments[first + t], &reports[first + t], scratch);
    for (uint32_t i = 0; i < info.tiles; i++) free(segments[i].data);
    free(wide);
    free(tiles);
    free(workspace);
    free(scratch);
    free(reports);
    free(segments);
    free(planes);
    free(again);
    free(samples);
    return 0;
}
