/* Tiles of which a picture that is made part by part still needs the last rows or columns. */
#include "tile.h"

size_t fl_wavelet_trimmed_size(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y, uint32_t columns,
                               uint32_t rows) {
    fl_tile_shape shape;
    if (!fl_shape_of(info, level, tile_x, tile_y, &shape) || shape.is_base) return 0;
    const fl_extent *x = &shape.x, *y = &shape.y;
    if (columns >= fl_min(x->low, x->high) || rows >= fl_min(y->low, y->high)) return 0;
    const size_t width = x->low + x->high - 2u * columns, height = y->low + y->high - 2u * rows;
    return width * height - (size_t)(x->low - columns) * (y->low - rows);
}

void fl_wavelet_tile_trim(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y, uint32_t columns,
                          uint32_t rows, const void *coefs, uint32_t wide, void *to) {
    fl_tile_shape shape;
    if (fl_wavelet_trimmed_size(info, level, tile_x, tile_y, columns, rows) == 0) return;
    fl_shape_of(info, level, tile_x, tile_y, &shape);
    const fl_extent *x = &shape.x, *y = &shape.y;
    const uint32_t widths[BANDS] = {x->high, x->low, x->high}, heights[BANDS] = {y->low, y->high, y->high};
    const size_t each = wide ? sizeof(int32_t) : sizeof(int16_t);
    const uint8_t *from = coefs;
    uint8_t *out = to;
    for (uint32_t i = 0; i < info->components; i++)
        for (uint32_t b = 0; b < BANDS; b++) {
            const size_t row = widths[b] * each, left = (widths[b] - columns) * each;
            from += rows * row;
            for (uint32_t n = rows; n < heights[b]; n++, out += left, from += row)
                fl_copy(out, from + columns * each, left);
        }
}
