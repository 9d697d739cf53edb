/* The row operations of rows.h for one integer type and instruction set: included by rows.c with T, ROWS (the struct),
 * NAME(operation) and TARGET defined. Plain loops: compilers make vectors of them.
 *
 * Sums are cut to T before they are shifted, so that 16-bit lanes do; region.c and internal.h prove that nothing that
 * matters is cut off. */

static TARGET void NAME(take_16)(const int16_t *restrict from, uint32_t n, T *restrict to) {
    for (uint32_t i = 0; i < n; i++) to[i] = from[i];
}

static TARGET void NAME(take_32)(const int32_t *restrict from, uint32_t n, T *restrict to) {
    for (uint32_t i = 0; i < n; i++) to[i] = (T)from[i];
}

static TARGET void NAME(cut)(const int32_t *restrict from, uint32_t n, uint32_t low, T *restrict to) {
    const UNSIGNED first = (UNSIGNED)((7u << low) >> 4), rest = (UNSIGNED)((31u << low) >> 6);
    for (uint32_t i = 0; i < n; i++) {
        T value = (T)from[i];
        UNSIGNED minus = (UNSIGNED)(value < 0 ? -1 : 0),
                 unit = (UNSIGNED)((UNSIGNED)(((UNSIGNED)value ^ minus) - minus) >> low);
        UNSIGNED known = (UNSIGNED)((UNSIGNED)(unit << low) + (unit > 1 ? rest : unit == 1 ? first : 0));
        to[i] = (T)((known ^ minus) - minus);
    }
}

static TARGET void NAME(put)(const T *restrict from, uint32_t n, int32_t *restrict to) {
    for (uint32_t i = 0; i < n; i++) to[i] = from[i];
}

static TARGET uint32_t NAME(reach)(const T *restrict row, uint32_t n) {
    UNSIGNED most = 0;
    for (uint32_t i = 0; i < n; i++) {
        UNSIGNED magnitude = (UNSIGNED)(row[i] < 0 ? 0u - (UNSIGNED)row[i] : (UNSIGNED)row[i]);
        most = magnitude > most ? magnitude : most;
    }
    return most;
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

static TARGET void NAME(haar_up)(const T *s, const T *d, uint32_t n, T *restrict a, T *restrict b) {
    for (uint32_t i = 0; i < n; i++) {
        T second = (T)(s[i] - (d[i] >> 1));
        b[i] = second;
        a[i] = (T)(d[i] + second);
    }
}

static TARGET void NAME(haar_down)(const T *a, const T *b, uint32_t n, T *restrict s, T *restrict d) {
    for (uint32_t i = 0; i < n; i++) {
        T difference = (T)(a[i] - b[i]);
        d[i] = difference;
        s[i] = (T)(b[i] + (difference >> 1));
    }
}

static TARGET void NAME(pairs_53)(const T *restrict e0, const T *restrict d, uint32_t pairs, T *restrict to) {
    const T *e1 = e0 + 1;
    for (size_t i = 0; i < pairs; i++) {
        to[2 * i] = e0[i];
        to[2 * i + 1] = (T)(d[i] + ((T)(e0[i] + e1[i]) >> 1));
    }
}

static TARGET void NAME(pairs_97)(const T *restrict e0, const T *restrict d, uint32_t pairs, T *restrict to) {
    const T *em = e0 - 1, *e1 = e0 + 1, *e2 = e0 + 2;
    for (size_t i = 0; i < pairs; i++) {
        to[2 * i] = e0[i];
        to[2 * i + 1] = (T)(d[i] + PREDICT_97(i));
    }
}

static TARGET void NAME(pairs_haar)(const T *restrict s, const T *restrict d, uint32_t pairs, T *restrict to) {
    for (size_t i = 0; i < pairs; i++) {
        T second = (T)(s[i] - (d[i] >> 1));
        to[2 * i] = (T)(d[i] + second);
        to[2 * i + 1] = second;
    }
}
#undef PREDICT_97

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

#define LOAD(type)                                                                                                     \
    do {                                                                                                               \
        const type *samples = from;                                                                                    \
        for (uint32_t i = 0; i < n; i++) row[i] = (T)(samples[i] - middle);                                            \
    } while (0)

static TARGET void NAME(load)(fl_storage storage, const void *restrict from, uint32_t n, int32_t middle,
                              T *restrict row) {
    switch (storage) {
    case FL_UINT8:
        LOAD(uint8_t);
        break;
    case FL_INT8:
        LOAD(int8_t);
        break;
    case FL_UINT16:
        LOAD(uint16_t);
        break;
    default:
        LOAD(int16_t);
        break;
    }
}
#undef LOAD

static TARGET void NAME(range)(const T *restrict row, uint32_t n, int32_t *least, int32_t *most) {
    T low = row[0], high = row[0];
    for (uint32_t i = 0; i < n; i++) {
        low = row[i] < low ? row[i] : low;
        high = row[i] > high ? row[i] : high;
    }
    *least = low < *least ? low : *least;
    *most = high > *most ? high : *most;
}

/* In as many bits as samples have: vectors of them. */
#define APART(type, unsigned_type)                                                                                     \
    do {                                                                                                               \
        const type *restrict x = a, *restrict y = b;                                                                   \
        unsigned_type most = 0;                                                                                        \
        for (uint32_t i = 0; i < n; i++) {                                                                             \
            type high = x[i] > y[i] ? x[i] : y[i], low = x[i] > y[i] ? y[i] : x[i];                                    \
            unsigned_type apart = (unsigned_type)((unsigned_type)high - (unsigned_type)low);                           \
            most = apart > most ? apart : most;                                                                        \
        }                                                                                                              \
        return most;                                                                                                   \
    } while (0)

static TARGET uint32_t NAME(apart)(fl_storage storage, const void *a, const void *b, uint32_t n) {
    switch (storage) {
    case FL_UINT8:
        APART(uint8_t, uint8_t);
    case FL_INT8:
        APART(int8_t, uint8_t);
    case FL_UINT16:
        APART(uint16_t, uint16_t);
    default:
        APART(int16_t, uint16_t);
    }
}
#undef APART

/* `low` and `high` fit T. */
static TARGET inline T NAME(clip)(T value, T least, T most) {
    T above = value < least ? least : value;
    return above > most ? most : above;
}

static TARGET void NAME(store_8)(const T *restrict row, uint32_t n, int32_t low, int32_t high, uint8_t *restrict to) {
    const T least = (T)low, most = (T)high;
    for (uint32_t i = 0; i < n; i++) to[i] = (uint8_t)NAME(clip)(row[i], least, most);
}

static TARGET void NAME(store_16)(const T *restrict row, uint32_t n, int32_t low, int32_t high, int32_t middle,
                                  uint16_t *restrict to) {
    const T least = (T)low, most = (T)high;
    for (uint32_t i = 0; i < n; i++) to[i] = (uint16_t)(NAME(clip)(row[i], least, most) + middle);
}

static const ROWS NAME(rows) = {
    NAME(take_16),    NAME(take_32),   NAME(cut),         NAME(put),         NAME(reach),      NAME(split),
    NAME(even_down),  NAME(even_up),   NAME(odd_53_up),   NAME(odd_53_down), NAME(odd_97_up),  NAME(odd_97_down),
    NAME(haar_up),    NAME(haar_down), NAME(pairs_53),    NAME(pairs_97),    NAME(pairs_haar), NAME(rct_join),
    NAME(ycocg_join), NAME(rct_split), NAME(ycocg_split), NAME(load),        NAME(range),      NAME(store_8),
    NAME(store_16),   NAME(apart),
};
