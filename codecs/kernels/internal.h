/* What the kernels share: no libc, arithmetic that is defined for every input, geometry of levels and tiles. */
#ifndef FL_INTERNAL_H
#define FL_INTERNAL_H

#include "firstlight.h"

#define FL_STATIC_ASSERT _Static_assert

/* Largest tile: 2^8 samples a side at level 0, so 128 coefficients of each band (SPEC 3.2). */
#define FL_MAX_TILE_LOG2 8u
#define FL_MAX_TILE (1u << (FL_MAX_TILE_LOG2 - 1u))
/* The coarsest band is one tile; SPEC 3.2 wants it to be at most 4 x 4. */
#define FL_BASE_LOG2 2u
/* FL_MAX_PLANES: 17-bit colour differences grow by at most 2 bits a transform direction, so that 21 planes hold any
 * coefficient of 16-bit input. */

#define fl_copy __builtin_memcpy
#define fl_fill __builtin_memset

static inline uint32_t fl_min(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t fl_max(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* ceil(n / 2^k), n <= 2^31. */
static inline uint32_t fl_ceil_shift(uint32_t n, uint32_t k) { return (n + ((1u << k) - 1u)) >> k; }

/* Extents of the low and high bands that a level of `n` samples splits into. */
static inline uint32_t fl_low(uint32_t n) { return (n + 1u) >> 1; }
static inline uint32_t fl_high(uint32_t n) { return n >> 1; }

/* One tile of a level: coefficients [low0, low0 + low) of the low band and as many of the high band as there are. */
typedef struct {
    uint32_t first; /* index of the first coefficient, in both bands */
    uint32_t low, high;
} fl_extent;

static inline fl_extent fl_tile_extent(uint32_t samples, uint32_t tile_log2, uint32_t tile) {
    uint32_t step = 1u << (tile_log2 - 1u);
    fl_extent extent;
    extent.first = tile * step;
    extent.low = fl_min(step, fl_low(samples) - extent.first);
    extent.high = fl_high(samples) > extent.first ? fl_min(step, fl_high(samples) - extent.first) : 0u;
    return extent;
}

/* Little-endian words, at any address. */
static inline uint32_t fl_read32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline void fl_write32(uint8_t *p, uint32_t v) {
    for (uint32_t i = 0; i < 4u; i++) p[i] = (uint8_t)(v >> (8u * i));
}

/* First layer of a group in a level of `layers` layers; of group info->groups: the end of the last one (SPEC 2.6). */
static inline uint32_t fl_group_start(const fl_info *info, uint32_t group, uint32_t layers) {
    return group < info->groups ? fl_min(info->group_start[group], layers) : layers;
}

/* Segments of a group. */
static inline uint32_t fl_group_segments(const fl_info *info, uint32_t group) {
    const uint32_t *first = info->level[info->levels].first_segment;
    return (group + 1u < info->groups ? first[group + 1u] : info->segments) - first[group];
}

/* Bytes of the check that a non-empty segment of `size` bytes ends with (SPEC 2.6): the low ones of the CRC-32C of all
 * before. */
static inline uint32_t fl_check_size(uint32_t size) { return size < 64u ? 1u : 2u; }

#endif
