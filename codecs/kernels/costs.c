/* What each pass of a tile costs and is worth: the choice of tables by what the counted symbols cost with each (SPEC
 * 3.6.4), what adaptive models would, and the squared error that a pass takes away. */
#include "encode.h"

/* WebAssembly decodes only. */
#if !defined(__wasm__)

/* ---- costs of symbols -------------------------------------------------------------------------------------------- */

/* 256 log2(value), value >= 1. */
static int32_t logarithm(uint32_t value) {
    uint32_t bits = fl_bits_of(value) - 1u;
    uint32_t part = bits >= 8u ? value >> (bits - 8u) : value << (8u - bits);
    return (int32_t)(bits * COST_ONE + fl_cost_steps[part & 255u]);
}

static void fill_cost(int16_t *cost, uint32_t zero) {
    cost[0] = (int16_t)(COST_MAX - logarithm(zero));
    cost[1] = (int16_t)(COST_MAX - logarithm(PROBABILITY_ONE - zero));
}

void fl_start_costs(table_costs *costs) {
    fl_fill(costs->sign, 0, sizeof costs->sign);
    for (uint32_t i = 0; i < 16u; i++) {
        for (uint32_t t = 0; t < FL_SIGNIFICANCE_TABLES; t++)
            fill_cost(costs->significance[i][t], fl_significance_tables[t][i]);
        for (uint32_t t = 0; t < FL_REFINEMENT_TABLES; t++)
            fill_cost(costs->refinement[i][t], fl_refinement_tables[t][i]);
        for (uint32_t t = 0; i < SIGN_CONTEXTS && t < FL_SIGN_TABLES; t++)
            fill_cost(costs->sign[i][t], fl_sign_tables[t][i]);
    }
    for (uint32_t v = 0; v < 256u; v++) fill_cost(costs->logistic[v], fl_logistic[v]);
}

/* ---- choice of tables -------------------------------------------------------------------------------------------- */

/* How often each symbol of a set occurs. */
typedef struct {
    int16_t count[16][2];
} set_counts;

/* About what a table of its own would save against one of the fixed ones, in bits: half the chi-squared statistic is
 * that in nats. */
static float likely_gain(const set_counts *c, const uint16_t *zero, uint32_t entries) {
    float sum = 0;
    for (uint32_t i = 0; i < entries; i++) {
        float p = (float)zero[i] / (float)PROBABILITY_ONE, n = (float)(c->count[i][0] + c->count[i][1]),
              expected = n * p;
        float off = (float)c->count[i][0] - expected, variance = expected * (1 - p) + 1e-6f;
        sum += off * off / variance;
    }
    return sum * 0.72f;
}

/* A table of its own: P(0) of each context from its counts, one byte each. Returns the cost. */
static uint32_t explicit_table(const fl_encoder *e, const set_counts *c, uint32_t entries, table_choice *own) {
    int32_t cost = 0;
    own->index = EXPLICIT;
    for (uint32_t i = 0; i < entries; i++) {
        int32_t zeros = c->count[i][0], ones = c->count[i][1];
        /* 128 + 15 ln((zeros + 0.4) / (ones + 0.4)); 15 ln 2 / 256 = 2662 / 2^16 */
        int32_t ratio = logarithm(5u * (uint32_t)zeros + 2u) - logarithm(5u * (uint32_t)ones + 2u);
        int32_t place = 128 + ((ratio * 2662 + (1 << 15)) >> 16);
        own->bytes[i] = (uint8_t)(place < 0 ? 0 : place > 255 ? 255 : place);
        const int16_t *each = e->costs.logistic[own->bytes[i]];
        cost += zeros * each[0] + ones * each[1];
    }
    return (uint32_t)cost;
}

/* The cheapest table of a set, its coding included. */
static uint32_t choose_table(const fl_encoder *e, const fl_encode_ops *ops, uint32_t set, const set_counts *c,
                             const table_choice *last, table_choice *best) {
    static const uint8_t BITS[SETS] = {5, 4, 4}, ENTRIES[SETS] = {16, 16, SIGN_CONTEXTS};
    const int16_t (*costs)[2] = set == SET_SIGNIFICANCE ? e->costs.significance[0]
                                : set == SET_REFINEMENT ? e->costs.refinement[0]
                                                        : e->costs.sign[0];
    const uint32_t tables = 1u << BITS[set], explicit_bits = 8u * ENTRIES[set] + 3u;
    int32_t sums[FL_SIGNIFICANCE_TABLES];
    uint32_t least = UINT32_MAX;
    ops->cost_tables(costs, tables, c->count, sums);
    for (uint32_t i = 0; i < tables; i++) {
        uint32_t cost = (uint32_t)sums[i] + (i == last->index ? COST_ONE : (BITS[set] + 1u) * COST_ONE);
        if (cost < least) {
            least = cost;
            best->index = (uint8_t)i;
        }
    }
    const uint16_t *zero = set == SET_SIGNIFICANCE ? fl_significance_tables[best->index]
                           : set == SET_REFINEMENT ? fl_refinement_tables[best->index]
                                                   : fl_sign_tables[best->index];
    if (least < explicit_bits * COST_ONE || likely_gain(c, zero, ENTRIES[set]) < (float)explicit_bits / 2) return least;
    table_choice own;
    uint32_t cost = explicit_table(e, c, ENTRIES[set], &own) + explicit_bits * COST_ONE;
    if (cost >= least) return least;
    *best = own;
    return cost;
}

/* Raw from 0.96 bit a symbol on: that is much faster. */
static uint8_t worth_raw(uint32_t cost, uint32_t symbols) {
    return (uint64_t)cost * 100 >= (uint64_t)symbols * COST_ONE * 96;
}

/* Choose how a pass is coded if it is static; `last`: the tables that were used last. */
static void choose(const fl_encoder *e, const fl_encode_ops *ops, const symbol_counts *counts, table_choice *last,
                   coded_pass *pass) {
    set_counts sets[SETS];
    uint32_t cost[SETS] = {0};
    for (uint32_t set = 0; set < SETS; set++) {
        set_counts *c = &sets[set];
        const uint16_t *from = set == SET_SIGN ? counts->signs : counts->bits;
        const uint32_t first = set == SET_REFINEMENT ? 16u : 0u;
        fl_fill(c, 0, sizeof *c);
        for (uint32_t i = 0; i < 16u; i++)
            for (uint32_t bit = 0; bit < 2u; bit++) {
                const int32_t n = from[first + i + bit * SYMBOL_ONE];
                const uint32_t to = set == SET_SIGN ? fl_sign_context[i] : i;
                c->count[to][bit] = (int16_t)(c->count[to][bit] + n);
            }
    }
    for (uint32_t set = 0; set < SETS; set++)
        if (set != SET_REFINEMENT || pass->has_refinement)
            cost[set] = choose_table(e, ops, set, &sets[set], &last[set], &pass->tables[set]);
    uint32_t bits = cost[SET_SIGNIFICANCE] + cost[SET_REFINEMENT], signs = cost[SET_SIGN];
    pass->choice.coded = 1;
    pass->choice.raw_bits = worth_raw(bits, pass->bit_count);
    pass->choice.raw_signs = worth_raw(signs, pass->sign_count);
    for (uint32_t set = 0; set < SETS; set++)
        if (set == SET_SIGN ? !pass->choice.raw_signs
                            : !pass->choice.raw_bits && (set != SET_REFINEMENT || pass->has_refinement))
            last[set] = pass->tables[set];
    pass->static_cost = 2 * COST_ONE + (pass->choice.raw_bits ? pass->bit_count * COST_ONE : bits) +
                        (pass->choice.raw_signs ? pass->sign_count * COST_ONE : signs);
}

/* ---- adaptive coding --------------------------------------------------------------------------------------------- */

void fl_write_symbols(fl_coder *c, const fl_encoder *e, const band *own, pass_part part, const coded_pass *pass,
                      fl_model *models) {
    fl_model *bits = models + (part == FIRST_PART ? FIRST_MODELS : 0);
    const uint8_t *at = e->symbols + pass->symbols, *signs = e->signs + pass->signs;
    for (uint32_t y = 0; y < own->height; y++) {
        const uint64_t *columns = pass->columns[y];
        for (uint32_t w = 0; w < WORDS; w++) {
            if (columns[w] == 0) continue;
            for (uint64_t left = columns[w]; left; left &= left - 1u) {
                uint32_t symbol = at[__builtin_ctzll(left)];
                fl_code(c, &bits[fl_context_of(symbol)], symbol >= SYMBOL_ONE, 1);
            }
            at += WORD;
        }
        for (uint32_t i = 0; i < pass->row_signs[y]; i++, signs++)
            fl_code(c, &models[fl_sign_context_of(*signs)], *signs >= SYMBOL_ONE, 1);
    }
}

/* Bits that a coder wrote, with fractions; only differences are of use. */
static uint32_t written(const fl_coder *c, const uint8_t *start) {
    return (uint32_t)fl_encoder_position(c, start) * 8u * COST_ONE - (uint32_t)logarithm(c->range);
}

/* An adaptive model to reckon with: P(0) in 1/32768, and how many symbols it has seen. It stands for so many symbols of
 * before as its rate of updates tells. */
typedef struct {
    uint32_t zero, seen;
} assumed_model;
enum { LEAST_MEMORY = 10, MOST_MEMORY = 80 };

/* The mean of P(0) of `n` symbols of which n0 are zeros and of `memory` symbols before. */
static uint32_t mean_zero(const assumed_model *model, uint32_t memory, uint32_t n0, uint32_t n) {
    return (uint32_t)(((uint64_t)model->zero * memory + ((uint64_t)n0 << FL_PROBABILITY_BITS)) / (memory + n));
}

/* About what zeros and ones in any order cost, within a hundredth of what they do if they are some hundred: what they
 * would with the model half way from what it is to what they are, and learning that. */
static uint32_t expected_cost(assumed_model *model, uint32_t zeros, uint32_t ones) {
    const uint32_t n = zeros + ones, memory = fl_min(LEAST_MEMORY + model->seen, MOST_MEMORY);
    const uint32_t certain = 1u << FL_PROBABILITY_BITS, least = 31u;
    const uint32_t zero = fl_max(least, fl_min(mean_zero(model, memory, zeros, n), certain - least));
    const uint32_t whole = FL_PROBABILITY_BITS * COST_ONE;
    const uint32_t cost =
        zeros * (whole - (uint32_t)logarithm(zero)) + ones * (whole - (uint32_t)logarithm(certain - zero));
    model->zero = mean_zero(model, memory * memory / (memory + n), zeros, n);
    model->seen += n;
    return cost + (uint32_t)(logarithm(memory + n) - logarithm(memory)) / 2u;
}

static uint32_t cost_adaptive(assumed_model *models, pass_part part, const symbol_counts *counts) {
    assumed_model *bits = models + (part == FIRST_PART ? FIRST_MODELS : 0);
    uint32_t cost = 0;
    for (uint32_t i = 0; i < BIT_CONTEXTS; i++)
        if (counts->bits[i] + counts->bits[i + SYMBOL_ONE] > 0)
            cost += expected_cost(&bits[i], counts->bits[i], counts->bits[i + SYMBOL_ONE]);
    for (uint32_t i = 0; i < 16u; i++)
        if (counts->signs[i] + counts->signs[i + SYMBOL_ONE] > 0)
            cost += expected_cost(&models[BIT_CONTEXTS + fl_sign_context[i]], counts->signs[i],
                                  counts->signs[i + SYMBOL_ONE]);
    return cost;
}

/* What block flags cost. */
static void cost_flags(fl_encoder *e, uint32_t component) {
    coded_component *own = &e->component[component];
    fl_component *k = &e->tile.component[component];
    const component_models fresh = k->models;
    fl_coder coder;
    fl_encoder_start(&coder, e->sequence, e->sequence + sizeof e->sequence);
    for (uint32_t s = 0; s < own->passes; s++) {
        if (!pass_is(k, s) || !pass_opens(k, s)) continue;
        const uint32_t b = pass_band(s), before = written(&coder, e->sequence);
        fl_write_flags(&coder, k, b, pass_plane(k, s), own->reach[b] + FIRST_BLOCK);
        own->pass[s].flags_cost = written(&coder, e->sequence) - before;
    }
    k->models = fresh;
    fl_fill(k->active, 0, sizeof k->active);
    for (uint32_t b = 0; b < BANDS; b++) k->bands[b].begun = 0;
}

/* ---- worth ------------------------------------------------------------------------------------------------------- */

/* By how much a pass of plane p lowers the squared error, in units of 4^p, for each coefficient that becomes
 * significant and for each that was before: averages over the bands of real images. The points of reconstruction of
 * SPEC 3.7 have their fractions cut off, which makes the lowest planes special; the last entry is for all others. */
static const double NEW_GAIN[] = {1.0, 1.37, 1.68, 1.85}, OLD_GAIN[] = {0.43, 0.22, 0.24, 0.25};

static double gain_of(const coded_pass *pass, uint32_t plane) {
    const uint32_t i = fl_min(plane, 3);
    double fresh = NEW_GAIN[i] * pass->sign_count, old = OLD_GAIN[i] * pass->refined;
    double unit = (double)((uint64_t)1 << 2u * plane), sum = fresh + old;
    return unit * sum;
}

/* ---- a component ------------------------------------------------------------------------------------------------- */

void fl_take_component(fl_encoder *e, const fl_encode_ops *ops, uint32_t component, uint32_t most_adaptive) {
    coded_component *own = &e->component[component];
    fl_component *k = &e->tile.component[component];
    table_choice last[SETS] = {{NO_TABLE, {0}}, {NO_TABLE, {0}}, {NO_TABLE, {0}}};
    uint32_t begun[BANDS]; /* the plane at which a band's first block becomes active + 1 */
    assumed_model models[BANDS][MODELS];
    for (uint32_t b = 0; b < BANDS; b++)
        for (uint32_t i = 0; i < MODELS; i++) models[b][i] = (assumed_model){k->models.symbol[b][i].zero, 0};
    uint32_t symbols = 0;
    own->passes = PLACES * k->planes;
    own->tried = 0;
    fl_copy(k->active, own->reach, sizeof k->active);
    for (uint32_t b = 0; b < BANDS; b++) {
        begun[b] = 0;
        for (uint32_t i = 0; i < BLOCK_AREA; i++) begun[b] = fl_max(begun[b], own->reach[b][i]);
        e->one[b] = e->known[b][k->planes];
        e->two[b] = e->known[b][k->planes + 1u];
    }
    for (uint32_t s = 0; s < own->passes; s++) {
        const uint32_t b = pass_band(s), plane = pass_plane(k, s);
        const pass_part part = pass_part_of(k, s);
        coded_pass *pass = &own->pass[s];
        symbol_counts counts;
        pass->bit_count = pass->sign_count = pass->flags_cost = pass->static_cost = pass->adaptive_cost = 0;
        pass->gain = 0;
        pass->choice.coded = 0;
        if (pass_is(k, s)) {
            ops->take_pass(e, k, b, plane, part, pass, &counts);
            symbols += pass->bit_count + pass->sign_count;
        }
        if (symbols <= most_adaptive) own->tried = s + 1u;
        if (!pass_is(k, s)) continue;
        if (pass->bit_count > 0) pass->adaptive_cost = cost_adaptive(models[b], part, &counts);
        pass->has_refinement = part != FIRST_PART && begun[b] > plane + 1u;
        pass->gain = gain_of(pass, plane);
        if (begun[b] > plane) choose(e, ops, &counts, last, pass);
    }
    fl_fill(k->active, 0, sizeof k->active);
    cost_flags(e, component);
}
#endif
