/* Which passes each layer of a tile holds: post-compression rate-distortion optimisation (Taubman 2000), with slopes
 * that are the same for all tiles. */
#include "encode.h"

#if !defined(__wasm__)

/* A segment takes about three bytes besides its payload. A layer that would hold less than this, or than a part of the
 * tile, waits for the next. */
enum { LEAST_LAYER = 12 * 8 * COST_ONE, LEAST_PART = 8 };

/* Slopes of passes of plane p, in units of 4^p x weight a bit, of real images: a first part's is near the one, a second
 * part's near the other, and a whole plane's in between. A layer that ends between the two is better for being able to.
 */
static const double STEEP = 0.5, FLAT = 0.2;

void fl_split_planes(fl_component *k, const fl_layering *layering, uint32_t level, uint32_t layers,
                     uint32_t component) {
    const double *slope = layering->slope[component];
    for (uint32_t plane = 0; plane < k->planes; plane++) {
        const double unit = layering->weight[component][level][0] * (double)((uint64_t)1 << 2u * plane);
        k->split[plane] = 0;
        for (uint32_t n = 0; n + 1u < layers && slope[n] >= layering->split[level]; n++)
            k->split[plane] |= slope[n] < STEEP * unit && slope[n] > FLAT * unit;
    }
}

/* A place as a layer's head can say it: where there is no pass yet of a whole plane none of its places is passed. */
static uint32_t settled(const fl_component *k, uint32_t place) {
    uint32_t before = place / PLACES * PLACES;
    return place % PLACES <= BANDS && place > before && !k->split[pass_plane(k, before)] ? before : place;
}

/* One component's passes[0 .. layers]: pieces of the convex hull of (cost, gain), steepest first, each to the first
 * layer whose slope it reaches. */
static void share_component(const coded_component *k, const fl_component *own, const double *weight,
                            const fl_layering *layering, uint32_t layers, uint32_t component, shared_passes passes) {
    uint32_t done = 0, n = 0;
    while (done < k->passes) {
        double gain = 0, steepest = -1;
        uint64_t cost = 0;
        uint32_t end = done;
        for (uint32_t s = done; s < k->passes; s++) {
            double more = weight[pass_band(s)] * k->pass[s].gain;
            gain += more;
            cost += fl_cost_of(k, s);
            double slope = gain / (double)(cost + 1u);
            if (slope >= steepest) {
                steepest = slope;
                end = s + 1u;
            }
        }
        steepest *= (double)COST_ONE;
        while (n + 1u < layers && steepest < layering->slope[component][n])
            passes[++n][component] = (uint8_t)settled(own, done);
        done = end;
    }
    while (n < layers) passes[++n][component] = (uint8_t)done;
}

static int is_whole(const fl_encoder *e, const uint8_t *places) {
    for (uint32_t c = 0; c < e->tile.components; c++) {
        const fl_component *k = &e->tile.component[c];
        if (places[c] % PLACES > 0 && k->split[pass_plane(k, places[c])]) return 0;
    }
    return 1;
}

/* Let a layer end with whole planes: with those that there are, if the layer before has no more. */
static void make_whole(const fl_encoder *e, shared_passes passes, uint32_t layers, uint32_t n) {
    for (uint32_t c = 0; c < e->tile.components; c++) {
        const fl_component *k = &e->tile.component[c];
        const uint32_t place = passes[n][c], begin = place / PLACES * PLACES;
        if (place == begin || !k->split[pass_plane(k, place)]) continue;
        passes[n][c] = (uint8_t)(begin >= passes[n - 1u][c] ? begin : begin + PLACES);
        for (uint32_t i = n + 1u; i <= layers && passes[i][c] < passes[n][c]; i++) passes[i][c] = passes[n][c];
    }
}

static uint64_t cost_between(const fl_encoder *e, const uint8_t *from, const uint8_t *to) {
    uint64_t cost = 0;
    for (uint32_t c = 0; c < e->tile.components; c++)
        for (uint32_t s = from[c]; s < to[c]; s++) cost += fl_cost_of(&e->component[c], s);
    return cost;
}

void fl_share_out(const fl_encoder *e, const fl_layering *layering, uint32_t level, uint32_t layers,
                  shared_passes passes) {
    fl_fill(passes, 0, sizeof(shared_passes));
    for (uint32_t c = 0; c < e->tile.components; c++)
        share_component(&e->component[c], &e->tile.component[c], layering->weight[c][level], layering, layers, c,
                        passes);
    for (uint32_t n = 1; n < layers; n++)
        if (layering->whole >> n & 1u) make_whole(e, passes, layers, n);
    const uint64_t all = cost_between(e, passes[0], passes[layers]);
    const uint64_t least = all < LEAST_LAYER * LEAST_PART ? all / LEAST_PART : LEAST_LAYER;
    for (uint32_t n = 1; n < layers; n++)
        if (cost_between(e, passes[n - 1u], passes[n]) < least &&
            (!(layering->whole >> n & 1u) || is_whole(e, passes[n - 1u])))
            fl_copy(passes[n], passes[n - 1u], sizeof passes[n]);
    /* Little is left for the last layer: the one before takes it. */
    uint32_t n = layers;
    while (n > 1u && cost_between(e, passes[n - 1u], passes[layers]) == 0) n--;
    if (n > 1u && cost_between(e, passes[n - 1u], passes[layers]) < least) {
        uint32_t m = n - 1u;
        while (m > 1u && cost_between(e, passes[m - 1u], passes[m]) == 0) m--;
        for (uint32_t i = m; cost_between(e, passes[m - 1u], passes[m]) > 0 && i < layers; i++)
            fl_copy(passes[i], passes[layers], sizeof passes[i]);
    }
}

void fl_report(const fl_encoder *e, const fl_layering *layering, uint32_t level, uint32_t layers,
               const shared_passes passes, fl_tile_report *report) {
    fl_fill(report, 0, sizeof *report);
    for (uint32_t c = 0; c < e->tile.components; c++)
        fl_copy(report->most[c], e->component[c].most, sizeof report->most[c]);
    for (uint32_t n = layers; n-- > 0u;) {
        report->squared_error[n] = report->squared_error[n + 1u];
        for (uint32_t c = 0; c < e->tile.components; c++)
            for (uint32_t s = passes[n][c]; s < passes[n + 1u][c]; s++) {
                double more = layering->weight[c][level][pass_band(s)] * e->component[c].pass[s].gain;
                report->squared_error[n] += more;
            }
        for (uint32_t c = 0; c < e->tile.components; c++)
            for (uint32_t b = 0; b < BANDS; b++) {
                const uint32_t planes = planes_before(b, passes[n][c]);
                report->cut[n][c][b] = (uint8_t)(planes ? e->tile.component[c].planes - planes : FL_MAX_PLANES);
            }
    }
}
#endif
