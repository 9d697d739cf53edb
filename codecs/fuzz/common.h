/* What all targets use: a check, and buffers without a byte to spare, so that AddressSanitizer sees the first one
 * beyond.
 */
#ifndef FL_FUZZ_COMMON_H
#define FL_FUZZ_COMMON_H

#include <stdlib.h>

#include "../kernels/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(int ok) {
    if (!ok) abort();
}

static inline void *exactly(size_t size) {
    void *p = malloc(size ? size : 1u);
    require(p != NULL);
    return p;
}

static inline uint32_t take_varint(const uint8_t *data, size_t size, size_t *at) {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 35u && *at < size; shift += 7u) {
        value |= (uint64_t)(data[*at] & 127u) << shift;
        if (data[(*at)++] < 128u) break;
    }
    return (uint32_t)value;
}

/* Make the checksums of a head's parts right (SPEC 2.1, 2.7), so that what lies behind them is reached too. */
static inline void repair_head(uint8_t *data, size_t size) {
    enum { SIZE_AT = 6, MOST_PARTS = 8 };
    size_t at = SIZE_AT;
    uint64_t length[MOST_PARTS], others = 0;
    const uint32_t total = take_varint(data, size, &at);
    take_varint(data, size, &at); /* width, height */
    take_varint(data, size, &at);
    if (at + 4u > size) return;
    const uint32_t parts = 1u + (data[at + 3u] >> 5);
    at += 4u;
    for (uint32_t g = 1; g < parts && at < size; g++) {
        at++;
        others += length[g] = take_varint(data, size, &at);
    }
    if (at >= size || total > size || others + at + 4u > total) return;
    length[0] = total - others;
    for (uint32_t g = 0, begin = 0; g < parts && length[g] >= 4u; begin += (uint32_t)length[g++])
        fl_write32(data + begin + length[g] - 4u, fl_crc32c(data + begin, length[g] - 4u));
}

#endif
