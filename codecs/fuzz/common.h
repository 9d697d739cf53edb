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

#endif
