/* Tiles: geometry, and what decoder and encoder share: what layers begin with, block flags, choices of tables (SPEC
 * 3.6). Each is written once for both directions, so that they can't drift apart. */
#include "tile.h"

/* ---- geometry ---------------------------------------------------------------------------------------------------- */

int fl_shape_of(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y, fl_tile_shape *shape) {
    if (level > info->levels) return 0;
    const fl_level *at = &info->level[level];
    if (tile_x >= at->tiles_x || tile_y >= at->tiles_y) return 0;
    shape->is_base = level == info->levels;
    if (shape->is_base) {
        shape->x = (fl_extent){0, at->width, 0};
        shape->y = (fl_extent){0, at->height, 0};
        shape->size = at->width * at->height;
    } else {
        shape->x = fl_tile_extent(at->width, at->tile_log2, tile_x);
        shape->y = fl_tile_extent(at->height, at->tile_log2, tile_y);
        shape->size = (shape->x.low + shape->x.high) * (shape->y.low + shape->y.high) - shape->x.low * shape->y.low;
    }
    return 1;
}

size_t fl_wavelet_tile_size(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y) {
    fl_tile_shape shape;
    return fl_shape_of(info, level, tile_x, tile_y, &shape) ? shape.size : 0;
}

/* ---- starts ------------------------------------------------------------------------------------------------------ */

void fl_tile_start(fl_tile *t, uint32_t components) {
    t->components = components;
    t->is_static = t->lanes = 0;
    /* What layers of real images begin with: their bands come together. */
    static const uint16_t MORE_ZERO[2][8] = {{1024, 3712, 5248, 21248, 4224, 6400, 15104, 6400},
                                             {24128, 3264, 5312, 13760, 2624, 4800, 11584, 4672}};
    t->static_model = t->split_model = (fl_model){22272, 3};
    for (uint32_t i = 0; i < 2u; i++)
        for (uint32_t j = 0; j < 8u; j++) t->more[i][j] = (fl_model){MORE_ZERO[i][j], 3};
    for (uint32_t i = 0; i < components; i++) t->component[i].planes = t->component[i].passes = 0;
}

static void start_models(component_models *m) {
    /* Few active neighbours, a bit that is hardly ever 1. */
    static const uint16_t BLOCK_ZERO[5] = {29568, 21568, 14368, 8768, 5568};
    for (uint32_t b = 0; b < BANDS; b++) {
        for (uint32_t i = 0; i < 5u; i++) m->block[b][i] = (fl_model){BLOCK_ZERO[i], 3};
        for (uint32_t i = 0; i < MODELS; i++) m->symbol[b][i] = (fl_model){(uint16_t)(8u * fl_prior[b][i]), 7};
    }
    fl_model_reset(m->raw, 2);
    fl_model_reset(m->same, SETS);
    for (uint32_t i = 0; i < SETS; i++) {
        m->is_explicit[i] = (fl_model){30000, 3};
        m->last[i].index = NO_TABLE;
    }
}

/* Siblings are looked up at the same index. Their extents differ by 1 at most, so that index is inside or on the
 * border. */
void fl_component_start(fl_component *k, const fl_tile_shape *shape, uint32_t planes) {
    static const uint8_t SIBLING[BANDS][2] = {{1, 2}, {0, 2}, {0, 1}};
    const uint32_t widths[BANDS] = {shape->x.high, shape->x.low, shape->x.high};
    const uint32_t heights[BANDS] = {shape->y.low, shape->y.high, shape->y.high};
    k->planes = planes;
    k->passes = 0;
    fl_fill(k->split, 0, sizeof k->split);
    for (uint32_t b = 0; b < BANDS; b++) {
        band *own = &k->bands[b];
        *own = (band){.width = widths[b], .height = heights[b], .state = k->state[b] + BORDER};
        if (shape->is_base && b == 2u) *own = (band){.width = widths[1], .height = heights[0], .state = own->state};
        own->magnitude = &k->magnitude[0][b];
        own->parts = k->parts[b];
        own->active = k->active[b] + BLOCK_STRIDE + 1;
        for (uint32_t i = 0; i < 2u; i++) own->siblings[i] = k->state[SIBLING[b][i]] + BORDER;
        fl_fill(k->state[b], 0, (fl_max(shape->y.low, shape->y.high) + 2 * BORDER) * sizeof(state_row));
    }
    fl_fill(k->active, 0, sizeof k->active);
    start_models(&k->models);
}

/* ---- what a layer begins with ------------------------------------------------------------------------------------ */

/* `bits` equally likely bits, most significant first. */
FL_INLINE uint32_t code_number(fl_coder *c, uint32_t bits, uint32_t value, const int encoding) {
    uint32_t result = 0;
    for (uint32_t i = bits; i-- > 0u;) {
        fl_model even = {1u << (FL_PROBABILITY_BITS - 1u), 0};
        result = result << 1 | fl_code(c, &even, value >> i & 1u, encoding);
    }
    return result;
}

FL_INLINE int code_planes(fl_coder *c, fl_tile *t, const int encoding) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < t->components; i++) {
        uint32_t *planes = &t->component[i].planes;
        *planes = code_number(c, 5, *planes, encoding);
        most = fl_max(most, *planes);
    }
    return most <= FL_MAX_PLANES;
}

int fl_read_planes(fl_coder *c, fl_tile *t) { return code_planes(c, t, 0); }
void fl_write_planes(fl_coder *c, fl_tile *t) { code_planes(c, t, 1); }

FL_INLINE int code_layer(fl_coder *c, fl_tile *t, fl_layer *layer, const int encoding) {
    uint32_t passes = 0;
    if (!t->is_static) t->is_static = fl_code(c, &t->static_model, layer->is_static, encoding);
    layer->is_static = (uint8_t)t->is_static;
    for (uint32_t i = 0; i < t->components; i++) {
        fl_component *k = &t->component[i];
        uint32_t place = k->passes, count = 0;
        while (place < PLACES * k->planes &&
               fl_code(c, &t->more[i > 0][fl_min(count, 7)], layer->end[i] > place, encoding)) {
            if (place % PLACES == 0) {
                uint8_t *split = &k->split[pass_plane(k, place)];
                *split = (uint8_t)fl_code(c, &t->split_model, *split, encoding);
                if (!*split) place += BANDS;
            }
            place++;
            count++;
        }
        layer->end[i] = (uint8_t)place;
        passes += count;
    }
    uint32_t before = t->lanes;
    if (t->is_static) t->lanes = layer->lanes = (uint8_t)code_number(c, 3, layer->lanes, encoding);
    return passes > 0 && t->lanes >= before && t->lanes <= MOST_LANES_CODE;
}

int fl_read_layer(fl_coder *c, fl_tile *t, fl_layer *layer) { return code_layer(c, t, layer, 0); }
void fl_write_layer(fl_coder *c, fl_tile *t, const fl_layer *layer) {
    fl_layer copy = *layer;
    code_layer(c, t, &copy, 1);
}

/* Its number of bits, then those below the leading one. */
FL_INLINE uint32_t code_size(fl_coder *c, uint32_t size, const int encoding) {
    uint32_t bits = encoding && size ? 32u - (uint32_t)__builtin_clz(size) : 0u;
    bits = code_number(c, 5, bits, encoding);
    if (bits < 2u) return bits;
    return 1u << (bits - 1u) | code_number(c, bits - 1u, size, encoding);
}

uint32_t fl_read_size(fl_coder *c) { return code_size(c, 0, 0); }
void fl_write_size(fl_coder *c, uint32_t size) { code_size(c, size, 1); }

/* ---- block flags ------------------------------------------------------------------------------------------------- */

FL_INLINE void code_flags(fl_coder *c, fl_component *k, uint32_t b, uint32_t plane, const uint8_t *reach,
                          const int encoding) {
    band *own = &k->bands[b];
    uint32_t any = own->begun;
    for (uint32_t y = 0; y * BLOCK_ROWS < own->height; y++)
        for (uint32_t x = 0; x * BLOCK_COLUMNS < own->width; x++) {
            uint8_t *at = own->active + y * BLOCK_STRIDE + x;
            if (*at == 0) {
                uint32_t near =
                    (uint32_t)(at[-1] != 0) + (at[1] != 0) + (at[-BLOCK_STRIDE] != 0) + (at[BLOCK_STRIDE] != 0);
                uint32_t bit = encoding ? reach[y * BLOCK_STRIDE + x] > plane : 0u;
                if (fl_code(c, &k->models.block[b][near], bit, encoding)) *at = (uint8_t)(plane + 1u);
            }
            any |= *at;
        }
    if (any && !own->begun) own->begun = plane + 1u;
}

void fl_read_flags(fl_coder *c, fl_component *k, uint32_t b, uint32_t plane) { code_flags(c, k, b, plane, 0, 0); }
void fl_write_flags(fl_coder *c, fl_component *k, uint32_t b, uint32_t plane, const uint8_t *reach) {
    code_flags(c, k, b, plane, reach, 1);
}

/* ---- choices ----------------------------------------------------------------------------------------------------- */

FL_INLINE void code_table(fl_coder *c, fl_component *k, uint32_t set, uint16_t *zero, const table_choice *wanted,
                          const int encoding) {
    static const uint8_t BITS[SETS] = {5, 4, 4}, ENTRIES[SETS] = {16, 16, SIGN_CONTEXTS};
    const uint32_t entries = ENTRIES[set];
    component_models *m = &k->models;
    table_choice *last = &m->last[set];
    uint32_t same = 0;
    if (last->index != NO_TABLE) {
        if (encoding) {
            same = wanted->index == last->index;
            if (same && wanted->index == EXPLICIT)
                for (uint32_t i = 0; i < entries; i++) same &= wanted->bytes[i] == last->bytes[i];
        }
        same = fl_code(c, &m->same[set], same, encoding);
    }
    if (!same) {
        uint32_t is_explicit = fl_code(c, &m->is_explicit[set], encoding ? wanted->index == EXPLICIT : 0u, encoding);
        last->index = EXPLICIT;
        for (uint32_t i = 0; is_explicit && i < entries; i++)
            last->bytes[i] = (uint8_t)code_number(c, 8, encoding ? wanted->bytes[i] : 0u, encoding);
        if (!is_explicit) last->index = (uint8_t)code_number(c, BITS[set], encoding ? wanted->index : 0u, encoding);
    }
    const uint16_t *fixed = set == SET_SIGNIFICANCE ? fl_significance_tables[last->index & 31u]
                            : set == SET_REFINEMENT ? fl_refinement_tables[last->index & 15u]
                                                    : fl_sign_tables[last->index & 15u];
    for (uint32_t i = 0; i < entries; i++) zero[i] = last->index == EXPLICIT ? fl_logistic[last->bytes[i]] : fixed[i];
}

FL_INLINE void code_choice(fl_coder *c, fl_component *k, int refined, pass_choice *choice, const table_choice *tables,
                           const int encoding) {
    component_models *m = &k->models;
    fl_fill(choice->zero, 0, sizeof choice->zero);
    choice->raw_bits = (uint8_t)fl_code(c, &m->raw[0], choice->raw_bits, encoding);
    if (!choice->raw_bits) {
        code_table(c, k, SET_SIGNIFICANCE, choice->zero, tables, encoding);
        if (refined)
            code_table(c, k, SET_REFINEMENT, choice->zero + 16, encoding ? tables + SET_REFINEMENT : 0, encoding);
    }
    choice->raw_signs = (uint8_t)fl_code(c, &m->raw[1], choice->raw_signs, encoding);
    if (!choice->raw_signs)
        code_table(c, k, SET_SIGN, choice->zero + BIT_CONTEXTS, encoding ? tables + SET_SIGN : 0, encoding);
}

void fl_read_choice(fl_coder *c, fl_component *k, int refined, pass_choice *choice) {
    code_choice(c, k, refined, choice, 0, 0);
}
void fl_write_choice(fl_coder *c, fl_component *k, int refined, pass_choice *choice, const table_choice *tables) {
    code_choice(c, k, refined, choice, tables, 1);
}
