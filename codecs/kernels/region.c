/* Inverse transform of a region of a level from the tiles under it (SPEC 3.4): row by row, in 16 bits as long as that
 * is exact, in 32 bits otherwise. */
#include "region.h"

typedef fl_picture picture;
typedef fl_area area;

/* Beside a row: three mirrored values at most; as many as keep rows of int16 aligned to 64 bytes. */
#define BESIDE 32u

/* Rows of a tile that are fetched ahead: processors don't foresee that a tile goes on after the rows of its neighbours.
 */
#define AHEAD 2u

static void prefetch(const void *p, size_t size) {
    for (size_t i = 0; i < size; i += 64u) __builtin_prefetch((const uint8_t *)p + i);
}

static const uint8_t NOT_TRIMMED[2] = {0, 0};

/* Rows that the streams of all components share. */
#define SHARED_ROWS 4u

/* Room for a row `depth` levels below a region of `width` samples. fl_plan_steps asks for at most width / 2 + 3.5 low
 * coefficients of a row of `width` samples, so for width / 2^depth + 7; rows are whole pairs (+ 2), with values beside
 * them. */
static size_t row_room(uint32_t width, uint32_t depth) {
    return ((((size_t)width >> depth) + 9u + BESIDE - 1u) / BESIDE + 2u) * BESIDE;
}

/* Whether int16 holds all that one level computes from low samples of at most `low` in magnitude and coefficients of at
 * most `high`, and what colour transforms make of the result.
 *
 * With M and m for these: one direction of the 5/3 and of S-Haar gives at most M + 1.5 m + 2, two directions M + 5.25 m
 * + 10. Up to 16,382, every sum is at most 2 x 16,382 + 2 < 2^15; up to 13,000, the inverse colour transforms stay
 * below 2.5 x 13,000 + 1 < 2^15. One direction of the 9/7-M gives at most 1.25 M + 1.625 m + 4, two 1.5625 M + 6.7 m +
 * 16; up to 8,189, its sum of four is at most 4 x 8,189 + 8 < 2^15. */
static uint32_t fits_narrow(const fl_info *info, uint32_t low, uint32_t high) {
    uint64_t M = low, m = high, most = info->colour == FL_COLOUR_NONE ? 16382u : 13000u;
    if (info->transform == FL_TRANSFORM_97M) return 100u * M + 432u * m + 1024u <= 64u * 8189u;
    return 4u * M + 21u * m + 40u <= 4u * most;
}

#define T int32_t
#define ROWS fl_rows_32
#define NAME(function) function##_32
#include "stream.h"
#undef T
#undef ROWS
#undef NAME

#define T int16_t
#define ROWS fl_rows_16
#define NAME(function) function##_16
#include "stream.h"
#undef T
#undef ROWS
#undef NAME

/* In 32 bits, rows are given by the coarsest level, or have been made before. */
static void give_32(stream_32 *s) {
    const picture *p = s->picture;
    if (p->made) {
        s->given = fl_made_row(p->made, s->component, s->given_y) + s->given_x.start;
        return;
    }
    const fl_level *level = &p->info->level[s->end];
    const int32_t middle = fl_base_middle(p->info, s->component);
    const size_t row = (size_t)s->component * level->height + s->given_y;
    const int32_t *coefs = p->cut ? fl_plane_row(p, s->component, s->given_y) : p->tiles[level->first_tile];
    if (coefs) coefs += (p->cut ? 0u : row * level->width) + s->given_x.start;
    for (uint32_t i = 0; i < fl_length(s->given_x); i++) s->given[i] = (coefs ? coefs[i] : 0) - middle;
}

/* In 16 bits, by a stream of 32 bits. */
static void give_16(stream_16 *s) {
    uint32_t n = fl_length(s->given_x);
    const int32_t *row = next_row_32(s->coarser, s->end);
    s->narrow &= fits_narrow(s->picture->info, fl_get_rows_32()->reach(row, n), 0);
    s->rows->take_32(row, n, s->given);
}

/* Coefficients of coarse levels are large, and few: up to 8 bits all levels are made in 16 bits, above that this many.
 */
#define NARROW_LEVELS 2u

static uint32_t make_narrow(const picture *p, area want, uint32_t first, int16_t *room) {
    stream_16 streams[FL_MAX_COMPONENTS];
    stream_32 coarser[FL_MAX_COMPONENTS];
    const uint32_t levels = p->made ? p->level + 1u : p->info->levels;
    const uint32_t seam = p->info->bits > 8 ? fl_min(p->level + NARROW_LEVELS, levels) : levels;
    int16_t *shared = room;
    area needed = want;
    room += SHARED_ROWS * row_room(p->width, 0);
    for (uint32_t c = 0; c < p->info->components; c++) {
        needed = open_16(&streams[c], p, fl_get_rows_16(), c, p->level, seam, want, shared, &room);
        streams[c].coarser = &coarser[c];
    }
    int32_t *wide_shared = fl_align(room), *wide_room = wide_shared + SHARED_ROWS * row_room(p->width, seam - p->level);
    for (uint32_t c = 0; c < p->info->components; c++)
        open_32(&coarser[c], p, fl_get_rows_32(), c, seam, levels, needed, wide_shared, &wide_room);
    return make_16(p, fl_get_rows_16(), streams, first, fl_length(want.y));
}

static uint32_t make_wide(const picture *p, area want, uint32_t first, int32_t *room) {
    stream_32 streams[FL_MAX_COMPONENTS];
    int32_t *shared = room;
    room += SHARED_ROWS * row_room(p->width, 0);
    for (uint32_t c = 0; c < p->info->components; c++)
        open_32(&streams[c], p, fl_get_rows_32(), c, p->level, p->made ? p->level + 1u : p->info->levels, want, shared,
                &room);
    return make_32(p, fl_get_rows_32(), streams, first, fl_length(want.y));
}

/* In rows of int32: those shared, of one stream or of two; nine a level, and those given to one stream or to two; and
 * what aligns them. */
size_t fl_wavelet_region_workspace(const fl_info *info, uint32_t level, uint32_t width, uint32_t height) {
    (void)height;
    size_t rows = 2u * (SHARED_ROWS + info->components) * row_room(width, 0);
    for (uint32_t k = level; k < info->levels && k < FL_MAX_LEVELS; k++)
        rows += 9u * info->components * row_room(width, k - level);
    return rows * sizeof(int32_t) + 2u * FL_ALIGN;
}

/* Rows that are made in 32 bits before 16 bits are tried again. */
#define WIDE_ROWS 256u

void fl_make_region(const fl_picture *p, fl_area want, void *workspace) {
    area rest = want;
    const uint32_t height = fl_length(want.y);
    uint32_t wide_rows = WIDE_ROWS;
    void *room = fl_align(workspace);
    for (uint32_t done = 0; done < height;) {
        rest.y = (fl_span){want.y.start + done, want.y.end};
        uint32_t made = make_narrow(p, rest, done, room);
        done += made;
        if (done == height) break;
        if (made == 0) wide_rows *= 2u; /* a picture of large numbers: don't try too often */
        rest.y = (fl_span){want.y.start + done, want.y.start + done + fl_min(wide_rows, height - done)};
        done += make_wide(p, rest, done, room);
    }
}

fl_status fl_wavelet_region(const fl_info *info, uint32_t level, uint32_t x, uint32_t y, uint32_t width,
                            uint32_t height, const void *const *tiles, const uint8_t *wide, const uint8_t *trimmed,
                            const uint16_t *values, void *samples, ptrdiff_t stride_c, ptrdiff_t stride_y,
                            ptrdiff_t stride_x, void *workspace) {
    if (info->levels > FL_MAX_LEVELS || level > info->levels || width < 1 || height < 1) return FL_INVALID;
    const fl_level *at = &info->level[level];
    if (x >= at->width || width > at->width - x || y >= at->height || height > at->height - y) return FL_INVALID;
    if (info->values > 0 && !values) return FL_INVALID;
    picture p = {.info = info,
                 .level = level,
                 .width = width,
                 .tiles = tiles,
                 .wide = wide,
                 .trimmed = trimmed,
                 .values = info->values > 0 ? values : 0,
                 .samples = samples,
                 .layout = fl_layout_of(info, stride_c, stride_y, stride_x)};
    fl_make_region(&p, (area){{x, x + width}, {y, y + height}}, workspace);
    return FL_OK;
}
