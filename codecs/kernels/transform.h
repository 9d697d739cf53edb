/* Geometry of the transforms in one direction: what samples of a level need of its bands (SPEC 3.4). */
#ifndef FL_TRANSFORM_H
#define FL_TRANSFORM_H

#include "internal.h"

typedef struct {
    uint32_t start, end; /* [start, end) */
} fl_span;

static inline uint32_t fl_length(fl_span s) { return s.end - s.start; }

/* Samples around a region that its decoding needs, at every level. SPEC 3.4 derives 4 and 7; S-Haar's pairs are never
 * cut by tiles, which begin at even samples. */
static inline uint32_t fl_margin(uint32_t transform) {
    return transform == FL_TRANSFORM_HAAR ? 0u : transform == FL_TRANSFORM_97M ? 7u : 4u;
}

/* Samples [want.start, want.end), at least one, of a level of n in one direction.
 *
 * Even sample 2i needs high coefficients i - 1 and i; odd sample 2i + 1 needs even samples 2i and 2i + 2, with 9/7-M
 * also 2i - 2 and 2i + 4; an S-Haar pair needs only its own two coefficients. Beyond an end, the mirrored sample is one
 * that is needed anyway: mirroring goes inwards, by no more than the reach of the same step to the other side. */
typedef struct {
    uint32_t first, end; /* pairs (2i, 2i + 1) that hold the samples wanted */
    fl_span even;        /* even samples, so low coefficients */
    fl_span high;        /* high coefficients; empty only where the level has none (n = 1, or an S-Haar's odd end) */
    uint32_t lows, highs;
} fl_steps;

static inline fl_steps fl_plan_steps(uint32_t transform, fl_span want, uint32_t n) {
    fl_steps s;
    s.lows = fl_low(n);
    s.highs = fl_high(n);
    s.first = want.start >> 1;
    s.end = (want.end + 1u) >> 1;
    if (transform == FL_TRANSFORM_HAAR) {
        s.even = (fl_span){s.first, s.end};
        s.high = (fl_span){fl_min(s.first, s.highs), fl_min(s.end, s.highs)};
        return s;
    }
    uint32_t wide = transform == FL_TRANSFORM_97M ? 1u : 0u;
    s.even.start = s.first >= wide ? s.first - wide : 0u;
    s.even.end = fl_min((want.end >> 1) + 1u + wide, s.lows);
    s.high.start = s.even.start > 0 ? s.even.start - 1u : 0u;
    s.high.end = fl_min(s.even.end, s.highs);
    return s;
}

/* Even sample j of a level of `lows` even and `highs` odd ones, -lows < j < 2 lows, mirrored at its ends. */
static inline uint32_t fl_mirror_even(int64_t j, uint32_t lows, uint32_t highs) {
    if (j < 0) j = -j;
    if (j >= (int64_t)lows) j = (int64_t)lows + highs - 1 - j;
    return j < 0 ? 0u : (uint32_t)j;
}

#endif
