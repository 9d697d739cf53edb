/* The portable way (planes.h says what each function does). */
#include "decode.h"

#define TARGET
#define NAME(name) name##_scalar

FL_INLINE void bytes_scalar(uint8_t *to, const uint64_t *bits, uint32_t step, uint32_t n) {
    fl_bytes(to, bits, step, n);
}

FL_INLINE uint64_t spread_scalar(uint64_t bits, uint64_t mask) { return fl_spread(bits, mask); }

static void decode_pass_scalar(fl_component *k, uint32_t b, uint32_t plane, pass_part part, const pass_choice *choice,
                               fl_rans_reader *r) {
    band *own = &k->bands[b];
    for (uint32_t y = 0; y < own->height; y++) {
        row_symbols row = {{0}, {0}};
        uint64_t columns[WORDS], any = 0;
        for (uint32_t w = 0; w < WORDS; w++) any |= columns[w] = fl_coded_columns(own, y / BLOCK_ROWS, w, plane);
        if (any)
            fl_read_row(own, b, y, columns, part, choice, r, &row);
        else if (part == FIRST_PART)
            fl_fill(&own->parts[y], 0, sizeof own->parts[y]);
        fl_set_row(own, y, plane, part, &row, WORDS);
    }
    if (part == FIRST_PART) fl_end_first_part(own, plane);
}

#define OWN_PASS
#include "push_scalar.h"

#include "planes.h"
#undef OWN_PASS
#undef TARGET
#undef NAME
