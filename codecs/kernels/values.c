/* Which values the samples of a picture have, and their places in a value table (SPEC 3.9): what an encoder wants to
 * know of them before anything else. */
#include "internal.h"

/* WebAssembly decodes only. */
#if !defined(__wasm__)

/* Samples of `size` bytes, as numbers that begin with 0 at `low`; smaller ones are large numbers. */
static inline __attribute__((always_inline)) uint32_t number_of(const void *row, ptrdiff_t at, const int32_t low,
                                                                const uint32_t size, const uint32_t is_signed) {
    int32_t value;
    if (size == 1)
        value = is_signed ? ((const int8_t *)row)[at] : ((const uint8_t *)row)[at];
    else
        value = is_signed ? ((const int16_t *)row)[at] : ((const uint16_t *)row)[at];
    return (uint32_t)(value - low);
}

/* Each loop once for each kind of samples. */
#define FOR_EACH_KIND(call)                                                                                            \
    do {                                                                                                               \
        if (s->size == 1 && !s->is_signed) call(1, 0);                                                                 \
        if (s->size == 1 && s->is_signed) call(1, 1);                                                                  \
        if (s->size == 2 && !s->is_signed) call(2, 0);                                                                 \
        if (s->size == 2 && s->is_signed) call(2, 1);                                                                  \
    } while (0)

static const void *row_of(const fl_samples *s, uint32_t c, uint32_t y) {
    const ptrdiff_t at = (ptrdiff_t)c * s->stride[0] + (ptrdiff_t)y * s->stride[1];
    return (const uint8_t *)s->first + at * (ptrdiff_t)s->size;
}

static uint32_t count_seen(const uint8_t *seen, uint32_t range) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < range; i++) found += seen[i];
    return found;
}

/* Marks are counted once in a while: a look at each would wait for the last store to it. */
uint32_t fl_values_mark(const fl_samples *s, int32_t low, uint32_t range, uint32_t enough, uint8_t *seen) {
    uint64_t marked = 0;
    for (uint32_t c = 0; c < s->count[0]; c++)
        for (uint32_t y = 0; y < s->count[1]; y++) {
            const void *row = row_of(s, c, y);
#define MARK(size, is_signed)                                                                                          \
    for (ptrdiff_t x = 0; x < (ptrdiff_t)s->count[2]; x++) {                                                           \
        const uint32_t n = number_of(row, x * s->stride[2], low, size, is_signed);                                     \
        if (n < range) seen[n] = 1;                                                                                    \
    }
            FOR_EACH_KIND(MARK);
            marked += s->count[2];
            if (marked < range) continue;
            if (count_seen(seen, range) > enough) return enough + 1u;
            marked = 0;
        }
    return count_seen(seen, range);
}

/* Neighbours are counted in different places: equal ones would wait for each other. That is as long as the places are
 * quickly added up. */
enum { PARTS = 4, FEW_VALUES = 1024 };

void fl_values_count(const fl_samples *s, int32_t low, uint32_t range, uint32_t *counts) {
    uint32_t parts[PARTS][FEW_VALUES];
    const uint32_t few = fl_min(range, FEW_VALUES);
    for (uint32_t i = 0; i < PARTS; i++) fl_fill(parts[i], 0, few * sizeof parts[i][0]);
    for (uint32_t c = 0; c < s->count[0]; c++)
        for (uint32_t y = 0; y < s->count[1]; y++) {
            const void *row = row_of(s, c, y);
#define COUNT(size, is_signed)                                                                                         \
    for (ptrdiff_t x = 0; x < (ptrdiff_t)s->count[2]; x++) {                                                           \
        const uint32_t n = number_of(row, x * s->stride[2], low, size, is_signed);                                     \
        if (n < few)                                                                                                   \
            parts[x % PARTS][n]++;                                                                                     \
        else if (n < range)                                                                                            \
            counts[n]++;                                                                                               \
    }
            FOR_EACH_KIND(COUNT);
        }
    for (uint32_t i = 0; i < PARTS; i++)
        for (uint32_t n = 0; n < few; n++) counts[n] += parts[i][n];
}

void fl_values_place(const fl_samples *s, int32_t low, uint32_t range, const uint16_t *place, void *to) {
    uint8_t *bytes = to;
    uint16_t *words = to;
    for (uint32_t c = 0; c < s->count[0]; c++)
        for (uint32_t y = 0; y < s->count[1]; y++, bytes += s->count[2], words += s->count[2]) {
            const void *row = row_of(s, c, y);
#define PLACE(size, is_signed)                                                                                         \
    for (ptrdiff_t x = 0; x < (ptrdiff_t)s->count[2]; x++) {                                                           \
        const uint32_t n = number_of(row, x * s->stride[2], low, size, is_signed);                                     \
        const uint16_t found = n < range ? place[n] : (uint16_t)0;                                                     \
        if (size == 1)                                                                                                 \
            bytes[x] = (uint8_t)found;                                                                                 \
        else                                                                                                           \
            words[x] = found;                                                                                          \
    }
            FOR_EACH_KIND(PLACE);
        }
}
#endif
