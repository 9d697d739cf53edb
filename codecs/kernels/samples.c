/* Samples <-> components: storage in 8 or 16 bits, colour transform, clipping (SPEC 3.3). */
#include "samples.h"

int32_t fl_sample_min(const fl_info *info) { return info->is_signed ? -(1 << (info->bits - 1u)) : 0; }
int32_t fl_sample_max(const fl_info *info) {
    return info->is_signed ? (1 << (info->bits - 1u)) - 1 : (1 << info->bits) - 1;
}

void fl_load_row(const fl_info *info, const void *samples, ptrdiff_t at, ptrdiff_t stride, uint32_t width,
                 int32_t *row) {
    ptrdiff_t n = (ptrdiff_t)width;
    if (info->bits <= 8 && info->is_signed) {
        const int8_t *from = (const int8_t *)samples + at;
        for (ptrdiff_t x = 0; x < n; x++) row[x] = from[x * stride];
    } else if (info->bits <= 8) {
        const uint8_t *from = (const uint8_t *)samples + at;
        for (ptrdiff_t x = 0; x < n; x++) row[x] = from[x * stride];
    } else if (info->is_signed) {
        const int16_t *from = (const int16_t *)samples + at;
        for (ptrdiff_t x = 0; x < n; x++) row[x] = from[x * stride];
    } else {
        const uint16_t *from = (const uint16_t *)samples + at;
        for (ptrdiff_t x = 0; x < n; x++) row[x] = from[x * stride];
    }
}

void fl_store_row(const fl_info *info, const int32_t *row, uint32_t width, void *samples, ptrdiff_t at,
                  ptrdiff_t stride) {
    ptrdiff_t n = (ptrdiff_t)width;
    int32_t low = fl_sample_min(info), high = fl_sample_max(info);
    if (info->bits <= 8) {
        uint8_t *to = (uint8_t *)samples + at;
        for (ptrdiff_t x = 0; x < n; x++) {
            int32_t v = row[x] < low ? low : row[x];
            to[x * stride] = (uint8_t)(v > high ? high : v);
        }
    } else {
        uint16_t *to = (uint16_t *)samples + at;
        for (ptrdiff_t x = 0; x < n; x++) {
            int32_t v = row[x] < low ? low : row[x];
            to[x * stride] = (uint16_t)(v > high ? high : v);
        }
    }
}

/* Reversible colour transform (ITU-T T.800 annex G.2): Y = (R + 2G + B) >> 2, U = B - G, V = R - G. */
void fl_rct_forward(int32_t *r, int32_t *g, int32_t *b, uint32_t width) {
    for (uint32_t x = 0; x < width; x++) {
        int32_t red = r[x], green = g[x], blue = b[x];
        r[x] = (red + 2 * green + blue) >> 2;
        g[x] = blue - green;
        b[x] = red - green;
    }
}

void fl_rct_inverse(int32_t *y, int32_t *u, int32_t *v, uint32_t width) {
    for (uint32_t x = 0; x < width; x++) {
        int32_t green = y[x] - ((u[x] + v[x]) >> 2);
        int32_t red = v[x] + green, blue = u[x] + green;
        y[x] = red;
        u[x] = green;
        v[x] = blue;
    }
}
