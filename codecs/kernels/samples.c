/* Samples as they are stored: their range, and rows of them (SPEC 3.3). */
#include "samples.h"

int32_t fl_sample_min(const fl_info *info) {
    return info->is_signed && info->values == 0 ? -(1 << (info->bits - 1u)) : 0;
}
int32_t fl_sample_max(const fl_info *info) {
    if (info->values > 0) return (int32_t)info->values - 1;
    return info->is_signed ? (1 << (info->bits - 1u)) - 1 : (1 << info->bits) - 1;
}

void fl_load_row(const fl_info *info, const void *samples, ptrdiff_t at, ptrdiff_t stride, uint32_t width,
                 int32_t *row) {
    ptrdiff_t n = (ptrdiff_t)width;
    uint32_t is_signed = info->is_signed && info->values == 0;
    if (info->bits <= 8 && is_signed) {
        const int8_t *from = (const int8_t *)samples + at;
        for (ptrdiff_t x = 0; x < n; x++) row[x] = from[x * stride];
    } else if (info->bits <= 8) {
        const uint8_t *from = (const uint8_t *)samples + at;
        for (ptrdiff_t x = 0; x < n; x++) row[x] = from[x * stride];
    } else if (is_signed) {
        const int16_t *from = (const int16_t *)samples + at;
        for (ptrdiff_t x = 0; x < n; x++) row[x] = from[x * stride];
    } else {
        const uint16_t *from = (const uint16_t *)samples + at;
        for (ptrdiff_t x = 0; x < n; x++) row[x] = from[x * stride];
    }
}
