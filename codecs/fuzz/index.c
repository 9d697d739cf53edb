/* Fuzz target: any bytes as a head. The fixed part's magic, version, size and checksum are made right, so that what
 * lies behind them is reached. What the reader takes the writer must take too, and give the same index again; sums and
 * sizes must stay within what firstlight.h promises. */
#include <string.h>

#include "common.h"

/* Rewriting is skipped above: a time limit. */
enum { MOST_SEGMENTS = 1 << 18 };

static void check_tables(const fl_info *info) {
    uint32_t segments = 0, tiles = 0, sum = 0;
    for (uint32_t k = info->levels + 1u; k-- > 0u;) {
        const fl_level *level = &info->level[k];
        require(level->layers >= 1u && level->layers <= FL_MAX_LAYERS && level->first_tile == tiles);
        tiles += level->tiles_x * level->tiles_y;
        for (uint32_t n = 1; n <= level->layers; n++) {
            require(level->error[n] <= level->error[n - 1u] && level->mse[n] <= level->mse[n - 1u]);
            require(fl_mse_code(fl_mse_value(level->mse[n])) == level->mse[n]);
        }
        require(level->error[0] <= UINT32_MAX - sum);
        sum += level->error[0];
    }
    /* The numbers of segments are a permutation: groups, levels and tiles follow upon each other. */
    for (uint32_t g = 0; g < info->groups; g++)
        for (uint32_t k = info->levels + 1u; k-- > 0u;) {
            const fl_level *level = &info->level[k];
            const uint32_t first = fl_group_start(info, g, level->layers);
            const uint32_t end = fl_group_start(info, g + 1u, level->layers);
            require(level->first_segment[g] == segments);
            for (uint32_t n = first; n < end; n++) require(fl_segment(info, k, n, 0) == segments + n - first);
            segments += level->tiles_x * level->tiles_y * (end - first);
            if (end > first)
                require(fl_segment(info, k, end - 1u, level->tiles_x * level->tiles_y - 1u) == segments - 1u);
        }
    require(info->tiles == tiles && info->segments == segments);
}

static void write_again(const fl_info *info, const uint32_t *offsets, const uint16_t *values) {
    uint32_t *lengths = exactly(info->segments * sizeof(uint32_t));
    for (uint32_t s = 0; s < info->segments; s++) lengths[s] = offsets[s + 1u] - offsets[s];
    /* A number takes 31 steps to its bit length at most, of 10 bits each if none is likely, and 31 more. Tables have
     * some 200. */
    size_t capacity = 12288u + (size_t)info->values * 12u + (size_t)info->segments * 44u, written = 0;
    uint8_t *out = exactly(capacity);
    require(fl_head_write(info, values, lengths, out, capacity, &written) == FL_OK && written <= capacity);
    uint8_t *head = exactly(written);
    memcpy(head, out, written);
    fl_info again;
    require(fl_head_parse(head, written, FL_MAX_GROUPS, &again) == FL_OK);
    uint32_t *other = exactly((info->segments + 1u) * sizeof(uint32_t));
    uint16_t *places = exactly(info->values * sizeof(uint16_t));
    require(again.segments == info->segments && again.values == info->values && again.groups == info->groups);
    /* A head of another size moves the segments: their ends may leave 32 bits. */
    fl_status status = fl_head_index(head, written, &again, other);
    require(memcmp(again.level, info->level, sizeof info->level) == 0);
    require(status == FL_OK || (status == FL_CORRUPT && written > info->head_size));
    for (uint32_t s = 0; s < info->segments && status == FL_OK; s++) require(other[s + 1u] - other[s] == lengths[s]);
    require(fl_head_values(head, written, &again, places) == FL_OK);
    if (info->values > 0) require(memcmp(places, values, info->values * sizeof(uint16_t)) == 0);
    /* No other size is taken for it. */
    require(fl_head_write(info, values, lengths, out, written - 1u, &written) == FL_NO_SPACE);
    free(places);
    free(other);
    free(head);
    free(out);
    free(lengths);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { FRONT = 8 }; /* magic, version, codec, a size of two bytes */
    if (size < 24u || size + FRONT >= 1u << 14) return 0;
    uint8_t *head = exactly(size + FRONT);
    memcpy(head, "FLSH\4\0", 6);
    size += FRONT;
    head[6] = (uint8_t)(size | 128u);
    head[7] = (uint8_t)(size >> 7);
    memcpy(head + FRONT, data, size - FRONT);
    repair_head(head, size);
    fl_info info;
    fl_status status = fl_head_parse(head, size, FL_MAX_GROUPS, &info);
    require(status == FL_OK || status == FL_CORRUPT || (status == FL_INSUFFICIENT && size < 128u));
    if (status == FL_OK) {
        require(info.head_size == size && info.segments <= 64u * size);
        uint32_t *offsets = exactly((info.segments + 1u) * sizeof(uint32_t));
        uint16_t *values = exactly(info.values * sizeof(uint16_t));
        require(fl_head_values(head, size, &info, values) == FL_OK);
        status = fl_head_index(head, size, &info, offsets);
        require(status == FL_OK || status == FL_CORRUPT);
        if (status == FL_OK) check_tables(&info);
        if (status == FL_OK && info.segments <= MOST_SEGMENTS) write_again(&info, offsets, values);
        free(values);
        free(offsets);
    }
    free(head);
    return 0;
}
