/* State of a tile while its passes are coded (SPEC 3.6), shared by the decoder, the encoder and their per-processor
 * parts. All is kept a bit a coefficient, 64 columns a word, so that contexts are worked out with the logic of words.
 */
#ifndef FL_TILE_H
#define FL_TILE_H

#include "internal.h"
#include "rangecoder.h"
#include "tables.h"

#define FL_INLINE static inline __attribute__((always_inline))

/* Bit i of word w is column 64 w + i. A block is 32 columns wide. */
enum { WORD = 64, WORDS = FL_MAX_TILE / WORD };
enum { BLOCK_COLUMNS = 32, BLOCK_ROWS = 8, BLOCKS_X = FL_MAX_TILE / BLOCK_COLUMNS };
enum { BLOCK_STRIDE = BLOCKS_X + 2, BLOCK_AREA = (FL_MAX_TILE / BLOCK_ROWS + 2) * BLOCK_STRIDE };
FL_STATIC_ASSERT(FL_MAX_TILE % WORD == 0 && WORD % BLOCK_COLUMNS == 0, "words fill a row, blocks fill a word");

/* What contexts ask of a row of coefficients: which have a magnitude of at least 1, 2, 4 in units of the plane that was
 * coded last, and which of them are negative. */
typedef struct {
    uint64_t one[WORDS], two[WORDS], four[WORDS], negative[WORDS];
} state_row;
enum { BORDER = 2, ROWS = FL_MAX_TILE + 2 * BORDER }; /* rows of zeros above and below a band */

/* A plane of a band's magnitudes. Plane by plane, all bands' lie one after the other: memory for planes that a tile has
 * not is never touched. They are no power of two apart, so that those of a row find room in a processor's cache
 * together.
 */
typedef struct {
    uint64_t row[FL_MAX_TILE][WORDS];
} magnitude_plane;
enum { BANDS = 3, PLANE_STEP = BANDS * FL_MAX_TILE * WORDS };

/* Contexts of bits, 0 .. 15 significance, 16 .. 31 refinement; then of signs, 3 (h + 1) + v + 1. */
enum { BIT_CONTEXTS = 32, SIGN_CONTEXTS = 9, CONTEXTS = BIT_CONTEXTS + SIGN_CONTEXTS };
/* Adaptive models are by context, and first parts have some of their own for significance, behind the others. */
enum { FIRST_MODELS = CONTEXTS, MODELS = CONTEXTS + 16 };

/* Contexts of the bits of 64 columns: bit[i] has bit i of each. */
typedef struct {
    uint64_t bit[5];
} context_bits;

/* Of a row whose plane is split, from the first part to the second: which columns the first part has coded, and which
 * of those that became significant are negative. */
typedef struct {
    uint64_t done[WORDS], minus[WORDS];
} part_row;

typedef struct {
    uint32_t width, height;
    uint32_t begun;               /* the plane at which the first block became active + 1; 0: none is */
    state_row *state;             /* of row 0 */
    const state_row *siblings[2]; /* the same rows of the other bands */
    magnitude_plane *magnitude;   /* of plane 0; BANDS apart. The decoder's result, in planes below `begun` */
    part_row *parts;
    uint8_t *active; /* of block (0, 0): the plane at which it became active + 1, 0: it is not */
} band;

/* How the symbols of a pass are coded. Sets: significance, refinement, signs. */
enum { SET_SIGNIFICANCE, SET_REFINEMENT, SET_SIGN, SETS };
typedef struct {
    uint8_t coded; /* the band has an active block */
    uint8_t raw_bits, raw_signs;
    uint16_t zero[48]; /* P(0) in 1/4096 by context */
} pass_choice;

/* One table of a set, as coded: an index into the fixed ones, or EXPLICIT with a byte a context. */
enum { EXPLICIT = 255, NO_TABLE = 254 };
typedef struct {
    uint8_t index, bytes[16];
} table_choice;

/* Models of the range coder: of block flags and choices, and in adaptive layers of the symbols too. */
typedef struct {
    fl_model block[3][5], raw[2], same[SETS], is_explicit[SETS], symbol[3][MODELS];
    table_choice last[SETS];
} component_models;

/* One component. A pass is a plane of a band, or a part of that: a plane is coded whole, or is split into a first part
 * of each band and then a second one of each. Passes have places: the first parts of plane planes - 1 - s / 6 are at
 * the places s with s % 6 < 3, second parts and whole planes at the others, the band is s % 3. Where a plane is whole
 * there is nothing at the first three. */
enum { PLACES = 2 * BANDS, MOST_PASSES = PLACES * FL_MAX_PLANES };
typedef enum { WHOLE, FIRST_PART, SECOND_PART } pass_part;
typedef struct {
    uint32_t planes;              /* 0: all coefficients are 0 */
    uint32_t passes;              /* up to this place they are coded */
    uint8_t split[FL_MAX_PLANES]; /* of each plane that is begun */
    band bands[BANDS];
    component_models models;
    uint8_t active[BANDS][BLOCK_AREA]; /* with a border of zeros */
    state_row state[BANDS][ROWS];
    part_row parts[BANDS][FL_MAX_TILE];
    magnitude_plane magnitude[FL_MAX_PLANES][BANDS];
} fl_component;

typedef struct {
    uint32_t components;
    uint32_t is_static; /* a layer was: so are all others */
    uint32_t lanes;     /* code of the lanes of the layer before, 0 .. MOST_LANES_CODE */
    fl_model static_model, split_model, more[2][8];
    fl_component component[FL_MAX_COMPONENTS]; /* `components` of them; scratch may end there */
} fl_tile;

static inline uint32_t pass_plane(const fl_component *k, uint32_t place) { return k->planes - 1u - place / PLACES; }
static inline uint32_t pass_band(uint32_t place) { return place % BANDS; }
static inline pass_part pass_part_of(const fl_component *k, uint32_t place) {
    return place % PLACES < BANDS ? FIRST_PART : k->split[pass_plane(k, place)] ? SECOND_PART : WHOLE;
}
/* Is there a pass at a place? */
static inline int pass_is(const fl_component *k, uint32_t place) {
    return place % PLACES >= BANDS || k->split[pass_plane(k, place)];
}
/* Is it the first one of its plane and band, which begins with block flags? */
static inline int pass_opens(const fl_component *k, uint32_t place) { return pass_part_of(k, place) != SECOND_PART; }
/* Planes of band b that are wholly coded before a place. */
static inline uint32_t planes_before(uint32_t b, uint32_t place) {
    return place / PLACES + (place % PLACES > BANDS + b);
}

/* ---- rANS (SPEC 3.5.2) ------------------------------------------------------------------------------------------- */

enum { MAX_LANES = 64, MOST_LANES_CODE = 4, PROBABILITY_BITS = 12, PROBABILITY_ONE = 1 << PROBABILITY_BITS };
#define STATE_LOW (1u << 15) /* states are in [2^15, 2^31), but for the end of the sequence */

static inline uint32_t lanes_of(uint32_t code) { return code ? 4u << code : 0u; }

/* ---- what tile.c has for both directions ------------------------------------------------------------------------- */

typedef struct {
    fl_extent x, y;
    uint32_t is_base, size;
} fl_tile_shape;

int fl_shape_of(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y, fl_tile_shape *shape);

/* A tile of which nothing is known but the number of components. */
void fl_tile_start(fl_tile *t, uint32_t components);

/* No coefficient of a component is significant; magnitudes are left as they are. */
void fl_component_start(fl_component *k, const fl_tile_shape *shape, uint32_t planes);

/* Numbers of planes of all components: what a tile's first segment begins with. Returns 0 if there is an illegal one.
 */
int fl_read_planes(fl_coder *c, fl_tile *t);
void fl_write_planes(fl_coder *c, fl_tile *t);

/* What a layer's range-coded part tells about it before its passes; also sets is_static and lanes of the tile. */
typedef struct {
    uint8_t is_static;
    uint8_t lanes;                  /* a code; static layers only */
    uint8_t end[FL_MAX_COMPONENTS]; /* the place of each component that its passes reach */
} fl_layer;
int fl_read_layer(fl_coder *c, fl_tile *t, fl_layer *layer); /* 0: it is illegal */
void fl_write_layer(fl_coder *c, fl_tile *t, const fl_layer *layer);

/* The columns of word w of a row of blocks that are coded at a plane: those of active blocks. */
static inline uint64_t fl_coded_columns(const band *own, uint32_t block_row, uint32_t w, uint32_t plane) {
    const uint8_t *active = own->active + block_row * BLOCK_STRIDE + w * (WORD / BLOCK_COLUMNS);
    uint64_t columns = (active[0] > plane ? 0xffffffffu : 0u) | (uint64_t)(active[1] > plane ? 0xffffffffu : 0u) << 32;
    uint32_t left = own->width - fl_min(own->width, w * WORD);
    return left < WORD ? columns & (((uint64_t)1 << left) - 1u) : columns;
}

/* Which of a band's blocks become active at a plane; `reach` (the encoder's): planes of each block's magnitudes. */
void fl_read_flags(fl_coder *c, fl_component *k, uint32_t b, uint32_t plane);
void fl_write_flags(fl_coder *c, fl_component *k, uint32_t b, uint32_t plane, const uint8_t *reach);

/* How a pass is coded; `refined`: the band had active blocks before this plane. */
void fl_read_choice(fl_coder *c, fl_component *k, int refined, pass_choice *choice);
void fl_write_choice(fl_coder *c, fl_component *k, int refined, pass_choice *choice, const table_choice *tables);

/* Number of bytes of raw bits; in layers that have any. */
uint32_t fl_read_size(fl_coder *c);
void fl_write_size(fl_coder *c, uint32_t size);

/* The coarsest level's band is coded as differences from a prediction (SPEC 3.6.5): the median of left, top and their
 * sum less the top left one (MED; Weinberger, Seroussi, Sapiro 2000). `at` has those before it in raster order. */
static inline int32_t fl_predict(const int32_t *at, uint32_t x, uint32_t y, ptrdiff_t stride) {
    if (x == 0) return y == 0 ? 0 : at[-stride];
    if (y == 0) return at[-1];
    int32_t left = at[-1], top = at[-stride], corner = at[-stride - 1];
    int32_t low = left < top ? left : top, high = left < top ? top : left;
    return corner >= high ? low : corner <= low ? high : left + top - corner;
}

/* ---- what differs from processor to processor -------------------------------------------------------------------- */

typedef struct fl_rans_reader fl_rans_reader; /* decode.h */
typedef struct row_symbols row_symbols;       /* decode.h */
typedef struct fl_encode_ops fl_encode_ops;   /* encode.h */

/* Magnitudes of a band are known down to plane `low`: reconstruction points (SPEC 3.7) are `first` above a magnitude of
 * 2^low, `rest` above larger ones. */
typedef struct {
    uint32_t low;
    int32_t first, rest;
} fl_points;

/* All give the same bits. */
typedef struct {
    /* Decode one pass into state, sign and magnitude. */
    void (*decode_pass)(fl_component *k, uint32_t b, uint32_t plane, pass_part part, const pass_choice *choice,
                        fl_rans_reader *r);
    /* Decode a row of an adaptive layer's pass; `columns`: those of active blocks. */
    void (*adaptive_row)(fl_coder *c, fl_component *k, uint32_t b, uint32_t y, uint64_t *columns, pass_part part,
                         row_symbols *row);
    /* Magnitudes and signs of a band to coefficients, int32 if `wide`, else int16. */
    void (*finish)(const fl_component *k, uint32_t b, fl_points points, void *coefs, int wide);
    const fl_encode_ops *encode;
} fl_tile_ops;

/* The fastest of this processor, or the one asked for; NULL if it has not that one. */
const fl_tile_ops *fl_tile_ops_for(uint32_t path);

#endif
