/* What the encoder keeps of a tile, and its per-processor parts. All passes of a tile are turned into symbols first;
 * what each costs and is worth is reckoned (costs.c), they are shared out to layers (layers.c), and these written
 * (encode.c). */
#ifndef FL_ENCODE_H
#define FL_ENCODE_H

#include "contexts.h"

enum { MOST_SIGNS = FL_MAX_COMPONENTS * BANDS * FL_MAX_TILE * FL_MAX_TILE, MOST_SYMBOLS = FL_MAX_PLANES * MOST_SIGNS };
enum { SLICES = 3 }; /* of 8 planes */
enum { BLOCKS_DOWN = FL_MAX_TILE / BLOCK_ROWS };
/* The tile's range-coder sequence: at most 2 bytes a block flag and 50 bytes a choice, 32 bytes to begin a layer, and
 * of each component so many adaptive symbols of at most 10.1 bits (rangecoder.h). */
enum { MOST_ADAPTIVE = 1 << 17 };
enum { MOST_FLAGS = FL_MAX_COMPONENTS * MOST_PASSES * (2 * BLOCKS_DOWN * BLOCKS_X + 50) + 32 * FL_MAX_LAYERS };
enum { MOST_SEQUENCE = MOST_FLAGS + FL_MAX_COMPONENTS * MOST_ADAPTIVE / 3 * 4 };
/* Symbols that the search for the lanes' first states looks at: more than 31 bits a lane. */
enum { TAIL_OF_LANE = 64, MOST_TAIL = TAIL_OF_LANE * MAX_LANES };

/* A stored symbol is its context, of signs the number of four bits that fl_sign_bits has, and SYMBOL_ONE if it is 1. */
enum { SYMBOL_ONE = 32, SYMBOLS = 64 };
static inline uint32_t fl_context_of(uint32_t symbol) { return symbol & (SYMBOL_ONE - 1u); }
static inline uint32_t fl_sign_context_of(uint32_t symbol) { return BIT_CONTEXTS + fl_sign_context[symbol & 15u]; }

/* Costs are in 1/256 bit; a symbol's is at most 12 bits. */
enum { COST_ONE = 256, COST_MAX = 12 * COST_ONE };

/* The encoder knows all planes beforehand, so that it takes several rows at once: eight of one word, or four of two. A
 * plane of a band has rows of zeros above and below, and the number of words a row that its tile needs. */
#pragma GCC diagnostic ignored "-Wpsabi" /* they are passed to functions that are inlined, always */
enum { WORDS_AT_ONCE = 8, PLANE_WORDS = (FL_MAX_TILE + 2 * BORDER) * WORDS + WORDS_AT_ONCE };
typedef uint64_t fl_rows __attribute__((vector_size(8 * WORDS_AT_ONCE), aligned(8)));

#define BITS fl_rows
#define TARGET
#define NAME(name) fl_rows_##name
#include "context_logic.h"
#undef NAME
#undef TARGET
#undef BITS

/* Neighbours `by` columns to the left, and to the right, in rows of `words` words. Macros: a vector is no argument of a
 * function without the instruction set of its caller. */
#define fl_rows_left(x, by, words)                                                                                     \
    ((words) == 1u ? (x) << (by)                                                                                       \
                   : (x) << (by) | __builtin_shufflevector(x, (fl_rows){0}, 8, 0, 8, 2, 8, 4, 8, 6) >> (WORD - (by)))
#define fl_rows_right(x, by, words)                                                                                    \
    ((words) == 1u ? (x) >> (by)                                                                                       \
                   : (x) >> (by) | __builtin_shufflevector(x, (fl_rows){0}, 1, 8, 3, 8, 5, 8, 7, 8) << (WORD - (by)))

/* One pass. Its rows are stored one after the other, of each the words that have coded columns, whole; the signs
 * likewise, elsewhere. */
typedef struct {
    uint32_t symbols, symbols_end, signs; /* where they are */
    uint32_t bit_count, refined;          /* bits, and those of coefficients that were significant before */
    uint32_t sign_count;                  /* also the number of coefficients that became significant */
    uint64_t columns[FL_MAX_TILE + WORDS_AT_ONCE][WORDS]; /* of each row: those that are coded */
    uint8_t row_signs[FL_MAX_TILE];
    uint8_t has_refinement; /* the band had active blocks before, and this is no first part */
    table_choice tables[SETS];
    pass_choice choice;
    uint32_t flags_cost, static_cost, adaptive_cost; /* of block flags; of symbols (and tables), coded either way */
    double gain;                                     /* by how much it lowers the squared error of coefficients */
} coded_pass;

typedef struct {
    uint32_t passes;
    uint32_t tried;       /* so many passes, from the first on, may be adaptive; only they have an adaptive cost */
    uint32_t most[BANDS]; /* the largest magnitude of each band */
    uint8_t reach[BANDS][BLOCK_AREA]; /* planes of each block's magnitudes; laid out as `active` is */
    coded_pass pass[MOST_PASSES];
} coded_component;

/* How often each symbol of a pass occurs. */
typedef struct {
    uint16_t bits[SYMBOLS], signs[SYMBOLS];
} symbol_counts;

/* How to encode a symbol of frequency f in 4096: x' = x + bias + floor(x / f) (4096 - f). The quotient by the 32-bit
 * reciprocal is exact for x < 2^31 (Granlund and Montgomery 1994). */
typedef struct {
    uint32_t reciprocal, limit; /* a word leaves the state when it is at least `limit` = f 2^19 */
    uint16_t bias, complement;
    uint8_t shift;
} symbol_code;

/* Costs of each table's symbols, for 16 contexts (of signs 9 are used): what 0 costs and what 1 does. */
typedef struct {
    int16_t significance[16][FL_SIGNIFICANCE_TABLES][2], refinement[16][FL_REFINEMENT_TABLES][2];
    int16_t sign[16][FL_SIGN_TABLES][2], logistic[256][2];
} table_costs;

typedef struct {
    fl_tile tile;
    coded_component component[FL_MAX_COMPONENTS];
    uint32_t symbol_count, sign_count; /* stored so far */
    /* Of one component: planes of magnitudes; known[b][p]: which are not 0 in plane p or above; which are negative. */
    uint64_t magnitude[BANDS][FL_MAX_PLANES][PLANE_WORDS], known[BANDS][FL_MAX_PLANES + 3][PLANE_WORDS];
    uint64_t negative[BANDS][PLANE_WORDS];
    /* Of a plane that is split, after the first part: what it has coded; which coefficients are significant. */
    uint64_t done[BANDS][PLANE_WORDS], half_known[BANDS][PLANE_WORDS];
    /* What contexts see of each band now: which coefficients are at least 1, at least 2. */
    const uint64_t *one[BANDS], *two[BANDS];
    uint32_t words;                                                /* a row */
    int32_t differences[FL_MAX_COMPONENTS][1 << 2 * FL_BASE_LOG2]; /* of the base level */
    table_costs costs;
    symbol_code codes[SYMBOLS], sign_codes[SYMBOLS];
    uint8_t tail[MOST_TAIL];
    symbol_code tail_codes[MOST_TAIL];
    uint8_t sequence[MOST_SEQUENCE];
    uint8_t symbols[MOST_SYMBOLS], signs[MOST_SIGNS + WORD]; /* lists are written by whole words */
} fl_encoder;

/* Raw bits, least significant first (SPEC 3.6.4). */
typedef struct {
    uint8_t *out;
    uint64_t window;
    uint32_t bits; /* in the window, below 32 */
} raw_writer;

static inline void fl_put_raw(raw_writer *w, uint32_t bits, uint32_t n) {
    w->window |= (uint64_t)bits << w->bits;
    w->bits += n;
    if (w->bits < 32u) return;
    fl_write32(w->out, (uint32_t)w->window);
    w->out += 4;
    w->window >>= 32;
    w->bits -= 32u;
}

static inline void fl_put_raw_word(raw_writer *w, uint64_t bits, uint32_t n) {
    fl_put_raw(w, (uint32_t)bits, fl_min(n, 32));
    if (n > 32u) fl_put_raw(w, (uint32_t)(bits >> 32), n - 32u);
}

/* The last bits, filled up with zeros; returns the end. */
static inline uint8_t *fl_end_raw(raw_writer *w) {
    for (; w->bits > 0u; w->bits -= fl_min(w->bits, 8u), w->window >>= 8) *w->out++ = (uint8_t)w->window;
    return w->out;
}

struct fl_encode_ops {
    /* The largest magnitude of a band of coefficients. */
    uint32_t (*reach)(const int32_t *from, size_t stride, uint32_t width, uint32_t height);
    /* Take a band of a plane of coefficients as magnitudes, signs (e->negative) and planes of blocks. */
    void (*load_band)(fl_encoder *e, fl_component *k, uint32_t b, uint8_t *reach, const int32_t *from, size_t stride);
    /* Turn a pass into symbols, and count them. */
    void (*take_pass)(fl_encoder *e, fl_component *k, uint32_t b, uint32_t plane, pass_part part, coded_pass *pass,
                      symbol_counts *counts);
    /* What counted symbols of 16 contexts cost with each of 16 or 32 tables; counts are below 2^15. */
    void (*cost_tables)(const int16_t (*cost)[2], uint32_t tables, const int16_t (*count)[2], int32_t *sums);
    /* The raw bits of some passes of a component: of each row the bits, then the signs. */
    void (*put_raw)(const fl_encoder *e, uint32_t component, uint32_t first, uint32_t end, raw_writer *w);
    /* Code the symbols of passes end - 1 down to first backwards; words are written below `words`, and reach down to no
     * less than `floor`. NULL: there may be no space. */
    uint8_t *(*push)(fl_encoder *e, uint32_t component, uint32_t first, uint32_t end, uint32_t lanes, uint32_t *state,
                     uint8_t *floor, uint8_t *words);
};

/* ---- costs.c ----------------------------------------------------------------------------------------------------- */

void fl_start_costs(table_costs *costs);

/* Where block (0, 0) is in what is laid out so. */
enum { FIRST_BLOCK = BLOCK_STRIDE + 1 };

/* Number of significant bits. */
static inline uint32_t fl_bits_of(uint32_t value) { return value ? 32u - (uint32_t)__builtin_clz(value) : 0u; }

/* Take all passes of a component and reckon them; up to `most_adaptive` of its symbols are tried with adaptive models.
 */
void fl_take_component(fl_encoder *e, const fl_encode_ops *ops, uint32_t component, uint32_t most_adaptive);

/* How many rows of a band what is stored of a pass has. */
static inline uint32_t fl_rows_of(const fl_encoder *e, uint32_t component, uint32_t place) {
    return e->tile.component[component].bands[pass_band(place)].height;
}

/* The stored symbols of a pass with adaptive models. */
void fl_write_symbols(fl_coder *c, const fl_encoder *e, const band *own, pass_part part, const coded_pass *pass,
                      fl_model *models);

/* ---- layers.c ---------------------------------------------------------------------------------------------------- */

/* passes[n][c]: the place up to which the first n layers hold passes of component c. */
typedef uint8_t shared_passes[FL_MAX_LAYERS + 1][FL_MAX_COMPONENTS];

/* Which planes are split: those within which a layer probably ends. */
void fl_split_planes(fl_component *k, const fl_layering *layering, uint32_t level, uint32_t layers, uint32_t component);

void fl_share_out(const fl_encoder *e, const fl_layering *layering, uint32_t level, uint32_t layers,
                  shared_passes passes);
void fl_report(const fl_encoder *e, const fl_layering *layering, uint32_t level, uint32_t layers,
               const shared_passes passes, fl_tile_report *report);

/* What a pass costs in the way that it will probably be coded. */
static inline uint32_t fl_cost_of(const coded_component *k, uint32_t pass) {
    const coded_pass *p = &k->pass[pass];
    return p->flags_cost + (pass < k->tried ? p->adaptive_cost : p->static_cost);
}

/* ---- encode.c, words.c --------------------------------------------------------------------------------------------
 */

typedef struct {
    fl_layer head;
    uint32_t is_empty;
    uint32_t sequence_end; /* where its part of the tile's sequence ends */
    uint32_t any_raw, raw_bits;
    uint32_t lanes, lanes_before;
    const uint8_t *words, *words_end;
} written_layer;

typedef struct {
    uint32_t count;
    shared_passes passes;
    uint32_t is_base;
    written_layer layer[FL_MAX_LAYERS];
    uint8_t *out, *end; /* room for segments */
} tile_layers;

/* All words, backwards from the end of the room; state[] gets what each lane begins with. Returns 0 if there is no
 * space. */
int fl_push_words(fl_encoder *e, const fl_encode_ops *ops, tile_layers *t, uint32_t *state);

/* ---- push_*.h ---------------------------------------------------------------------------------------------------- */

/* Codes of a choice's symbols, for fl_push (words.c). */
void fl_start_codes(symbol_code *bits, symbol_code *signs, const pass_choice *choice);

static inline uint32_t fl_push(uint32_t x, const symbol_code *code) {
    uint32_t quotient = (uint32_t)((uint64_t)x * code->reciprocal >> 32) >> code->shift;
    return x + code->bias + quotient * code->complement;
}

#endif
