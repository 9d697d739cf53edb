/* The range-coded part of a head: tables of errors, lengths of segments (SPEC 2.4, 2.6). One function for each serves
 * both directions, so that they can't drift apart. */
#include "index.h"
#include "rangecoder.h"

#define INLINE static inline __attribute__((always_inline))

/* Where models start: fitted to the heads of real images of 64 to 4096 samples a side. */
enum { START_UPDATES = 3 };
static inline fl_model start(uint32_t zero) { return (fl_model){(uint16_t)zero, START_UPDATES}; }

/* ---- numbers near a guess ---------------------------------------------------------------------------------------- */

/* Models of one kind of numbers. A number v > 0 is coded by how its bit length differs from that of a guess, then by
 * the two bits below its leading one; the rest is even bits. */
typedef struct {
    fl_model above[2];    /* is it longer than the guess? Index: the bit below the guess's leading one */
    fl_model up[3];       /* is it still longer? Index: how many times so far */
    fl_model down[3];     /* is it still shorter? */
    fl_model second[3];   /* the bit below the leading one. Index: as above where the lengths are equal, else 2 */
    fl_model third[3][2]; /* the next one */
} number_models;

enum { ABOVE = 26624, UP = 22528, DOWN = 18432, SECOND = 20480, THIRD = 16384 };
#define MAX_BIT_LENGTH 31u
#define MOST_GUESS ((1u << (MAX_BIT_LENGTH - 1u)) - 1u)

static void start_numbers(number_models *m) {
    for (uint32_t i = 0; i < 2u; i++) m->above[i] = start(ABOVE);
    for (uint32_t i = 0; i < 3u; i++) {
        m->up[i] = start(UP);
        m->down[i] = start(DOWN);
        m->second[i] = start(SECOND);
        m->third[i][0] = m->third[i][1] = start(THIRD);
    }
}

static inline uint32_t bit_length(uint32_t v) { return v > 0 ? 32u - (uint32_t)__builtin_clz(v) : 0u; }

/* 0 < v, guess < 2^31. */
INLINE uint32_t code_number_inline(fl_coder *c, number_models *m, uint32_t guess, uint32_t v, const int encoding) {
    guess = fl_min(guess, MOST_GUESS);
    uint32_t near = bit_length(guess), half = near > 1u ? guess >> (near - 2u) & 1u : 0u;
    uint32_t length = bit_length(v), found = near, steps = 0;
    if (fl_code(c, &m->above[half], length > near, encoding)) {
        found++;
        while (found < MAX_BIT_LENGTH && fl_code(c, &m->up[fl_min(steps++, 2u)], length > found, encoding)) found++;
    } else {
        while (found > 1u && fl_code(c, &m->down[fl_min(steps++, 2u)], length < found, encoding)) found--;
    }
    uint32_t place = found == near ? half : 2u, left = found - 1u, value = 1;
    if (left > 0) value = 2u * value + fl_code(c, &m->second[place], v >> --left & 1u, encoding);
    if (left > 0) value = 2u * value + fl_code(c, &m->third[place][value & 1u], v >> --left & 1u, encoding);
    while (left > 0) {
        fl_model even;
        fl_model_reset(&even, 1);
        value = 2u * value + fl_code(c, &even, v >> --left & 1u, encoding);
    }
    return value;
}

/* Out of line, so that they are there once and not for each kind of number. */
static __attribute__((noinline)) uint32_t read_number(fl_coder *c, number_models *m, uint32_t guess) {
    return code_number_inline(c, m, guess, 0, 0);
}
static __attribute__((noinline, unused)) uint32_t write_number(fl_coder *c, number_models *m, uint32_t guess,
                                                               uint32_t v) {
    return code_number_inline(c, m, guess, v, 1);
}
INLINE uint32_t code_number(fl_coder *c, number_models *m, uint32_t guess, uint32_t v, const int encoding) {
    return encoding ? write_number(c, m, guess, v) : read_number(c, m, guess);
}

/* ---- tables of errors ----------------------------------------------------------------------------------------------
 */

/* What a code stands for: itself below 8, then 8 steps an octave. */
static uint64_t step_value(uint32_t code) {
    return code < 8u ? code : (uint64_t)(8u + (code & 7u)) << ((code >> 3) - 1u);
}

/* The lowest code that stands for `value` or more. */
static uint32_t step_code(uint32_t value) {
    uint32_t length = bit_length(value), octave = length > 4u ? length - 4u : 0u;
    return (octave << 3) + (uint32_t)(((uint64_t)value + (1u << octave) - 1u) >> octave);
}

double fl_mse_value(uint32_t code) { return (double)step_value(fl_min(code, FL_INDEX_CODES - 1u)) / 16.0; }

uint32_t fl_mse_code(double value) {
    double steps = value * 16.0;
    uint32_t octave = 0;
    if (!(steps > 0)) return 0;
    while (steps >= 15.5 && octave < FL_INDEX_CODES / 8u) octave++, steps *= 0.5;
    return fl_min(8u * octave + (steps < 16.0 ? (uint32_t)(steps + 0.5) : 16u), FL_INDEX_CODES - 1u);
}

/* Is the next code lower? Index: 0 in the table of errors; 1, 2 in the other, where errors don't, do fall. */
enum { FALLS_ERROR = 9830, FALLS_MSE_ALONE = 20480, FALLS_MSE = 656 };
/* Are errors after a number of layers measured? */
enum { NOT_MEASURED = 24576 };
/* What the code of the coarsest level's is guessed to be, with 1 added. */
enum { FIRST_MEASURED = 16 };

typedef struct {
    fl_model falls[3];
    number_models first[2], fall[2]; /* table of errors, the other */
    fl_model is_measured;
    number_models measured;
} table_models;

static void start_tables(table_models *m) {
    m->falls[0] = start(FALLS_ERROR);
    m->falls[1] = start(FALLS_MSE_ALONE);
    m->falls[2] = start(FALLS_MSE);
    m->is_measured = start(NOT_MEASURED);
    start_numbers(&m->measured);
    for (uint32_t i = 0; i < 2u; i++) {
        start_numbers(&m->first[i]);
        start_numbers(&m->fall[i]);
    }
}

/* How far a table fell last before place n; 8 where it has not fallen yet. */
static uint32_t last_fall(const uint32_t *codes, uint32_t n) {
    while (n > 1u && codes[n - 1u] == codes[n - 2u]) n--;
    return n > 1u ? codes[n - 2u] - codes[n - 1u] : 8u;
}

/* codes[from .. to] of one level: the first of all, then how far they fall, until they are 0. falls[n]: how far the
 * errors fall from n - 1 to n; written by their own table (`which` 0), read by the other. Returns 0 for what is no
 * table. */
INLINE int code_table(fl_coder *c, table_models *m, const uint32_t which, uint32_t from, uint32_t to, uint32_t *falls,
                      uint32_t *codes, const int encoding) {
    if (from == 0) {
        codes[0] = code_number(c, &m->first[which], 64, codes[0] + 1u, encoding) - 1u;
        if (codes[0] >= FL_INDEX_CODES) return 0;
        from = 1;
    }
    uint32_t guess = last_fall(codes, from);
    for (uint32_t n = from; n <= to; n++) {
        uint32_t above = codes[n - 1u], fall = 0, errors = which ? falls[n] : 0u;
        if (encoding && codes[n] > above) return 0;
        if (above > 0 && fl_code(c, &m->falls[which + (errors > 0)], codes[n] < above, encoding)) {
            fall = code_number(c, &m->fall[which], errors > 0 ? 2u * errors : guess, above - codes[n], encoding);
            if (fall > above) return 0;
            guess = fall;
        }
        if (!which) falls[n] = fall;
        codes[n] = above - fall;
    }
    return 1;
}

/* ---- the index -----------------------------------------------------------------------------------------------------
 */

/* Whether a neighbour of a length is there, and empty. */
enum { NONE, EMPTY, SOME };
static inline uint32_t kind(int there, uint32_t length) { return !there ? NONE : length > 0 ? SOME : EMPTY; }

typedef struct {
    fl_coder coder;
    table_models tables;
    fl_model empty[2][3][3][3]; /* do the level's errors change with this layer; kinds of left, above, layer before */
    number_models length;
} index_state;

/* Where `empty` starts, by the kinds of left and above: one is empty and none is some, one is empty and one is some,
 * none is empty. */
static const uint16_t START_EMPTY[2][3] = {{1024, 16384, 26624}, {7168, 18432, 31232}};

static void start_all(index_state *x) {
    start_tables(&x->tables);
    start_numbers(&x->length);
    for (uint32_t i = 0; i < 54u; i++) {
        uint32_t changes = i / 27u, left = i / 9u % 3u, above = i / 3u % 3u, before = i % 3u;
        int some = left == SOME || above == SOME, empty = left == EMPTY || above == EMPTY;
        uint32_t at = !empty && (some || changes) ? 2u : some ? 1u : 0u;
        x->empty[changes][left][above][before] = start(START_EMPTY[changes][at]);
    }
}

/* Both tables of all levels over the layers of a group; `errors` holds codes. Returns 0 for what is no table. */
INLINE int code_tables(index_state *x, fl_info *info, uint32_t (*errors)[FL_MAX_LAYERS + 1], uint32_t group,
                       const int encoding) {
    for (uint32_t k = info->levels + 1u; k-- > 0;) {
        fl_level *level = &info->level[k];
        uint32_t falls[FL_MAX_LAYERS + 1] = {0};
        const uint32_t first = fl_group_start(info, group, level->layers),
                       end = fl_group_start(info, group + 1u, level->layers), from = group == 0 ? 0 : first + 1u;
        if (!code_table(&x->coder, &x->tables, 0, from, end, falls, errors[k], encoding)) return 0;
        if (step_value(errors[k][0]) > FL_MAX_ERROR) return 0;
        for (uint32_t n = from; n <= end; n++) level->error[n] = (uint32_t)step_value(errors[k][n]);
        if (!code_table(&x->coder, &x->tables, 1, from, end, falls, level->mse, encoding)) return 0;
    }
    return 1;
}

/* What was measured after the layers of a group. Returns 0 for what is no error. */
INLINE int code_measured(index_state *x, fl_info *info, uint32_t group, const int encoding) {
    table_models *m = &x->tables;
    const uint32_t layers = info->level[0].layers, first = fl_group_start(info, group, layers);
    /* Nothing is left after the last layer of the shard. */
    const uint32_t end = fl_group_start(info, group + 1u, layers) + (group + 1u < info->parts);
    for (uint32_t n = first + 1u; info->levels > 0 && n < end; n++) {
        if (!fl_code(&x->coder, &m->is_measured, info->level[0].measured[n] != FL_NOT_MEASURED, encoding)) continue;
        uint32_t guess = FIRST_MEASURED;
        for (uint32_t k = fl_measured_levels(info); k-- > 0;) {
            uint32_t *measured = &info->level[k].measured[n];
            const uint32_t code =
                code_number(&x->coder, &m->measured, guess, encoding ? step_code(*measured) + 1u : 0u, encoding);
            if (code > FL_INDEX_CODES || step_value(code - 1u) > FL_MAX_ERROR) return 0;
            *measured = (uint32_t)step_value(code - 1u);
            guess = code;
        }
    }
    return 1;
}

/* Lengths of a group in file order; `decoded` is the same array when decoding. Returns 0 for one that can't be written.
 */
INLINE int code_lengths(index_state *x, const fl_info *info, uint32_t group, const uint32_t *lengths, uint32_t *decoded,
                        const int encoding) {
    for (uint32_t k = info->levels + 1u; k-- > 0;) {
        const fl_level *level = &info->level[k], *coarser = level + 1;
        const uint32_t tiles = level->tiles_x * level->tiles_y;
        const uint32_t first = fl_group_start(info, group, level->layers);
        const uint32_t end = fl_group_start(info, group + 1u, level->layers);
        const ptrdiff_t step = (ptrdiff_t)(end - first);
        const uint32_t *at = lengths + level->first_segment[group];
        for (uint32_t tile = 0, tx = 0, ty = 0; step > 0 && tile < tiles; tile++) {
            for (uint32_t n = first; n < end; n++, at++) {
                uint32_t left = tx > 0 ? at[-step] : 0u;
                uint32_t above = ty > 0 ? at[-step * (ptrdiff_t)level->tiles_x] : 0u;
                uint32_t before = n > first ? at[-1] : n > 0 ? lengths[fl_segment(info, k, n - 1u, tile)] : 0u;
                int changes = level->error[n] != level->error[n + 1u] || level->mse[n] != level->mse[n + 1u];
                fl_model *empty = &x->empty[changes][kind(tx > 0, left)][kind(ty > 0, above)][kind(n > 0, before)];
                uint32_t length = encoding ? *at : 0u;
                if (encoding && length >> MAX_BIT_LENGTH) return 0;
                if (!fl_code(&x->coder, empty, length == 0, encoding)) {
                    /* The guess: the mean of the tiles beside; else of the layer before and the coarser tile. */
                    uint32_t one = left, two = above;
                    if (one + two == 0) {
                        one = before;
                        if (k < info->levels && n < coarser->layers) {
                            uint32_t x0 = tx << level->tile_log2, y0 = ty << level->tile_log2;
                            uint32_t cx = x0 >> 1 >> coarser->tile_log2, cy = y0 >> 1 >> coarser->tile_log2;
                            two = lengths[fl_segment(info, k + 1u, n, cy * coarser->tiles_x + cx)];
                        }
                    }
                    uint32_t guess = one > 0 && two > 0 ? (one + two) >> 1 : one + two;
                    length = code_number(&x->coder, &x->length, guess > 0 ? guess : 32u, length, encoding);
                }
                if (!encoding) decoded[at - lengths] = length;
            }
            if (++tx == level->tiles_x) tx = 0, ty++;
        }
    }
    return 1;
}

fl_status fl_index_read(const uint8_t *head, fl_info *info, uint32_t *lengths) {
    index_state x;
    uint32_t errors[FL_MAX_LEVELS + 1][FL_MAX_LAYERS + 1] = {{0}};
    start_all(&x);
    for (uint32_t g = 0; g < info->groups; g++) {
        const uint32_t begin = g == 0 ? info->index_offset : info->part_end[g - 1u];
        const uint32_t size = info->part_end[g] - FL_CHECKSUM_BYTES - begin;
        if (g == 0)
            fl_decoder_start(&x.coder, head + begin, size);
        else if (!fl_decoder_resume(&x.coder, head + begin, size))
            return FL_CORRUPT;
        if (!code_tables(&x, info, errors, g, 0) || !code_measured(&x, info, g, 0) ||
            !code_lengths(&x, info, g, lengths, lengths, 0))
            return FL_CORRUPT;
    }
    return FL_OK;
}

#if !defined(__wasm__)
/* The codes of all errors. Returns 0 if there is one too large. */
static int error_codes(const fl_info *info, uint32_t (*errors)[FL_MAX_LAYERS + 1]) {
    for (uint32_t k = 0; k <= info->levels; k++)
        for (uint32_t n = 0; n <= info->level[k].layers; n++) {
            if (info->level[k].error[n] > FL_MAX_ERROR) return 0;
            errors[k][n] = step_code(info->level[k].error[n]);
            const uint32_t measured = info->level[k].measured[n];
            if (measured != FL_NOT_MEASURED && measured > FL_MAX_ERROR) return 0;
        }
    return 1;
}

fl_status fl_index_write(const fl_info *info, const uint32_t *lengths, uint8_t *out, size_t capacity, size_t *ends) {
    fl_info coded = *info;
    index_state x;
    uint32_t errors[FL_MAX_LEVELS + 1][FL_MAX_LAYERS + 1] = {{0}};
    fl_mark mark[FL_MAX_GROUPS];
    start_all(&x);
    if (!error_codes(info, errors)) return FL_INVALID;
    fl_encoder_start(&x.coder, out, out + capacity);
    for (uint32_t g = 0; g < info->groups; g++) {
        if (!code_tables(&x, &coded, errors, g, 1) || !code_measured(&x, &coded, g, 1) ||
            !code_lengths(&x, &coded, g, lengths, 0, 1))
            return FL_INVALID;
        mark[g] = fl_encoder_mark(&x.coder, out);
    }
    const uint32_t last = info->groups - 1u;
    uint8_t *end = fl_encoder_finish(&x.coder, out);
    if (x.coder.full || mark[last].position > capacity) return FL_NO_SPACE;
    while (end < out + mark[last].position) *end++ = 0;
    for (uint32_t g = 0, before = 0; g <= last; g++) {
        ends[g] = fl_piece_end(mark[g], out);
        /* Zeros that a reader finds there must be none that it takes for bytes to come. */
        if (ends[g] < before + fl_index_least(info, g)) ends[g] = mark[g].position;
        before = (uint32_t)ends[g];
    }
    return FL_OK;
}
#endif
