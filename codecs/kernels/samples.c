/* Samples as callers store them (SPEC 3.3), pixels taken apart and put together again. */
#include "samples.h"

int32_t fl_sample_min(const fl_info *info) {
    return info->is_signed && info->values == 0 ? -(1 << (info->bits - 1u)) : 0;
}
int32_t fl_sample_max(const fl_info *info) {
    if (info->values > 0) return (int32_t)info->values - 1;
    return info->is_signed ? (1 << (info->bits - 1u)) - 1 : (1 << info->bits) - 1;
}

int32_t fl_sample_middle(const fl_info *info) {
    return info->bits > 8 ? (fl_sample_min(info) + fl_sample_max(info) + 1) >> 1 : 0;
}
int32_t fl_base_middle(const fl_info *info, uint32_t component) {
    int is_difference = info->colour != FL_COLOUR_NONE && (component == 1 || component == 2);
    return is_difference ? 0 : fl_sample_middle(info);
}

fl_layout fl_layout_of(const fl_info *info, ptrdiff_t stride_c, ptrdiff_t stride_y, ptrdiff_t stride_x) {
    uint32_t is_signed = info->is_signed && info->values == 0, wide = info->bits > 8;
    fl_storage storage = wide ? (is_signed ? FL_INT16 : FL_UINT16) : is_signed ? FL_INT8 : FL_UINT8;
    return (fl_layout){storage, info->components, wide ? 2 : 1, stride_c, stride_y, stride_x};
}

typedef struct {
    void (*split_8)(const uint8_t *from, uint32_t components, size_t n, uint8_t (*to)[FL_RUN]);
    void (*join_8)(const uint8_t (*from)[FL_RUN], uint32_t components, size_t n, uint8_t *to);
    void (*split_16)(const uint16_t *from, uint32_t components, size_t n, uint16_t (*to)[FL_RUN]);
    void (*join_16)(const uint16_t (*from)[FL_RUN], uint32_t components, size_t n, uint16_t *to);
} pixel_ops;

#define TARGET
#define NAME(function) function
#include "samples_ops.h"
#undef TARGET
#undef NAME

#if defined(__x86_64__)
#define TARGET FL_TARGET_AVX2
#define NAME(function) function##_avx2
#include "samples_ops.h"
#undef TARGET
#undef NAME

#define TARGET FL_TARGET_AVX512
#define NAME(function) function##_avx512
#include "samples_ops.h"
#endif

static const pixel_ops *best_ops(void) {
#if defined(__x86_64__)
    if (fl_has_avx512()) return &ops_avx512;
    if (__builtin_cpu_supports("avx2")) return &ops_avx2;
#endif
    return &ops;
}

#if defined(__wasm_simd128__)
/* What join_8 does of three components: clang finds no shuffles for WebAssembly. Places that the first shuffle leaves
 * to z hold 0. */
static void join_rgb(const uint8_t (*from)[FL_RUN], uint32_t n, uint8_t *to) {
    typedef uint8_t bytes __attribute__((vector_size(16)));
    uint32_t i = 0;
    for (; i + 16u <= n; i += 16u) {
        bytes x, y, z, part[3];
        fl_copy(&x, from[0] + i, 16);
        fl_copy(&y, from[1] + i, 16);
        fl_copy(&z, from[2] + i, 16);
        part[0] = __builtin_shufflevector(x, y, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
        part[1] = __builtin_shufflevector(x, y, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
        part[2] = __builtin_shufflevector(x, y, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
        part[0] = __builtin_shufflevector(part[0], z, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15);
        part[1] = __builtin_shufflevector(part[1], z, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15);
        part[2] = __builtin_shufflevector(part[2], z, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31);
        fl_copy(to + 3u * i, part, sizeof part);
    }
    for (; i < n; i++)
        for (uint32_t c = 0; c < 3u; c++) to[3u * i + c] = from[c][i];
}
#endif

/* Pixels: samples of all components one after the other. */
static int are_pixels(const fl_layout *l) {
    return l->stride_c == 1 && l->components > 1 && l->stride_x == (ptrdiff_t)l->components;
}

void fl_split_run(const fl_layout *l, const void *samples, uint32_t n, fl_run *run) {
    if (are_pixels(l)) {
        if (l->size == 1)
            best_ops()->split_8(samples, l->components, n, run->bytes);
        else
            best_ops()->split_16(samples, l->components, n, run->words);
        return;
    }
    for (uint32_t c = 0; c < l->components; c++)
        for (ptrdiff_t i = 0, at = (ptrdiff_t)c * l->stride_c; i < (ptrdiff_t)n; i++, at += l->stride_x) {
            if (l->size == 1)
                run->bytes[c][i] = ((const uint8_t *)samples)[at];
            else
                run->words[c][i] = ((const uint16_t *)samples)[at];
        }
}

void fl_join_run(const fl_layout *l, const fl_run *run, uint32_t n, void *samples) {
    if (are_pixels(l)) {
#if defined(__wasm_simd128__)
        if (l->size == 1 && l->components == 3) {
            join_rgb(run->bytes, n, samples);
            return;
        }
#endif
        if (l->size == 1)
            best_ops()->join_8(run->bytes, l->components, n, samples);
        else
            best_ops()->join_16(run->words, l->components, n, samples);
        return;
    }
    for (uint32_t c = 0; c < l->components; c++)
        for (ptrdiff_t i = 0, at = (ptrdiff_t)c * l->stride_c; i < (ptrdiff_t)n; i++, at += l->stride_x) {
            if (l->size == 1)
                ((uint8_t *)samples)[at] = run->bytes[c][i];
            else
                ((uint16_t *)samples)[at] = run->words[c][i];
        }
}
