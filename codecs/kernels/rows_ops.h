/* The row operations of rows.h for one integer type and instruction set: included by rows.c with T, ROWS (the struct),
 * NAME(operation) and TARGET defined. Plain loops: compilers make vectors of them.
 *
 * Sums are cut to T before they are shifted, so that 16-bit lanes do; region.c and internal.h prove that nothing that
 * matters is cut off. */

static TARGET uint32_t NAME(take)(const int32_t *restrict from, uint32_t n, T *restrict to) {
    uint32_t seen = 0;
    for (uint32_t i = 0; i < n; i++) {
        to[i] = (T)from[i];
        seen |= (uint32_t)(from[i] ^ (from[i] >> 31));
    }
    return seen;
}

static TARGET uint32_t NAME(reach)(const T *restrict row, uint32_t n) {
    T seen = 0;
    for (uint32_t i = 0; i < n; i++) seen = (T)(seen | (T)(row[i] ^ (T)(row[i] >> (8 * sizeof(T) - 1))));
    return (uint32_t)seen;
}

static TARGET void NAME(interleave)(const T *restrict even, const T *restrict odd, uint32_t pairs, T *restrict to) {
    for (size_t i = 0; i < pairs; i++) {
        to[2 * i] = even[i];
        to[2 * i + 1] = odd[i];
    }
}

static TARGET void NAME(split)(const T *restrict from, uint32_t pairs, T *restrict even, T *restrict odd) {
    for (size_t i = 0; i < pairs; i++) {
        even[i] = from[2 * i];
        odd[i] = from[2 * i + 1];
    }
}

static TARGET void NAME(even_down)(const T *s, const T *before, const T *after, uint32_t n, T *restrict x) {
    for (uint32_t i = 0; i < n; i++) x[i] = (T)(s[i] - ((T)(before[i] + after[i] + 2) >> 2));
}

static TARGET void NAME(even_up)(const T *x, const T *before, const T *after, uint32_t n, T *restrict s) {
    for (uint32_t i = 0; i < n; i++) s[i] = (T)(x[i] + ((T)(before[i] + after[i] + 2) >> 2));
}

static TARGET void NAME(odd_53_up)(const T *d, const T *e0, const T *e1, uint32_t n, T *restrict x) {
    for (uint32_t i = 0; i < n; i++) x[i] = (T)(d[i] + ((T)(e0[i] + e1[i]) >> 1));
}

static TARGET void NAME(odd_53_down)(const T *x, const T *e0, const T *e1, uint32_t n, T *restrict d) {
    for (uint32_t i = 0; i < n; i++) d[i] = (T)(x[i] - ((T)(e0[i] + e1[i]) >> 1));
}

/* (9 t - u + 8) >> 4 with t = e0 + e1, u = em + e2: 8 t + (t - u + 8) in two shifts, floor(floor(v / 8 + t) / 2), so
 * that nothing larger than four samples is added up. */
#define PREDICT_97(i) ((T)((T)(e0[i] + e1[i]) + ((T)((T)(e0[i] + e1[i]) - (T)(em[i] + e2[i]) + 8) >> 3)) >> 1)

static TARGET void NAME(odd_97_up)(const T *d, const T *em, const T *e0, const T *e1, const T *e2, uint32_t n,
                                   T *restrict x) {
    for (uint32_t i = 0; i < n; i++) x[i] = (T)(d[i] + PREDICT_97(i));
}

static TARGET void NAME(odd_97_down)(const T *x, const T *em, const T *e0, const T *e1, const T *e2, uint32_t n,
                                     T *restrict d) {
    for (uint32_t i = 0; i < n; i++) d[i] = (T)(x[i] - PREDICT_97(i));
}
#undef PREDICT_97

static TARGET void NAME(haar_join)(const T *s, const T *d, uint32_t n, T *restrict a, T *restrict b) {
    for (uint32_t i = 0; i < n; i++) {
        T second = (T)(s[i] - (d[i] >> 1));
        b[i] = second;
        a[i] = (T)(d[i] + second);
    }
}

static TARGET void NAME(haar_split)(const T *a, const T *b, uint32_t n, T *restrict s, T *restrict d) {
    for (uint32_t i = 0; i < n; i++) {
        T difference = (T)(a[i] - b[i]);
        d[i] = difference;
        s[i] = (T)(b[i] + (difference >> 1));
    }
}

static TARGET void NAME(rct_join)(const T *y, const T *u, const T *v, uint32_t n, T *restrict r, T *restrict g,
                                  T *restrict b) {
    for (uint32_t i = 0; i < n; i++) {
        T green = (T)(y[i] - ((T)(u[i] + v[i]) >> 2));
        r[i] = (T)(v[i] + green);
        g[i] = green;
        b[i] = (T)(u[i] + green);
    }
}

static TARGET void NAME(ycocg_join)(const T *y, const T *co, const T *cg, uint32_t n, T *restrict r, T *restrict g,
                                    T *restrict b) {
    for (uint32_t i = 0; i < n; i++) {
        T t = (T)(y[i] - (cg[i] >> 1));
        T blue = (T)(t - (co[i] >> 1));
        r[i] = (T)(blue + co[i]);
        g[i] = (T)(t + cg[i]);
        b[i] = blue;
    }
}

static TARGET void NAME(rct_split)(T *restrict r, T *restrict g, T *restrict b, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        T red = r[i], green = g[i], blue = b[i];
        r[i] = (T)((T)(red + 2 * green + blue) >> 2);
        g[i] = (T)(blue - green);
        b[i] = (T)(red - green);
    }
}

static TARGET void NAME(ycocg_split)(T *restrict r, T *restrict g, T *restrict b, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        T orange = (T)(r[i] - b[i]);
        T t = (T)(b[i] + (orange >> 1));
        T green = (T)(g[i] - t);
        r[i] = (T)(t + (green >> 1));
        g[i] = orange;
        b[i] = green;
    }
}

/* `low` and `high` fit T, or lie outside of what a row of T holds. */
#define CLIP_LIMITS                                                                                                    \
    const int32_t widest = sizeof(T) == 2 ? 32767 : 65535;                                                             \
    const T least = (T)low, most = (T)(high > widest ? widest : high)

static TARGET inline T NAME(clip)(T value, T least, T most) {
    T above = value < least ? least : value;
    return above > most ? most : above;
}

static TARGET void NAME(store_8)(const T *restrict row, uint32_t n, int32_t low, int32_t high, uint8_t *restrict to,
                                 ptrdiff_t stride) {
    CLIP_LIMITS;
    if (stride == 1)
        for (uint32_t i = 0; i < n; i++) to[i] = (uint8_t)NAME(clip)(row[i], least, most);
    else
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) to[i * stride] = (uint8_t)NAME(clip)(row[i], least, most);
}

static TARGET void NAME(store_16)(const T *restrict row, uint32_t n, int32_t low, int32_t high, uint16_t *restrict to,
                                  ptrdiff_t stride) {
    CLIP_LIMITS;
    if (stride == 1)
        for (uint32_t i = 0; i < n; i++) to[i] = (uint16_t)NAME(clip)(row[i], least, most);
    else
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) to[i * stride] = (uint16_t)NAME(clip)(row[i], least, most);
}

/* In two steps: clip to bytes, then interleave them (fl_interleave_3 of rows.c, inlined for each TARGET). */
static TARGET void NAME(store_8x3)(const T *restrict r, const T *restrict g, const T *restrict b, uint32_t n,
                                   int32_t low, int32_t high, uint8_t *restrict to) {
    CLIP_LIMITS;
    uint8_t clipped[3][FL_RUN];
    size_t at = 0;
    for (; at + FL_RUN <= n; at += FL_RUN) {
        for (size_t i = 0; i < FL_RUN; i++) clipped[0][i] = (uint8_t)NAME(clip)(r[at + i], least, most);
        for (size_t i = 0; i < FL_RUN; i++) clipped[1][i] = (uint8_t)NAME(clip)(g[at + i], least, most);
        for (size_t i = 0; i < FL_RUN; i++) clipped[2][i] = (uint8_t)NAME(clip)(b[at + i], least, most);
        for (size_t i = 0; i < FL_RUN; i += 16)
            fl_interleave_3(clipped[0] + i, clipped[1] + i, clipped[2] + i, to + 3 * (at + i));
    }
    for (; at < n; at++) {
        to[3 * at] = (uint8_t)NAME(clip)(r[at], least, most);
        to[3 * at + 1] = (uint8_t)NAME(clip)(g[at], least, most);
        to[3 * at + 2] = (uint8_t)NAME(clip)(b[at], least, most);
    }
}
#undef CLIP_LIMITS

static const ROWS NAME(rows) = {
    NAME(take),        NAME(reach),      NAME(interleave),  NAME(split),      NAME(even_down),
    NAME(even_up),     NAME(odd_53_up),  NAME(odd_53_down), NAME(odd_97_up),  NAME(odd_97_down),
    NAME(haar_join),   NAME(haar_split), NAME(rct_join),    NAME(ycocg_join), NAME(rct_split),
    NAME(ycocg_split), NAME(store_8),    NAME(store_16),    NAME(store_8x3),
};
