/* firstlight kernels: shard heads and the wavelet segment codec. The only public header.
 *
 * Guarantees, for every function:
 *  - no allocation, no globals that change, no libc beyond memcpy/memset/memmove: the caller owns every buffer;
 *  - thread-safe as long as output and workspace buffers are not shared;
 *  - any input bytes are accepted: a read never leaves [data, data + size), a loop is bounded by numbers that were
 *    checked against FL_MAX_* or against the bytes that are there;
 *  - the same bits from every compiler and instruction set.
 * Not guaranteed: the contents of output buffers after a status other than FL_OK.
 *
 * The format is in codecs/SPEC.md; section numbers below refer to it.
 */
#ifndef FIRSTLIGHT_H
#define FIRSTLIGHT_H

#include <stddef.h>
#include <stdint.h>

#define FL_FORMAT_VERSION 4u
#define FL_MAX_SIDE 65536u
#define FL_MAX_LEVELS 14u /* decompositions; 65536 >> 14 = 4 */
#define FL_MAX_LAYERS 24u
#define FL_MAX_GROUPS 5u
#define FL_MAX_COMPONENTS 4u
#define FL_MAX_PLANES 22u
#define FL_MEASURED_LEVELS 3u /* the finest ones: others are cheap to have exactly */

typedef enum {
    FL_OK = 0,
    FL_INSUFFICIENT = 1, /* the input is a prefix of something that may be valid */
    FL_CORRUPT = 2,      /* no valid stream begins like this */
    FL_INVALID = 3,      /* the caller's arguments contradict each other or the head */
    FL_UNSUPPORTED = 4,  /* a later version, or a codec that this build does not have */
    FL_NO_SPACE = 5      /* the output buffer is too small */
} fl_status;

enum { FL_CODEC_WAVELET = 0 };
enum { FL_COLOUR_NONE = 0, FL_COLOUR_RCT = 1, FL_COLOUR_YCOCG_R = 2 };
enum { FL_TRANSFORM_53 = 0, FL_TRANSFORM_97M = 1, FL_TRANSFORM_HAAR = 2 };

/* One resolution level (SPEC 2.3). Level 0 is full resolution; index `levels` is the coarsest. */
typedef struct {
    uint32_t width, height;    /* samples of this level: ceil(shard / 2^level) */
    uint32_t tile_log2;        /* a tile covers 2^tile_log2 samples of this level, each way */
    uint32_t tiles_x, tiles_y; /* ceil(width / tile), ceil(height / tile) */
    uint32_t layers;           /* 1..FL_MAX_LAYERS */
    uint32_t first_tile;       /* tiles of all coarser levels */
    /* Segments before this level's first one in each group. */
    uint32_t first_segment[FL_MAX_GROUPS];
    /* error[n]: what this level adds to the bound on |error| of any sample of this or a finer level when only the
     * first n layers of it are there (SPEC 2.4). */
    uint32_t error[FL_MAX_LAYERS + 1];
    /* mse[n]: what it then adds to the mean squared error, an estimate; a code, see fl_mse_value (SPEC 2.4). */
    uint32_t mse[FL_MAX_LAYERS + 1];
    /* measured[n]: bound on |error| of a picture of this level that has of every level exactly the first n layers, or
     * all if there are fewer; FL_NOT_MEASURED where it is not known, so in all but the finest levels (SPEC 2.4). */
    uint32_t measured[FL_MAX_LAYERS + 1];
} fl_level;
#define FL_NOT_MEASURED UINT32_MAX

/* A parsed head. All fields are uint32 so that bindings can read it as a flat array. */
typedef struct {
    uint32_t version, codec;
    uint32_t head_size;       /* bytes, of all parts, checksums included */
    uint32_t width, height;   /* samples, 1..FL_MAX_SIDE */
    uint32_t components;      /* 1..FL_MAX_COMPONENTS */
    uint32_t bits, is_signed; /* 1..16; samples are stored in 8 or 16 bits */
    uint32_t colour;          /* FL_COLOUR_*, of the first three components */
    uint32_t levels;          /* decompositions, 0..FL_MAX_LEVELS; levels + 1 resolutions */
    uint32_t margin;          /* samples around a region that its decoding needs, at every level */
    uint32_t tiles, segments; /* totals over levels */
    uint32_t index_offset;    /* where the range-coded index starts in the first part */
    uint32_t transform;       /* FL_TRANSFORM_* */
    uint32_t values;          /* entries of the value table (SPEC 3.9); 0: samples are coded as they are */
    uint32_t values_offset;   /* where the value table starts in the head */
    uint32_t groups;          /* 1..FL_MAX_GROUPS; those that are known, layers included: see fl_head_parse */
    uint32_t group_start[FL_MAX_GROUPS]; /* first layer of each group; [0] is 0 */
    uint32_t parts;                      /* of the head, one for each group of the shard */
    uint32_t part_end[FL_MAX_GROUPS];    /* where each ends */
    fl_level level[FL_MAX_LEVELS + 1];   /* [0 .. levels] are valid */
} fl_info;

#if defined(__GNUC__)
#define FL_EXPORT __attribute__((visibility("default")))
#else
#define FL_EXPORT
#endif

/* ---- heads (head.c) ---------------------------------------------------------------------------------------- */

/* sizeof(fl_info) as compiled: bindings check their own idea of it. */
FL_EXPORT uint32_t fl_info_size(void);

/* Parse and check the head of a shard, but for its index. `data` may hold more or less than the head. Of at most
 * `groups` groups the parts are looked at; with fewer than the shard has, *info tells of a shard of no more layers than
 * those, whose segments are the first ones. FL_INSUFFICIENT: info->head_size says how many bytes are needed, or 0 when
 * even that is not yet known. */
FL_EXPORT fl_status fl_head_parse(const uint8_t *data, size_t size, uint32_t groups, fl_info *info);

/* The index: the levels' tables of errors, and byte offsets of all segments from the start of the shard:
 * offsets[segments + 1]; segment s is [offsets[s], offsets[s + 1]). `info` must come from fl_head_parse of the same
 * bytes. */
FL_EXPORT fl_status fl_head_index(const uint8_t *data, size_t size, fl_info *info, uint32_t *offsets);

/* The value table: values[info->values], ascending; signed samples in two's complement, 16 bits. */
FL_EXPORT fl_status fl_head_values(const uint8_t *data, size_t size, const fl_info *info, uint16_t *values);

/* Fill the derived fields of *info (levels, tiles, segments, margin ...) from codec, width, height, components, bits,
 * is_signed, colour, transform, values, groups, group_start and level[0].layers (the number of layers of every level
 * but the coarsest): the encoder's defaults. Errors are left 0, nothing is measured. */
FL_EXPORT fl_status fl_head_plan(fl_info *info);

/* Mean squared error of a code in fl_level.mse, in squared sample units; the code of the nearest one. */
FL_EXPORT double fl_mse_value(uint32_t code);
FL_EXPORT uint32_t fl_mse_code(double value);

/* Number of the segment of (level, layer, tile); the caller has checked the arguments. */
FL_EXPORT uint32_t fl_segment(const fl_info *info, uint32_t level, uint32_t layer, uint32_t tile);

/* Write a head. values[info->values], or NULL; lengths[segments]. *written gets the size; FL_NO_SPACE when it exceeds
 * capacity. */
FL_EXPORT fl_status fl_head_write(const fl_info *info, const uint16_t *values, const uint32_t *lengths, uint8_t *out,
                                  size_t capacity, size_t *written);

/* CRC-32C (Castagnoli) of the bytes. */
FL_EXPORT uint32_t fl_crc32c(const uint8_t *data, size_t size);

/* ---- wavelet segments (tile.c, decode.c, encode.c) ------------------------------------------------------------- */

/* Coefficients of one component of a tile: HL, LH, HH one after the other, each row-major and tight; for the coarsest
 * level the LL band alone. 0 for arguments out of range. */
FL_EXPORT size_t fl_wavelet_tile_size(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y);

/* Bytes of scratch that tile coding needs (a constant for a given head); for decoding, and for both directions. Scratch
 * may be used for tile after tile as it is, by one thread at a time. */
FL_EXPORT size_t fl_wavelet_decode_scratch(const fl_info *info);
FL_EXPORT size_t fl_wavelet_encode_scratch(const fl_info *info);

/* Decode the first `layers` layers of a tile into coefficients (reconstruction points included), component after
 * component. layer_data[i] is the segment of layer i, layer_size[i] its length (0: an empty segment). With `partial`
 * the last of them is a prefix of its segment, and gives the passes that are whole in it (SPEC 3.6). `coefs` has room
 * for components x tile size int32; *wide says what was written: 0 int16, 1 int32 (the coarsest level always). */
FL_EXPORT fl_status fl_wavelet_tile_decode(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y,
                                           const uint8_t *const *layer_data, const uint32_t *layer_size,
                                           uint32_t layers, uint32_t partial, void *coefs, uint32_t *wide,
                                           void *scratch);

/* A decoded tile without the first `columns` and `rows` of each of its bands, which a picture that is made part by part
 * needs no more, packed as coefficients are. The number of them of one component: 0 where none would be left of some
 * band, and for the coarsest level; there fl_wavelet_tile_trim writes nothing. */
FL_EXPORT size_t fl_wavelet_trimmed_size(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y,
                                         uint32_t columns, uint32_t rows);
FL_EXPORT void fl_wavelet_tile_trim(const fl_info *info, uint32_t level, uint32_t tile_x, uint32_t tile_y,
                                    uint32_t columns, uint32_t rows, const void *coefs, uint32_t wide, void *to);

/* How an encoder shares out passes (a plane of a band) to layers. */
typedef struct {
    /* What a coefficient of (component, level, band HL LH HH) that is off by 1 adds to the sum of the squared errors of
     * all samples. */
    double weight[FL_MAX_COMPONENTS][FL_MAX_LEVELS][3];
    /* Layer n takes what of a component lowers the squared error by slope[component][n] a bit or more, descending; the
     * last layer takes all the rest. */
    double slope[FL_MAX_COMPONENTS][FL_MAX_LAYERS];
    /* Planes of a level may be split where a layer of at least this slope ends: it takes time to decode them. */
    double split[FL_MAX_LEVELS];
    /* Bit n: after n layers no plane is in part there. */
    uint64_t whole;
} fl_layering;

/* What an encoded tile has after n layers (index n; 0: nothing). */
typedef struct {
    uint8_t cut[FL_MAX_LAYERS + 1][FL_MAX_COMPONENTS][3]; /* lowest plane that is whole; FL_MAX_PLANES: none */
    uint32_t most[FL_MAX_COMPONENTS][3];                  /* the largest magnitude of each band */
    double squared_error[FL_MAX_LAYERS + 1];              /* sum over the tile, weighed; estimated, not growing */
} fl_tile_report;

/* Encode a tile from the transformed planes of all components (fl_wavelet_forward). The layers' segments are written
 * one after the other; layer_size[level.layers] gets their lengths. */
FL_EXPORT fl_status fl_wavelet_tile_encode(const fl_info *info, const fl_layering *layering, uint32_t level,
                                           uint32_t tile_x, uint32_t tile_y, const int32_t *planes, uint8_t *out,
                                           size_t capacity, uint32_t *layer_size, fl_tile_report *report,
                                           void *scratch);

/* The same by one of the ways of coding that a processor may have, for tests; FL_INVALID if it has not that one. */
enum { FL_PATH_BEST = 0, FL_PATH_PORTABLE = 1, FL_PATH_SIMD = 2, FL_PATH_AVX512 = 3 };
FL_EXPORT fl_status fl_wavelet_tile_decode_by(uint32_t path, const fl_info *info, uint32_t level, uint32_t tile_x,
                                              uint32_t tile_y, const uint8_t *const *layer_data,
                                              const uint32_t *layer_size, uint32_t layers, uint32_t partial,
                                              void *coefs, uint32_t *wide, void *scratch);
FL_EXPORT fl_status fl_wavelet_tile_encode_by(uint32_t path, const fl_info *info, const fl_layering *layering,
                                              uint32_t level, uint32_t tile_x, uint32_t tile_y, const int32_t *planes,
                                              uint8_t *out, size_t capacity, uint32_t *layer_size,
                                              fl_tile_report *report, void *scratch);

/* ---- an encoder's first look (values.c, details.c) -------------------------------------------------------------- */

/* Samples of 1 or 2 bytes: `count` components, rows and columns, strides in samples. */
typedef struct {
    const void *first;
    uint32_t size, is_signed;
    uint32_t count[3];
    ptrdiff_t stride[3];
} fl_samples;

/* Of the values low .. low + range - 1, seen[value - low] = 1 for those that occur (else 0 or 1, as it was). Returns
 * how many are seen, or enough + 1 as soon as they are more than `enough`. Other values are passed over. */
FL_EXPORT uint32_t fl_values_mark(const fl_samples *samples, int32_t low, uint32_t range, uint32_t enough,
                                  uint8_t *seen);
/* counts[value - low] grows by how often each occurs. */
FL_EXPORT void fl_values_count(const fl_samples *samples, int32_t low, uint32_t range, uint32_t *counts);
/* place[value - low] of all samples, 0 of other values, one after the other: in 1 or 2 bytes, as samples are. */
FL_EXPORT void fl_values_place(const fl_samples *samples, int32_t low, uint32_t range, const uint16_t *place, void *to);

/* Magnitudes of the details of the two finest levels (planes: as fl_wavelet_forward leaves them), added up over cells
 * of 3 x 3 coefficients of a band: counts[code] grows by the number of cells with such a sum. Sums below 256 are their
 * own codes; from there on there are 128 codes an octave. */
enum { FL_DETAIL_CODES = 3328 };
FL_EXPORT void fl_wavelet_details(const fl_info *info, const int32_t *planes, uint32_t *counts);

/* ---- wavelet transform of a shard (forward.c, errors.c, region.c) ----------------------------------------------- */

/* Colour transform and forward wavelet transform of a whole shard. `samples` are 8- or 16-bit by info->bits (where
 * there is a value table: the unsigned numbers of its entries), strides in samples. planes: components x height x width
 * int32, each plane in Mallat order (LL at the top left, recursively). workspace: fl_wavelet_forward_workspace bytes.
 */
FL_EXPORT size_t fl_wavelet_forward_workspace(const fl_info *info);
FL_EXPORT fl_status fl_wavelet_forward(const fl_info *info, const void *samples, ptrdiff_t stride_c, ptrdiff_t stride_y,
                                       ptrdiff_t stride_x, int32_t *planes, void *workspace);

/* Set the levels' error tables (SPEC 2.4, 3.8) from the transformed planes, what each tile's layers hold
 * (reports[info->tiles], in the order of first_tile), and the value table, if any. */
FL_EXPORT fl_status fl_wavelet_errors(fl_info *info, const int32_t *planes, const fl_tile_report *reports,
                                      const uint16_t *values);

/* How many of its levels have measured errors. */
static inline uint32_t fl_measured_levels(const fl_info *info) {
    return info->levels < FL_MEASURED_LEVELS ? info->levels : FL_MEASURED_LEVELS;
}

/* How far a picture of level k < fl_measured_levels is off in rows [first >> k, (first + height - 1 >> k) + 1) if of
 * every level it has the first layers[i] layers and no others: apart[i * FL_MEASURED_LEVELS + k], for i < count; in
 * units of coded samples (of a value table: in places). Of numbers of layers that fl_layering calls whole. planes,
 * samples: of fl_wavelet_forward.
 */
FL_EXPORT size_t fl_wavelet_measure_workspace(const fl_info *info, uint32_t height);
FL_EXPORT fl_status fl_wavelet_measure(const fl_info *info, const int32_t *planes, const fl_tile_report *reports,
                                       const uint32_t *layers, uint32_t count, uint32_t first, uint32_t height,
                                       const void *samples, ptrdiff_t stride_c, ptrdiff_t stride_y, ptrdiff_t stride_x,
                                       uint32_t *apart, void *workspace);

/* Set measured[layers[i]] of these levels to apart[i * FL_MEASURED_LEVELS + k], in units of samples. */
FL_EXPORT fl_status fl_wavelet_set_measured(fl_info *info, const uint32_t *layers, uint32_t count,
                                            const uint32_t *apart, const uint16_t *values);

/* Inverse transform of a region of a level: samples [x, x+width) x [y, y+height) of that level, clipped to the
 * sample range. tiles[level.first_tile + tile] points to that tile's coefficients of all components (int32 where
 * wide[level.first_tile + tile] is not 0, else int16), or is NULL where nothing is known (zeros). Only tiles of levels
 * `level`..`levels` that the region needs are read. trimmed: NULL, or for each tile two numbers, the columns and rows
 * that fl_wavelet_tile_trim left out (zeros, if they are needed after all). values[info->values], or NULL. samples: 8-
 * or 16-bit by info->bits, strides in samples. */
FL_EXPORT size_t fl_wavelet_region_workspace(const fl_info *info, uint32_t level, uint32_t width, uint32_t height);
FL_EXPORT fl_status fl_wavelet_region(const fl_info *info, uint32_t level, uint32_t x, uint32_t y, uint32_t width,
                                      uint32_t height, const void *const *tiles, const uint8_t *wide,
                                      const uint8_t *trimmed, const uint16_t *values, void *samples, ptrdiff_t stride_c,
                                      ptrdiff_t stride_y, ptrdiff_t stride_x, void *workspace);

#endif
