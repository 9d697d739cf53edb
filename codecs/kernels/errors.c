/* Error bounds: what the coefficients that a reader leaves out may do to samples (SPEC 2.4; 3.8 has the proofs). */
#include "rows.h"

static uint32_t largest(const int32_t *plane, size_t stride, uint32_t width, uint32_t height) {
    const fl_rows_32 *rows = fl_get_rows_32();
    uint32_t most = 0;
    for (uint32_t y = 0; y < height; y++) most = fl_max(most, rows->reach(plane + y * stride, width));
    return most;
}

static uint32_t half_up(uint32_t n) { return (n + 1u) >> 1; }

/* One direction of the inverse, worst sample: low coefficients off by at most `low`, high ones by at most `high`.
 * In sixteenths: an odd sample of the 5/3 is off by low + high and 3/4 + 1/2 of rounding, of the 9/7-M by 5/4 low +
 * high and 5/4 x 3/4 + 15/16; the roundings of details need details that are off. */
static uint32_t joined(uint32_t transform, uint32_t low, uint32_t high) {
    if (transform == FL_TRANSFORM_HAAR) return low + half_up(high);
    if (transform == FL_TRANSFORM_53) return low + high + (high > 0 ? 1u : 0u);
    uint32_t rounding = (low > 0 || high > 0 ? 15u : 0u) + (high > 0 ? 15u : 0u);
    return (20u * low + 16u * high + rounding) >> 4;
}

/* Bound on what errors of at most hl, lh, hh of the bands of level k, all else being exact or equally wrong, add to any
 * sample of level k or finer. */
static uint32_t spread(uint32_t transform, uint32_t k, uint32_t hl, uint32_t lh, uint32_t hh) {
    uint32_t error = joined(transform, joined(transform, 0, hl), joined(transform, lh, hh)), most = error;
    if (transform != FL_TRANSFORM_97M || error == 0) return most; /* an error of the LL band stays what it is */
    /* 9/7-M: m more levels amplify by at most A(m) = 1.5654, and each adds 15/16 x (1 + 5/4) of rounding, which those
     * after it amplify. Alternatively level by level, in whole numbers. The better of the two, in 1/65536. */
    uint64_t roundings = 0;
    uint32_t whole = error;
    for (uint32_t m = 1; m <= k; m++) {
        roundings += m == 1 ? 138240u : 216401u; /* 15/16 x 9/4, and 1.5654 of that */
        whole = joined(transform, joined(transform, whole, 0), 0);
        uint64_t linear = (uint64_t)error * 102591u + roundings; /* 1.5654 */
        whole = fl_min(whole, (uint32_t)(linear >> 16));
        most = fl_max(most, whole);
    }
    return most;
}

/* Inverse colour transforms of errors of at most error[c], worst component. RCT: G = Y - floor((U + V) / 4); R = V + G
 * is off by Y + 3/4 V + 1/4 U, and less than 1 for rounding. YCoCg-R: R, G and B are Y -+ Cg/2 -+ Co/2, each half
 * rounded. */
static uint32_t colour_bound(const fl_info *info, const uint32_t *error) {
    uint32_t bound = 0, first = 0;
    if (info->colour == FL_COLOUR_RCT) {
        uint32_t more = fl_max(error[1], error[2]), less = fl_min(error[1], error[2]);
        bound = error[0] + ((3u * more + less + 3u) >> 2);
        first = 3;
    } else if (info->colour == FL_COLOUR_YCOCG_R) {
        bound = error[0] + half_up(error[1]) + half_up(error[2]);
        first = 3;
    }
    for (uint32_t c = first; c < info->components; c++) bound = fl_max(bound, error[c]);
    return bound;
}

/* The most that samples differ by whose places in the value table differ by at most `steps`. */
static uint32_t apart(const fl_info *info, const uint16_t *values, uint32_t steps) {
    uint32_t most = 0, last = info->values - 1u;
    for (uint32_t i = 0; i <= last; i++) {
        uint32_t to = steps < last - i ? i + steps : last;
        most = fl_max(most, (uint16_t)(values[to] - values[i]));
    }
    return most;
}

/* The most that coefficients of a tile, band by band, are off by after n layers (SPEC 3.7). */
static uint32_t left_of(const fl_tile_report *report, uint32_t n, uint32_t c, uint32_t b) {
    return fl_min(report->most[c][b], (1u << report->cut[n][c][b]) - 1u);
}

/* What samples near a tile, up to `reach` tiles away, may be off by: the worst component of the worst of them. */
static uint32_t near_tile(const fl_info *info, const fl_tile_report *reports, uint32_t k, uint32_t n, uint32_t tile_x,
                          uint32_t tile_y, uint32_t reach) {
    const fl_level *level = &info->level[k];
    const uint32_t x1 = fl_min(tile_x + reach + 1u, level->tiles_x), y1 = fl_min(tile_y + reach + 1u, level->tiles_y);
    uint32_t error[FL_MAX_COMPONENTS];
    for (uint32_t c = 0; c < info->components; c++) {
        uint32_t left[3] = {0};
        for (uint32_t y = tile_y - fl_min(tile_y, reach); y < y1; y++)
            for (uint32_t x = tile_x - fl_min(tile_x, reach); x < x1; x++)
                for (uint32_t b = 0; b < 3u; b++)
                    left[b] = fl_max(left[b], left_of(&reports[level->first_tile + y * level->tiles_x + x], n, c, b));
        error[c] = spread(info->transform, k, left[0], left[1], left[2]);
    }
    return colour_bound(info, error);
}

/* The most that a level adds while all of its tiles have n layers or more. */
static uint32_t level_bound(const fl_info *info, const fl_tile_report *reports, uint32_t k, uint32_t n) {
    const fl_level *level = &info->level[k];
    /* Samples of this level depend on the tiles around their own, those of finer levels on the samples around that. */
    const uint32_t reach = info->margin == 0 ? 0u : k > 0 ? 2u : 1u;
    uint32_t most = 0;
    for (uint32_t y = 0; y < level->tiles_y; y++)
        for (uint32_t x = 0; x < level->tiles_x; x++) most = fl_max(most, near_tile(info, reports, k, n, x, y, reach));
    return most;
}

/* Without the base there is no picture at all; whoever shows one of nothing is off by its samples. */
static uint32_t base_bound(const fl_info *info, const int32_t *planes) {
    const fl_level *base = &info->level[info->levels];
    const size_t plane_size = (size_t)info->width * info->height;
    uint32_t error[FL_MAX_COMPONENTS];
    for (uint32_t c = 0; c < info->components; c++)
        error[c] = largest(planes + c * plane_size, info->width, base->width, base->height);
    return colour_bound(info, error);
}

fl_status fl_wavelet_errors(fl_info *info, const int32_t *planes, const fl_tile_report *reports,
                            const uint16_t *values) {
    if (info->values > 0 && !values) return FL_INVALID;
    for (uint32_t k = 0; k <= info->levels; k++) {
        fl_level *level = &info->level[k];
        for (uint32_t n = 0; n <= level->layers; n++) {
            uint32_t bound = k < info->levels ? level_bound(info, reports, k, n)
                             : n > 0          ? 0u
                                              : base_bound(info, planes);
            /* No two samples differ by more than their range; a sum with that in it promises no less. */
            bound = fl_min(bound, (1u << info->bits) - 1u);
            level->error[n] = info->values > 0 ? apart(info, values, bound) : bound;
        }
    }
    return FL_OK;
}

fl_status fl_wavelet_set_measured(fl_info *info, const uint32_t *layers, uint32_t count, const uint32_t *apart_by,
                                  const uint16_t *values) {
    if (info->values > 0 && !values) return FL_INVALID;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < fl_measured_levels(info); k++) {
            const uint32_t steps = apart_by[i * FL_MEASURED_LEVELS + k];
            if (layers[i] < 1 || layers[i] >= info->level[k].layers) return FL_INVALID;
            info->level[k].measured[layers[i]] = info->values > 0 ? apart(info, values, steps) : steps;
        }
    return FL_OK;
}
