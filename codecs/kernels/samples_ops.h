/* Pixels of 2, 3 or 4 components from rows of single ones and back, for one instruction set: included by samples.c with
 * NAME(function) and TARGET defined. The number of components must be a constant for compilers to make shuffles of it.
 */

#define PIXELS(T, SPLIT, JOIN)                                                                                         \
    static TARGET void NAME(SPLIT##_2)(const T *restrict from, size_t n, T *restrict a, T *restrict b) {               \
        for (size_t i = 0; i < n; i++) {                                                                               \
            a[i] = from[2 * i];                                                                                        \
            b[i] = from[2 * i + 1];                                                                                    \
        }                                                                                                              \
    }                                                                                                                  \
    static TARGET void NAME(SPLIT##_3)(const T *restrict from, size_t n, T *restrict a, T *restrict b,                 \
                                       T *restrict c) {                                                                \
        for (size_t i = 0; i < n; i++) {                                                                               \
            a[i] = from[3 * i];                                                                                        \
            b[i] = from[3 * i + 1];                                                                                    \
            c[i] = from[3 * i + 2];                                                                                    \
        }                                                                                                              \
    }                                                                                                                  \
    static TARGET void NAME(SPLIT##_4)(const T *restrict from, size_t n, T *restrict a, T *restrict b, T *restrict c,  \
                                       T *restrict d) {                                                                \
        for (size_t i = 0; i < n; i++) {                                                                               \
            a[i] = from[4 * i];                                                                                        \
            b[i] = from[4 * i + 1];                                                                                    \
            c[i] = from[4 * i + 2];                                                                                    \
            d[i] = from[4 * i + 3];                                                                                    \
        }                                                                                                              \
    }                                                                                                                  \
    static TARGET void NAME(JOIN##_2)(const T *restrict a, const T *restrict b, size_t n, T *restrict to) {            \
        for (size_t i = 0; i < n; i++) {                                                                               \
            to[2 * i] = a[i];                                                                                          \
            to[2 * i + 1] = b[i];                                                                                      \
        }                                                                                                              \
    }                                                                                                                  \
    static TARGET void NAME(JOIN##_3)(const T *restrict a, const T *restrict b, const T *restrict c, size_t n,         \
                                      T *restrict to) {                                                                \
        for (size_t i = 0; i < n; i++) {                                                                               \
            to[3 * i] = a[i];                                                                                          \
            to[3 * i + 1] = b[i];                                                                                      \
            to[3 * i + 2] = c[i];                                                                                      \
        }                                                                                                              \
    }                                                                                                                  \
    static TARGET void NAME(JOIN##_4)(const T *restrict a, const T *restrict b, const T *restrict c,                   \
                                      const T *restrict d, size_t n, T *restrict to) {                                 \
        for (size_t i = 0; i < n; i++) {                                                                               \
            to[4 * i] = a[i];                                                                                          \
            to[4 * i + 1] = b[i];                                                                                      \
            to[4 * i + 2] = c[i];                                                                                      \
            to[4 * i + 3] = d[i];                                                                                      \
        }                                                                                                              \
    }                                                                                                                  \
    static TARGET void NAME(SPLIT)(const T *from, uint32_t components, size_t n, T(*to)[FL_RUN]) {                     \
        if (components == 2) NAME(SPLIT##_2)(from, n, to[0], to[1]);                                                   \
        if (components == 3) NAME(SPLIT##_3)(from, n, to[0], to[1], to[2]);                                            \
        if (components == 4) NAME(SPLIT##_4)(from, n, to[0], to[1], to[2], to[3]);                                     \
    }                                                                                                                  \
    static TARGET void NAME(JOIN)(const T(*from)[FL_RUN], uint32_t components, size_t n, T *to) {                      \
        if (components == 2) NAME(JOIN##_2)(from[0], from[1], n, to);                                                  \
        if (components == 3) NAME(JOIN##_3)(from[0], from[1], from[2], n, to);                                         \
        if (components == 4) NAME(JOIN##_4)(from[0], from[1], from[2], from[3], n, to);                                \
    }

PIXELS(uint8_t, split_8, join_8)
PIXELS(uint16_t, split_16, join_16)
#undef PIXELS

static const pixel_ops NAME(ops) = {NAME(split_8), NAME(join_8), NAME(split_16), NAME(join_16)};
