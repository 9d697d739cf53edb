/* Tiles of wavelet coefficients: bit-planes, most significant first, in layers (SPEC 3.3 to 3.6).
 *
 * State of a tile while its planes are coded:
 *   flags[band]   a byte a coefficient, with a border of zeros: SIGNIFICANT, NEGATIVE, REFINED
 *   active[band]  a byte a block of 16 x 16: has a significant coefficient; border of zeros
 *   models        adaptive probabilities; they live from the first plane to the last, through all layers
 *   magnitude     of every coefficient: known to the encoder, built up by the decoder
 */
#include "rangecoder.h"

enum { SIGNIFICANT = 1, NEGATIVE = 2, REFINED = 4 };
enum { BLOCK = 16, STRIDE = FL_MAX_TILE + 4, BLOCKS = FL_MAX_TILE / BLOCK, BLOCK_STRIDE = BLOCKS + 2 };
#define CHECK_BYTES 2u

typedef struct {
    fl_model significance[16], refinement[5], sign[9], block[5];
} band_models;

typedef struct {
    uint32_t width, height;
    int32_t *magnitude; /* width x height, tight */
    uint8_t *flags;     /* of coefficient (0, 0) */
    uint8_t *active;    /* of block (0, 0) */
    band_models *models;
} band;

typedef struct {
    uint8_t flags[3][(FL_MAX_TILE + 2) * STRIDE];
    uint8_t active[3][BLOCK_STRIDE * BLOCK_STRIDE];
    band_models models[3];
    band bands[3];
    uint32_t band_count;
    uint32_t siblings; /* the three bands of a level predict each other; a lone LL band has none */
    int32_t magnitude[3 * FL_MAX_TILE * FL_MAX_TILE]; /* the encoder's; the decoder uses the caller's buffer */
} tile_state;

FL_STATIC_ASSERT(FL_MAX_TILE % BLOCK == 0, "blocks fill a tile");

/* ---- geometry ------------------------------------------------------------------------------------------------------
 */

typedef struct {
    fl_extent x, y;
    uint32_t is_base, size;
} tile_shape;

static int shape_of(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y, tile_shape *shape) {
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
    tile_shape shape;
    return shape_of(info, level, tile_x, tile_y, &shape) ? shape.size : 0;
}

size_t fl_wavelet_tile_scratch(const fl_info *info) {
    (void)info;
    return sizeof(tile_state);
}

/* Siblings are looked up at the same index. Their extents differ by 1 at most, so that index is inside or on the
 * border. */
static void start_tile(tile_state *t, const tile_shape *shape, int32_t *magnitude) {
    uint32_t widths[3] = {shape->x.high, shape->x.low, shape->x.high};
    uint32_t heights[3] = {shape->y.low, shape->y.high, shape->y.high};
    if (shape->is_base) {
        widths[0] = shape->x.low;
        heights[0] = shape->y.low;
    }
    t->band_count = shape->is_base ? 1u : 3u;
    t->siblings = !shape->is_base;
    for (uint32_t b = 0; b < t->band_count; b++) {
        fl_fill(t->flags[b], 0, (size_t)(heights[b] + 2u) * STRIDE);
        fl_fill(t->active[b], 0, sizeof t->active[b]);
        t->bands[b] = (band){
            widths[b], heights[b], magnitude, t->flags[b] + STRIDE + 1, t->active[b] + BLOCK_STRIDE + 1, &t->models[b]};
        magnitude += (size_t)widths[b] * heights[b];
        fl_model_reset(t->models[b].significance, 16);
        fl_model_reset(t->models[b].refinement, 5);
        fl_model_reset(t->models[b].sign, 9);
        fl_model_reset(t->models[b].block, 5);
    }
}

/* ---- contexts (SPEC 3.6) --------------------------------------------------------------------------------------------
 */

/* Weights of significant neighbours by band (HL, LH, HH; an LL band counts as HH): horizontal, vertical, diagonal,
 * first and second sibling. */
typedef struct {
    uint32_t horizontal, vertical, diagonal, sibling[2];
} weights;
static const weights WEIGHTS[3] = {{2, 4, 2, {2, 3}}, {4, 2, 2, {3, 3}}, {2, 2, 2, {4, 4}}};
static const uint8_t SIBLING[3][2] = {{1, 2}, {0, 2}, {0, 1}};

static inline uint32_t sign_context(const uint8_t *f) {
    /* +1 for a positive, -1 for a negative significant neighbour; indexed by the flags' two low bits. */
    static const int8_t VALUE[4] = {0, 1, 0, -1};
    int h = VALUE[f[-1] & 3] + VALUE[f[1] & 3], v = VALUE[f[-STRIDE] & 3] + VALUE[f[STRIDE] & 3];
    h = h > 1 ? 1 : h < -1 ? -1 : h;
    v = v > 1 ? 1 : v < -1 ? -1 : v;
    return (uint32_t)((h + 1) * 3 + v + 1);
}

/* ---- one plane ------------------------------------------------------------------------------------------------------
 */

static inline __attribute__((always_inline)) void code_block(fl_coder *c, tile_state *t, uint32_t b, uint32_t x0,
                                                             uint32_t y0, uint32_t plane, const int encoding) {
    band *own = &t->bands[b];
    const weights w = WEIGHTS[t->siblings ? b : 2u];
    const uint8_t *first = t->siblings ? t->bands[SIBLING[b][0]].flags : 0;
    const uint8_t *second = t->siblings ? t->bands[SIBLING[b][1]].flags : 0;
    uint32_t x1 = fl_min(x0 + BLOCK, own->width), y1 = fl_min(y0 + BLOCK, own->height);
    for (uint32_t y = y0; y < y1; y++)
        for (uint32_t x = x0; x < x1; x++) {
            size_t at = (size_t)y * STRIDE + x;
            uint8_t *f = own->flags + at;
            int32_t *magnitude = own->magnitude + (size_t)y * own->width + x;
            uint32_t bit = encoding ? ((uint32_t)*magnitude >> plane) & 1u : 0u;
            uint32_t h = (f[-1] & 1u) + (f[1] & 1u), v = (f[-STRIDE] & 1u) + (f[STRIDE] & 1u);
            uint32_t d = (f[-STRIDE - 1] & 1u) + (f[-STRIDE + 1] & 1u) + (f[STRIDE - 1] & 1u) + (f[STRIDE + 1] & 1u);
            if (*f & SIGNIFICANT) {
                uint32_t near = h + v + d;
                uint32_t context =
                    *f & REFINED ? 4u : (near > 0u ? 1u : 0u) + (near > 2u ? 1u : 0u) + (near > 5u ? 1u : 0u);
                bit = fl_code(c, &own->models->refinement[context], bit, encoding);
                *f |= REFINED;
            } else {
                uint32_t sum = w.horizontal * h + w.vertical * v + w.diagonal * d;
                if (first) sum += w.sibling[0] * (first[at] & 1u) + w.sibling[1] * (second[at] & 1u);
                bit = fl_code(c, &own->models->significance[fl_min(15u, (sum + 1u) >> 1)], bit, encoding);
                if (bit) {
                    uint32_t negative = (*f & NEGATIVE) != 0;
                    negative = fl_code(c, &own->models->sign[sign_context(f)], negative, encoding);
                    *f = (uint8_t)(SIGNIFICANT | negative * NEGATIVE);
                }
            }
            if (!encoding) *magnitude |= (int32_t)(bit << plane);
        }
}

static inline int block_reaches(const band *own, uint32_t x0, uint32_t y0, uint32_t plane) {
    uint32_t x1 = fl_min(x0 + BLOCK, own->width), y1 = fl_min(y0 + BLOCK, own->height);
    for (uint32_t y = y0; y < y1; y++)
        for (uint32_t x = x0; x < x1; x++)
            if (own->magnitude[(size_t)y * own->width + x] >> plane) return 1;
    return 0;
}

static inline __attribute__((always_inline)) void code_plane(fl_coder *c, tile_state *t, uint32_t plane,
                                                             const int encoding) {
    for (uint32_t b = 0; b < t->band_count; b++) {
        band *own = &t->bands[b];
        for (uint32_t y0 = 0; y0 < own->height; y0 += BLOCK)
            for (uint32_t x0 = 0; x0 < own->width; x0 += BLOCK) {
                uint8_t *a = own->active + (y0 / BLOCK) * BLOCK_STRIDE + x0 / BLOCK;
                if (!*a) {
                    uint32_t context = (uint32_t)a[-1] + a[1] + a[-BLOCK_STRIDE] + a[BLOCK_STRIDE];
                    uint32_t bit = encoding ? (uint32_t)block_reaches(own, x0, y0, plane) : 0u;
                    *a = (uint8_t)fl_code(c, &own->models->block[context], bit, encoding);
                }
                if (*a) code_block(c, t, b, x0, y0, plane, encoding);
            }
    }
}

/* ---- layers -------------------------------------------------------------------------------------------------------
 */

/* Lowest plane of layer n, and of the layer above it. The LL band has one layer with every plane. */
static uint32_t lowest_plane(const fl_info *info, uint32_t component, uint32_t level, uint32_t layer) {
    return level == info->levels ? 0u : info->cut[component][level][layer];
}
static uint32_t top_plane(const fl_info *info, uint32_t component, uint32_t level, uint32_t layer) {
    return layer == 0 ? FL_MAX_PLANES : lowest_plane(info, component, level, layer - 1u);
}

/* Prediction of an LL coefficient from those before it in raster order: the median of left, top and their sum less the
 * top left one (MED; Weinberger, Seroussi, Sapiro 2000). */
static inline int32_t predict(const int32_t *at, uint32_t x, uint32_t y, uint32_t width) {
    if (x == 0) return y == 0 ? 0 : at[-(ptrdiff_t)width];
    if (y == 0) return at[-1];
    int32_t left = at[-1], top = at[-(ptrdiff_t)width], corner = at[-(ptrdiff_t)width - 1];
    int32_t low = left < top ? left : top, high = left < top ? top : left;
    return corner >= high ? low : corner <= low ? high : left + top - corner;
}

static int add_predictions(int32_t *coefs, uint32_t width, uint32_t height) {
    const int32_t limit = 1 << FL_MAX_PLANES;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            int32_t *at = coefs + (size_t)y * width + x;
            *at += predict(at, x, y, width); /* both below 2^22 + 2^23 */
            if (*at > limit || *at < -limit) return 0;
        }
    return 1;
}

fl_status fl_wavelet_tile_decode(const fl_info *info, uint32_t component, uint32_t level, uint32_t tile_x,
                                 uint32_t tile_y, const uint8_t *const *layer_data, const uint32_t *layer_size,
                                 uint32_t layers, int32_t *coefs, void *scratch) {
    tile_shape shape;
    if (component >= info->components || !shape_of(info, level, tile_x, tile_y, &shape)) return FL_INVALID;
    if (layers > info->level[level].layers) return FL_INVALID;
    tile_state *t = scratch;
    fl_fill(coefs, 0, shape.size * sizeof *coefs);
    start_tile(t, &shape, coefs);

    uint32_t planes = 0, lowest = 0;
    for (uint32_t n = 0; n < layers; n++) {
        const uint8_t *data = layer_data[n];
        uint32_t size = layer_size[n], low = lowest_plane(info, component, level, n);
        uint32_t top = top_plane(info, component, level, n);
        if (planes > 0) top = fl_min(top, planes);
        lowest = low;
        if (size == 0) {
            if (planes > 0 && top > low) return FL_CORRUPT; /* planes are due here */
            continue;
        }
        if (size < CHECK_BYTES || top <= low) return FL_CORRUPT;
        size -= CHECK_BYTES;
        if (fl_crc16(data, size) != ((uint32_t)data[size] | (uint32_t)data[size + 1u] << 8)) return FL_CORRUPT;
        if (planes == 0) { /* the first segment with anything in it tells how many planes there are */
            if (size == 0 || data[0] <= low || data[0] > top) return FL_CORRUPT;
            planes = top = data[0];
            data++;
            size--;
        }
        fl_coder coder;
        fl_decoder_start(&coder, data, size);
        for (uint32_t p = top; p-- > low;) code_plane(&coder, t, p, 0);
    }
    /* Reconstruction: the middle of what is left open (SPEC 3.7). */
    int32_t half = (int32_t)((1u << lowest) >> 1);
    for (uint32_t b = 0; b < t->band_count; b++) {
        band *own = &t->bands[b];
        for (uint32_t y = 0; y < own->height; y++)
            for (uint32_t x = 0; x < own->width; x++) {
                int32_t *at = own->magnitude + (size_t)y * own->width + x;
                int32_t value = *at ? *at + half : 0;
                *at = own->flags[(size_t)y * STRIDE + x] & NEGATIVE ? -value : value;
            }
    }
    if (shape.is_base && !add_predictions(coefs, shape.x.low, shape.y.low)) return FL_CORRUPT;
    return FL_OK;
}

/* Take a band of the plane as magnitudes and NEGATIVE flags; returns the OR of the magnitudes. */
static uint32_t load_band(band *own, const int32_t *from, size_t stride, int predicted) {
    uint32_t seen = 0;
    for (uint32_t y = 0; y < own->height; y++)
        for (uint32_t x = 0; x < own->width; x++) {
            const int32_t *at = from + (size_t)y * stride + x;
            int32_t value = *at;
            if (predicted) {
                int32_t corner[4];
                /* predict() wants a tight array: give it the four values as one of width 2. */
                corner[0] = x > 0 && y > 0 ? at[-(ptrdiff_t)stride - 1] : 0;
                corner[1] = y > 0 ? at[-(ptrdiff_t)stride] : 0;
                corner[2] = x > 0 ? at[-1] : 0;
                corner[3] = 0;
                value -= predict(corner + 3, x, y, 2);
            }
            int32_t magnitude = value < 0 ? -value : value;
            own->magnitude[(size_t)y * own->width + x] = magnitude;
            if (value < 0) own->flags[(size_t)y * STRIDE + x] = NEGATIVE;
            seen |= (uint32_t)magnitude;
        }
    return seen;
}

fl_status fl_wavelet_tile_encode(const fl_info *info, uint32_t component, uint32_t level, uint32_t tile_x,
                                 uint32_t tile_y, const int32_t *plane, uint8_t *out, size_t capacity,
                                 uint32_t *layer_size, void *scratch) {
    tile_shape shape;
    if (component >= info->components || !shape_of(info, level, tile_x, tile_y, &shape)) return FL_INVALID;
    tile_state *t = scratch;
    start_tile(t, &shape, t->magnitude);
    const fl_level *at = &info->level[level];
    size_t stride = info->width, low_x = fl_low(at->width), low_y = fl_low(at->height);
    const int32_t *corner = plane + (size_t)shape.y.first * stride + shape.x.first;
    uint32_t seen;
    if (shape.is_base) {
        seen = load_band(&t->bands[0], corner, stride, 1);
    } else {
        seen = load_band(&t->bands[0], corner + low_x, stride, 0);
        seen |= load_band(&t->bands[1], corner + low_y * stride, stride, 0);
        seen |= load_band(&t->bands[2], corner + low_y * stride + low_x, stride, 0);
    }
    uint32_t planes = 0;
    while (seen >> planes) planes++;
    if (planes > FL_MAX_PLANES) return FL_INVALID;

    uint8_t *end = out + capacity;
    int begun = 0;
    for (uint32_t n = 0; n < at->layers; n++) {
        uint32_t low = lowest_plane(info, component, level, n);
        uint32_t top = fl_min(planes, top_plane(info, component, level, n));
        layer_size[n] = 0;
        if (top <= low) continue;
        uint8_t *segment = out;
        if ((size_t)(end - out) < 1u + CHECK_BYTES) return FL_NO_SPACE;
        if (!begun) *out++ = (uint8_t)planes;
        begun = 1;
        fl_coder coder;
        fl_encoder_start(&coder, out, end - CHECK_BYTES);
        for (uint32_t p = top; p-- > low;) code_plane(&coder, t, p, 1);
        out = fl_encoder_finish(&coder, out);
        if (coder.full) return FL_NO_SPACE;
        uint32_t crc = fl_crc16(segment, (size_t)(out - segment));
        *out++ = (uint8_t)crc;
        *out++ = (uint8_t)(crc >> 8);
        layer_size[n] = (uint32_t)(out - segment);
    }
    return FL_OK;
}
