/* How large the details of a transformed picture are: what an encoder compares transforms by. */
#include "internal.h"

/* WebAssembly decodes only. */
#if !defined(__wasm__)

/* Finest levels that are looked at: their details are 15/16 of all coefficients. */
enum { LEVELS = 2 };
/* Magnitudes are added up over squares of CELL: about the distance at which the coder's contexts adapt. */
enum { CELL = 3, CELLS_AT_ONCE = 32 };

/* Sums are told apart to a 128th. There is a code for each number of 32 bits. */
static uint32_t code_of(uint32_t sum) {
    const uint32_t shift = sum < 256u ? 0u : 24u - (uint32_t)__builtin_clz(sum);
    return shift * 128u + (sum >> shift);
}
FL_STATIC_ASSERT(FL_DETAIL_CODES == 24 * 128 + 256, "a code for each sum");
FL_STATIC_ASSERT((1 << FL_MAX_PLANES) * CELL * CELL < INT32_MAX, "a sum for each cell");

static uint32_t magnitude(int32_t value) { return value < 0 ? 0u - (uint32_t)value : (uint32_t)value; }

/* A band; what does not fill a cell is left out. */
static void count_band(const int32_t *from, size_t stride, uint32_t width, uint32_t height, uint32_t *counts) {
    for (uint32_t y = 0; y + CELL <= height; y += CELL, from += CELL * stride)
        for (uint32_t x0 = 0; x0 + CELL <= width; x0 += CELL * CELLS_AT_ONCE) {
            uint32_t column[CELL * CELLS_AT_ONCE];
            const uint32_t n = fl_min((width - x0) / CELL, CELLS_AT_ONCE);
            const int32_t *at = from + x0;
            for (uint32_t x = 0; x < CELL * n; x++)
                column[x] = magnitude(at[x]) + magnitude(at[stride + x]) + magnitude(at[2 * stride + x]);
            for (uint32_t i = 0; i < n; i++)
                counts[code_of(column[CELL * i] + column[CELL * i + 1u] + column[CELL * i + 2u])]++;
        }
}

void fl_wavelet_details(const fl_info *info, const int32_t *planes, uint32_t *counts) {
    const size_t stride = info->width;
    for (uint32_t c = 0; c < info->components; c++, planes += stride * info->height)
        for (uint32_t k = 0; k < fl_min(LEVELS, info->levels); k++) {
            const uint32_t width = info->level[k].width, height = info->level[k].height;
            const int32_t *right = planes + fl_low(width), *below = planes + fl_low(height) * stride;
            count_band(right, stride, fl_high(width), fl_low(height), counts);
            count_band(below, stride, fl_low(width), fl_high(height), counts);
            count_band(below + fl_low(width), stride, fl_high(width), fl_high(height), counts);
        }
}
#endif
