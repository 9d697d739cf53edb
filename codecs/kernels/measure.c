/* What readers who have the first layers of a picture are off by: their picture is made, and compared (SPEC 2.4). */
#include "region.h"

#if !defined(__wasm__)

/* Room for rows of a level that `height` rows of level 0 need: half of them each time, and a few beside them. */
#define BESIDE_ROWS 16u
static size_t rows_room(const fl_info *info, uint32_t k, uint32_t height) {
    return (size_t)info->level[k].width * (fl_ceil_shift(height, k) + BESIDE_ROWS) * info->components;
}

static size_t made_room(const fl_info *info, uint32_t height) {
    return info->levels > 0 ? rows_room(info, 1, height) : 0u;
}

size_t fl_wavelet_measure_workspace(const fl_info *info, uint32_t height) {
    size_t samples = (size_t)info->width * info->components;
    for (uint32_t k = 1; k < fl_measured_levels(info); k++) samples += rows_room(info, k, height);
    return fl_wavelet_region_workspace(info, 0, info->width, height) + FL_ALIGN +
           2u * made_room(info, height) * sizeof(int32_t) + 2u * (samples + 1u);
}

typedef struct {
    const fl_info *info;
    void *workspace;
    int32_t *made[2]; /* rows of a level, and of the next coarser one */
    fl_span rows[FL_MEASURED_LEVELS];
    const uint8_t *exact[FL_MEASURED_LEVELS];
    fl_layout layout[FL_MEASURED_LEVELS]; /* of exact samples */
    uint8_t *row;
} measuring;

/* Make the rows of all measured levels, from the coarsest on. If samples are not exact they are compared, and
 * apart[k] is how far those of level k are apart. */
static void make_levels(const measuring *m, const fl_cut *cut, uint8_t *const *exact, uint32_t *apart) {
    fl_made made = {0};
    for (uint32_t k = fl_measured_levels(m->info); k-- > 0;) {
        if (exact && k == 0) return;
        const fl_level *level = &m->info->level[k];
        const fl_made keep = {m->made[k & 1u], m->rows[k].start, fl_length(m->rows[k]), level->width};
        fl_picture p = {.info = m->info, .level = k, .width = level->width, .cut = cut};
        p.made = made.rows ? &made : 0;
        p.keep = k > 0 ? &keep : 0;
        if (exact) {
            p.samples = exact[k];
            p.layout = m->layout[k];
        } else {
            p.samples = m->row;
            p.layout = fl_layout_of(m->info, (ptrdiff_t)level->width, 0, 1);
            p.compared = m->exact[k];
            p.compared_layout = m->layout[k];
            p.apart = &apart[k];
        }
        fl_make_region(&p, (fl_area){{0, level->width}, m->rows[k]}, m->workspace);
        made = keep;
    }
}

fl_status fl_wavelet_measure(const fl_info *info, const int32_t *planes, const fl_tile_report *reports,
                             const uint32_t *layers, uint32_t count, uint32_t first, uint32_t height,
                             const void *samples, ptrdiff_t stride_c, ptrdiff_t stride_y, ptrdiff_t stride_x,
                             uint32_t *apart, void *workspace) {
    if (info->levels > FL_MAX_LEVELS || height < 1 || first >= info->height || height > info->height - first)
        return FL_INVALID;
    measuring m = {.info = info, .workspace = workspace};
    uint8_t *exact[FL_MEASURED_LEVELS] = {0}, *room = workspace;
    room += fl_wavelet_region_workspace(info, 0, info->width, height);
    const size_t made = made_room(info, height);
    m.made[0] = (int32_t *)fl_align(room);
    m.made[1] = m.made[0] + made;
    room = (uint8_t *)(m.made[1] + made);
    m.row = room;
    room += 2u * (size_t)info->width * info->components;
    m.rows[0] = (fl_span){first, first + height};
    m.layout[0] = fl_layout_of(info, stride_c, stride_y, stride_x);
    m.exact[0] = (const uint8_t *)samples + (ptrdiff_t)first * stride_y * m.layout[0].size;
    for (uint32_t k = 1; k < fl_measured_levels(info); k++) {
        const ptrdiff_t width = (ptrdiff_t)info->level[k].width;
        m.rows[k] = fl_plan_steps(info->transform, m.rows[k - 1u], info->level[k - 1u].height).even;
        m.layout[k] = fl_layout_of(info, width * (ptrdiff_t)fl_length(m.rows[k]), width, 1);
        m.exact[k] = exact[k] = room;
        room += 2u * rows_room(info, k, height);
    }
    make_levels(&m, &(fl_cut){planes, reports, UINT32_MAX}, exact, 0);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < FL_MEASURED_LEVELS; k++) apart[i * FL_MEASURED_LEVELS + k] = 0;
        make_levels(&m, &(fl_cut){planes, reports, layers[i]}, 0, apart + (size_t)i * FL_MEASURED_LEVELS);
    }
    return FL_OK;
}
#endif
