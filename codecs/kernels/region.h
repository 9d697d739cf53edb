/* Making samples of a region (region.c), from tiles or from what an encoder has. */
#ifndef FL_REGION_H
#define FL_REGION_H

#include "rows.h"
#include "samples.h"
#include "transform.h"

/* An encoder's coefficients, as fl_wavelet_forward leaves them, and which layers of the tiles count. */
typedef struct {
    const int32_t *planes;
    const fl_tile_report *reports;
    uint32_t layers; /* UINT32_MAX: all, exactly */
} fl_cut;

/* Rows of a level before colour, whole, from row `first` on, component after component. */
typedef struct {
    int32_t *rows;
    uint32_t first, height, width;
} fl_made;

static inline int32_t *fl_made_row(const fl_made *made, uint32_t component, uint32_t y) {
    return made->rows + ((size_t)component * made->height + y - made->first) * made->width;
}

/* What is to be made of what. */
typedef struct {
    const fl_info *info;
    uint32_t level, width;
    const void *const *tiles;
    const uint8_t *wide, *trimmed;
    const fl_cut *cut;      /* NULL, or what it is made of instead of tiles */
    const fl_made *made;    /* NULL, or the next coarser level's rows that are needed */
    const fl_made *keep;    /* NULL, or where this level's rows are put too */
    const uint16_t *values; /* NULL: samples as they are coded */
    uint8_t *samples;
    fl_layout layout;
    const uint8_t *compared; /* not NULL: rows all go to the place of the first, and are compared with these samples */
    fl_layout compared_layout; /* of the same storage */
    uint32_t *apart;           /* the largest difference, if it is larger than it was */
} fl_picture;

typedef struct {
    fl_span x, y;
} fl_area;

/* workspace: fl_wavelet_region_workspace bytes. */
void fl_make_region(const fl_picture *p, fl_area want, void *workspace);

static inline const int32_t *fl_plane_row(const fl_picture *p, uint32_t component, uint32_t y) {
    return p->cut->planes + ((size_t)component * p->info->height + y) * p->info->width;
}

#endif
