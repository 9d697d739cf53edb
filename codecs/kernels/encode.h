/* What the encoder keeps of a tile, and its per-processor parts. */
#ifndef FL_ENCODE_H
#define FL_ENCODE_H

#include "tile.h"

enum { MOST_PASSES = 3 * FL_MAX_PLANES, MOST_ROWS = MOST_PASSES * FL_MAX_TILE };
enum { MOST_SYMBOLS = MOST_PASSES * MAG_AREA, MOST_SIGNS = 3 * MAG_AREA };
/* Block flags and choices of all planes, at 2 bytes a flag and 50 bytes a choice. */
enum { MOST_SIDE = 2 * MOST_PASSES * (FL_MAX_TILE / BLOCK_ROWS) * GROUPS + 50 * MOST_PASSES };
/* Symbols that the search for the lanes' first states looks at. */
enum { MOST_TAIL = 8192 };

/* A symbol is its context, and SYMBOL_ONE if it is 1. */
enum { SYMBOL_ONE = 128 };

/* What was coded of one row: groups x 32 symbols (the last `missing` of them not there), then signs. */
typedef struct {
    uint32_t symbols, signs; /* where they start */
    uint8_t groups, missing, sign_count;
} coded_row;

/* One plane of one band. */
typedef struct {
    uint32_t first_row, rows;
    uint32_t bit_count, sign_count;
    uint8_t raw_bits, raw_signs;
    uint16_t zero[48];
} coded_pass;

/* How to encode a symbol of frequency f in 4096: x' = x + bias + floor(x / f) (4096 - f). The quotient by the 32-bit
 * reciprocal is exact for x < 2^31 (Granlund and Montgomery 1994). */
typedef struct {
    uint32_t reciprocal, limit; /* a word leaves the state when it is at least `limit` = f 2^19 */
    uint16_t bias, complement;
    uint8_t shift;
} symbol_code;

typedef struct {
    fl_tile tile;
    uint32_t negative[3][FL_MAX_TILE * GROUPS];
    uint8_t reach[3][BLOCK_AREA];
    int32_t differences[1 << 2 * FL_BASE_LOG2]; /* of the base level */
    int16_t significance_cost[FL_SIGNIFICANCE_TABLES][16][2], refinement_cost[FL_REFINEMENT_TABLES][16][2];
    int16_t sign_cost[FL_SIGN_TABLES][16][2]; /* 9 contexts are used */
    coded_pass passes[MOST_PASSES];
    coded_row rows[MOST_ROWS];
    uint8_t side[MOST_SIDE];
    symbol_code codes[256];
    uint16_t tail[MOST_TAIL]; /* lane << 8 | symbol */
    symbol_code tail_codes[MOST_TAIL];
    uint8_t symbols[MOST_SYMBOLS], signs[MOST_SIGNS + GROUP]; /* lists are written by whole groups */
} fl_encoder;

/* How much of the above is used so far in a layer. */
typedef struct {
    uint32_t rows, symbols, signs;
    uint64_t cost; /* of what is not raw */
} progress;

/* How often each symbol occurs; in four parts, so that one symbol's count is not needed by the next. */
typedef struct {
    uint16_t part[4][256];
} symbol_counts;

struct fl_encode_ops {
    /* The OR of the magnitudes of a band of coefficients. */
    uint32_t (*reach)(const int32_t *from, size_t stride, uint32_t width, uint32_t height);
    /* Take a band of a plane of coefficients as magnitudes, signs and blocks. */
    void (*load_band)(fl_encoder *e, uint32_t b, const int32_t *from, size_t stride, uint32_t planes);
    /* Turn a band's plane into symbols. */
    void (*take_symbols)(fl_encoder *e, uint32_t b, uint32_t plane, progress *at, coded_pass *pass,
                         symbol_counts *counts);
    /* Code the symbols of all passes backwards; words end at `end` and reach down to no less than `floor`. NULL: there
     * may be no space. */
    uint8_t *(*push_all)(fl_encoder *e, uint32_t passes, uint32_t lanes, uint32_t *state, uint8_t *floor, uint8_t *end);
};

/* Codes of a pass's symbols for fl_push (encode.c). */
void fl_start_codes(fl_encoder *e, const coded_pass *pass);

static inline uint32_t fl_push(uint32_t x, const symbol_code *code) {
    uint32_t quotient = (uint32_t)((uint64_t)x * code->reciprocal >> 32) >> code->shift;
    return x + code->bias + quotient * code->complement;
}

#endif
