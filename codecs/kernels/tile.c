/* Tiles: geometry, and what decoder and encoder share: block flags, choices of tables, adaptive planes (SPEC 3.6). Each
 * is written once for both directions, so that they can't drift apart. */
#include "encode.h"

#define TARGET
#define NAME(name) name##_portable
#include "contexts.h"
#include "signs.h"
#undef TARGET
#undef NAME

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

size_t fl_wavelet_tile_scratch(const fl_info *info) {
    (void)info;
#if defined(__wasm__)
    return sizeof(fl_tile);
#else
    return sizeof(fl_encoder);
#endif
}

fl_plane_range fl_layer_planes(const fl_info *info, uint32_t component, uint32_t level, uint32_t layer) {
    if (level == info->levels) return (fl_plane_range){0, FL_MAX_PLANES};
    const uint32_t *cut = info->cut[component][level];
    return (fl_plane_range){cut[layer], layer == 0 ? FL_MAX_PLANES : cut[layer - 1u]};
}

/* Siblings are looked up at the same index. Their extents differ by 1 at most, so that index is inside or on the
 * border. */
void fl_tile_start(fl_tile *t, const fl_tile_shape *shape, uint32_t planes) {
    static const uint8_t SIBLING[3][2] = {{1, 2}, {0, 2}, {0, 1}};
    const uint32_t widths[3] = {shape->x.high, shape->x.low, shape->x.high};
    const uint32_t heights[3] = {shape->y.low, shape->y.high, shape->y.high};
    t->planes = planes;
    for (uint32_t b = 0; b < 3u; b++) {
        band *own = &t->bands[b];
        *own = (band){.width = widths[b], .height = heights[b], .state = t->state[b] + ORIGIN};
        if (shape->is_base && b == 2u) *own = (band){.width = widths[1], .height = heights[0], .state = own->state};
        own->sign = t->sign[b] + ORIGIN;
        own->active = t->active[b] + BLOCK_STRIDE + 1;
        for (uint32_t i = 0; i < 2u; i++) own->siblings[i] = t->state[SIBLING[b][i]] + ORIGIN;
        size_t area = ((size_t)fl_max(shape->y.low, shape->y.high) + 2 * BORDER) * STRIDE + 2 * GROUP;
        fl_fill(t->state[b], 0, area);
        fl_fill(t->sign[b], 0, area);
        for (uint32_t i = 0; i < SLICES; i++) {
            own->magnitude[i] = t->magnitude[b][i];
            if (8u * i < planes) fl_fill(own->magnitude[i], 0, (size_t)own->height * MAG_STRIDE);
        }
    }
    fl_fill(t->active, 0, sizeof t->active);

    /* Few active neighbours, a bit that is hardly ever 1. */
    static const uint16_t BLOCK_ZERO[5] = {29568, 21568, 14368, 8768, 5568};
    tile_models *m = &t->models;
    for (uint32_t b = 0; b < 3u; b++) {
        for (uint32_t i = 0; i < 5u; i++) m->block[b][i] = (fl_model){BLOCK_ZERO[i], 3};
        for (uint32_t i = 0; i < CONTEXTS; i++) m->symbol[b][i] = (fl_model){(uint16_t)(8u * fl_prior[i]), 7};
    }
    fl_model_reset(m->raw, 2);
    fl_model_reset(m->same, SETS);
    for (uint32_t i = 0; i < SETS; i++) {
        m->is_explicit[i] = (fl_model){30000, 3};
        m->last[i].index = NO_TABLE;
    }
}

/* ---- block flags ------------------------------------------------------------------------------------------------- */

FL_INLINE void code_flags(fl_coder *c, fl_tile *t, uint32_t b, uint32_t plane, const uint8_t *reach,
                          const int encoding) {
    band *own = &t->bands[b];
    for (uint32_t y = 0; y * BLOCK_ROWS < own->height; y++)
        for (uint32_t x = 0; x * GROUP < own->width; x++) {
            uint8_t *at = own->active + y * BLOCK_STRIDE + x;
            if (*at == 0) {
                uint32_t near =
                    (uint32_t)(at[-1] != 0) + (at[1] != 0) + (at[-BLOCK_STRIDE] != 0) + (at[BLOCK_STRIDE] != 0);
                uint32_t bit = encoding ? reach[y * BLOCK_STRIDE + x] > plane : 0u;
                if (fl_code(c, &t->models.block[b][near], bit, encoding)) *at = (uint8_t)(plane + 1u);
            }
            own->begun |= *at;
        }
}

void fl_read_flags(fl_coder *c, fl_tile *t, uint32_t b, uint32_t plane) { code_flags(c, t, b, plane, 0, 0); }
void fl_write_flags(fl_coder *c, fl_tile *t, uint32_t b, uint32_t plane, const uint8_t *reach) {
    code_flags(c, t, b, plane, reach, 1);
}

/* ---- choices ----------------------------------------------------------------------------------------------------- */

/* `bits` equally likely bits, most significant first. */
FL_INLINE uint32_t code_number(fl_coder *c, uint32_t bits, uint32_t value, const int encoding) {
    uint32_t result = 0;
    for (uint32_t i = bits; i-- > 0u;) {
        fl_model even = {1u << (FL_PROBABILITY_BITS - 1u), 0};
        result = result << 1 | fl_code(c, &even, value >> i & 1u, encoding);
    }
    return result;
}

FL_INLINE void code_table(fl_coder *c, fl_tile *t, uint32_t set, uint16_t *zero, const table_choice *wanted,
                          const int encoding) {
    static const uint8_t BITS[SETS] = {5, 4, 4}, ENTRIES[SETS] = {16, 16, SIGN_CONTEXTS};
    const uint32_t entries = ENTRIES[set];
    tile_models *m = &t->models;
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

FL_INLINE void code_choice(fl_coder *c, fl_tile *t, int refined, plane_choice *choice, const table_choice *tables,
                           const int encoding) {
    tile_models *m = &t->models;
    fl_fill(choice->zero, 0, sizeof choice->zero);
    choice->raw_bits = (uint8_t)fl_code(c, &m->raw[0], choice->raw_bits, encoding);
    if (!choice->raw_bits) {
        code_table(c, t, SET_SIGNIFICANCE, choice->zero, tables, encoding);
        if (refined)
            code_table(c, t, SET_REFINEMENT, choice->zero + 16, encoding ? tables + SET_REFINEMENT : 0, encoding);
    }
    choice->raw_signs = (uint8_t)fl_code(c, &m->raw[1], choice->raw_signs, encoding);
    if (!choice->raw_signs)
        code_table(c, t, SET_SIGN, choice->zero + BIT_CONTEXTS, encoding ? tables + SET_SIGN : 0, encoding);
}

void fl_read_choice(fl_coder *c, fl_tile *t, int refined, plane_choice *choice) {
    code_choice(c, t, refined, choice, 0, 0);
}
void fl_write_choice(fl_coder *c, fl_tile *t, int refined, plane_choice *choice, const table_choice *tables) {
    code_choice(c, t, refined, choice, tables, 1);
}

/* ---- adaptive planes --------------------------------------------------------------------------------------------- */

FL_INLINE void code_plane(fl_coder *c, fl_tile *t, uint32_t b, uint32_t plane, const uint32_t *negative,
                          const int encoding) {
    band *own = &t->bands[b];
    fl_model *models = t->models.symbol[b];
    const uint8_t value = (uint8_t)(1u << (plane & 7u));
    uint32_t columns = (own->width + GROUP - 1u) / GROUP;
    for (uint32_t y = 0; y < own->height; y++) {
        const uint8_t *active = own->active + (y / BLOCK_ROWS) * BLOCK_STRIDE;
        uint8_t *magnitude = own->magnitude[plane >> 3] + (size_t)y * MAG_STRIDE;
        uint8_t *state = own->state + (size_t)y * STRIDE;
        int8_t *sign = own->sign + (size_t)y * STRIDE;
        uint8_t contexts[FL_MAX_TILE];
        uint32_t bits[GROUPS] = {0};
        for (uint32_t g = 0; g < columns; g++) /* one group after the other: the state is not changed yet */
            if (active[g]) {
                uint32_t x0 = g * GROUP, x1 = fl_min(x0 + GROUP, own->width);
                contexts_portable(t, b, x0, y, GROUP, contexts + x0);
                for (uint32_t x = x0; x < x1; x++) {
                    uint32_t bit = encoding ? (magnitude[x] & value) != 0 : 0u;
                    bits[g] |= fl_code(c, &models[contexts[x]], bit, encoding) << (x - x0);
                }
            }
        uint32_t signs[GROUPS] = {0};
        for (uint32_t g = 0; g < columns; g++)
            if (active[g])
                for (uint32_t i = 0, x = g * GROUP; i < GROUP; i++, x++)
                    if ((bits[g] >> i & 1u) && !(state[x] & 1u)) {
                        uint32_t bit = encoding ? negative[y * GROUPS + g] >> i & 1u : 0u;
                        bit = fl_code(c, &models[BIT_CONTEXTS + fl_sign_context(sign + x)], bit, encoding);
                        signs[g] |= bit << i;
                    }
        for (uint32_t g = 0; g < columns; g++)
            if (active[g])
                for (uint32_t i = 0, x = g * GROUP; i < GROUP; i++, x++) {
                    uint8_t bit = (uint8_t)(bits[g] >> i & 1u), s = state[x];
                    state[x] = (uint8_t)(s | bit | (s & 1) << 4 | (s & 16) << 3);
                    if (bit) magnitude[x] |= value;
                    if (bit && !(s & 1)) sign[x] = signs[g] >> i & 1u ? -1 : 1;
                }
    }
}

void fl_read_plane(fl_coder *c, fl_tile *t, uint32_t b, uint32_t plane) { code_plane(c, t, b, plane, 0, 0); }
void fl_write_plane(fl_coder *c, fl_tile *t, uint32_t b, uint32_t plane, const uint32_t *negative) {
    code_plane(c, t, b, plane, negative, 1);
}
