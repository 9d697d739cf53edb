/* State of a tile while its bit-planes are coded (SPEC 3.6), shared by the decoder, the encoder and their per-processor
 * parts.
 *
 *   state     a byte a coefficient: what contexts ask of it. Bit 0: significant (magnitude >= 1 in units of the plane
 *             that was coded last); bit 4: >= 2; bit 7: >= 4. Sums of up to 15 neighbours of bit 0, and of 7 of bit 4,
 * so are taken at once. A border of zeros around the band. sign      +1, -1, 0 where not significant; with the same
 * border magnitude in slices of 8 planes, a byte a coefficient each: the decoder's result, the encoder's input active
 * a byte a block of 32 x 8: the plane at which it became active + 1, 0 if it did not; border of zeros
 */
#ifndef FL_TILE_H
#define FL_TILE_H

#include "internal.h"
#include "rangecoder.h"
#include "tables.h"

#define FL_INLINE static inline __attribute__((always_inline))

/* Columns are taken in groups of 32; a block is one group wide. */
enum { GROUP = 32, GROUPS = FL_MAX_TILE / GROUP, BLOCK_ROWS = 8, BORDER = 2 };
/* The columns after a row's last group are the border of both it and the next row. */
enum { STRIDE = FL_MAX_TILE + GROUP, ROWS = FL_MAX_TILE + 2 * BORDER, AREA = ROWS * STRIDE + 2 * GROUP };
enum { ORIGIN = BORDER * STRIDE + GROUP, MAG_STRIDE = FL_MAX_TILE, MAG_AREA = FL_MAX_TILE * FL_MAX_TILE };
enum { BLOCK_STRIDE = GROUPS + 2, BLOCK_AREA = (FL_MAX_TILE / BLOCK_ROWS + 2) * BLOCK_STRIDE };
enum { SLICES = 3 }; /* of 8 planes */
FL_STATIC_ASSERT(SLICES * 8 >= FL_MAX_PLANES, "slices hold every plane");
FL_STATIC_ASSERT(FL_MAX_TILE % GROUP == 0, "groups fill a row");

/* Contexts of bits, 0 .. 15 significance, 16 .. 31 refinement; then of signs. */
enum { BIT_CONTEXTS = 32, SIGN_CONTEXTS = 9, CONTEXTS = BIT_CONTEXTS + SIGN_CONTEXTS };

typedef struct {
    uint32_t width, height;
    uint8_t *state;             /* of coefficient (0, 0) */
    int8_t *sign;               /* of coefficient (0, 0) */
    uint8_t *magnitude[SLICES]; /* of coefficient (0, 0) */
    uint8_t *active;            /* of block (0, 0) */
    const uint8_t *siblings[2]; /* states of the same place in the other bands */
    uint32_t begun;             /* a block is active */
} band;

/* How the symbols of a band's plane are coded. Sets: significance, refinement, signs. */
enum { SET_SIGNIFICANCE, SET_REFINEMENT, SET_SIGN, SETS };
typedef struct {
    uint8_t coded; /* the band has an active block */
    uint8_t raw_bits, raw_signs;
    uint16_t zero[48]; /* P(0) in 1/4096 by context */
} plane_choice;

/* One table of a set, as coded: an index into the fixed ones, or EXPLICIT with a byte a context. */
enum { EXPLICIT = 255, NO_TABLE = 254 };
typedef struct {
    uint8_t index, bytes[16];
} table_choice;

/* Models of the range coder: of block flags and choices, and in adaptive tiles of the symbols too. */
typedef struct {
    fl_model block[3][5], raw[2], same[SETS], is_explicit[SETS], symbol[3][CONTEXTS];
    table_choice last[SETS];
} tile_models;

typedef struct {
    band bands[3];
    uint32_t planes;
    tile_models models;
    plane_choice choices[FL_MAX_PLANES][3];
    uint8_t active[3][BLOCK_AREA];
    uint8_t state[3][AREA];
    int8_t sign[3][AREA];
    uint8_t magnitude[3][SLICES][MAG_AREA];
} fl_tile;

/* ---- rANS, decoder's side (SPEC 3.5.2) --------------------------------------------------------------------------- */

enum { MAX_LANES = 32, PROBABILITY_BITS = 12, PROBABILITY_ONE = 1 << PROBABILITY_BITS };
#define STATE_LOW (1u << 15) /* states are in [2^15, 2^31), but for the end of the stream */

/* A row takes at most a word a symbol: one bit and one sign a coefficient. From fewer than that on, the words are read
 * from a copy with zeros behind it, so that whole vectors may be loaded. */
enum { GROUP_WORDS = 2 * GROUP, SPARE_WORDS = 32, TAIL_WORDS = GROUPS * GROUP_WORDS + 2 * SPARE_WORDS };

typedef struct {
    uint32_t lanes; /* 8, 16 or 32 */
    uint32_t state[MAX_LANES];
    const uint8_t *words, *end; /* 16-bit little-endian words that are left */
    uint32_t in_tail;           /* words points into the copy */
    const uint8_t *raw, *raw_end;
    uint32_t raw_bits_used; /* of *raw: 0 .. 7 */
    uint8_t tail[2 * TAIL_WORDS];
} fl_rans_reader;

/* What differs from processor to processor. All give the same bits. */
typedef struct fl_encode_ops fl_encode_ops; /* encode.h */
typedef struct {
    /* Decode one plane of a band into state, sign and magnitude. */
    void (*decode_plane)(fl_tile *t, uint32_t b, uint32_t plane, const plane_choice *choice, fl_rans_reader *r);
    /* Magnitudes and signs to coefficients, with `half` added to magnitudes other than 0. */
    void (*finish)(const fl_tile *t, uint32_t b, int32_t half, int32_t *coefs);
    const fl_encode_ops *encode;
} fl_tile_ops;

/* ---- what tile.c has for both directions
 * ----------------------------------------------------------------------------- */

typedef struct {
    fl_extent x, y;
    uint32_t is_base, size;
} fl_tile_shape;

int fl_shape_of(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y, fl_tile_shape *shape);

/* An empty tile of at most `planes` planes. */
void fl_tile_start(fl_tile *t, const fl_tile_shape *shape, uint32_t planes);

/* Planes [low, top) are what layer n adds to a tile of `planes` planes; none if top <= low. */
typedef struct {
    uint32_t low, top;
} fl_plane_range;
fl_plane_range fl_layer_planes(const fl_info *info, uint32_t component, uint32_t level, uint32_t layer);

/* Which of a band's blocks become active at a plane; `reach` (the encoder's): planes of each block's magnitudes. */
void fl_read_flags(fl_coder *c, fl_tile *t, uint32_t b, uint32_t plane);
void fl_write_flags(fl_coder *c, fl_tile *t, uint32_t b, uint32_t plane, const uint8_t *reach);

/* How a plane of a band is coded; `refined`: the band had active blocks before this plane. */
void fl_read_choice(fl_coder *c, fl_tile *t, int refined, plane_choice *choice);
void fl_write_choice(fl_coder *c, fl_tile *t, int refined, plane_choice *choice, const table_choice *tables);

/* All symbols of a band's plane with adaptive models; `negative` (the encoder's): a bit a column, GROUPS words a row.
 */
void fl_read_plane(fl_coder *c, fl_tile *t, uint32_t b, uint32_t plane);
void fl_write_plane(fl_coder *c, fl_tile *t, uint32_t b, uint32_t plane, const uint32_t *negative);

/* The coarsest level's band is coded as differences from a prediction (SPEC 3.8): the median of left, top and their sum
 * less the top left one (MED; Weinberger, Seroussi, Sapiro 2000). `at` has those before it in raster order. */
static inline int32_t fl_predict(const int32_t *at, uint32_t x, uint32_t y, ptrdiff_t stride) {
    if (x == 0) return y == 0 ? 0 : at[-stride];
    if (y == 0) return at[-1];
    int32_t left = at[-1], top = at[-stride], corner = at[-stride - 1];
    int32_t low = left < top ? left : top, high = left < top ? top : left;
    return corner >= high ? low : corner <= low ? high : left + top - corner;
}

enum { CHECK_BYTES = 2, ADAPTIVE = 0x80 };

/* The fastest of this processor, or the one asked for; NULL if it has not that one. */
const fl_tile_ops *fl_tile_ops_for(uint32_t path);

#endif
