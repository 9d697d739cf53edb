/* Contexts of bits and signs (SPEC 3.6.1) from a coefficient's neighbours. Each variable of the type BITS, a word or a
 * vector of words, holds one bit of a number for as many coefficients as it has bits, and the adders are those of
 * hardware. Included once for each type, with NAME() and perhaps TARGET defined; OWN_MAJORITY: there is a majority. */

#ifndef TARGET
#define TARGET
#define NO_TARGET
#endif

/* Of the coefficients and their neighbours: magnitude at least 1; at least 2. a and b: the same place in the siblings.
 */
typedef struct {
    BITS own, west, east, west2, east2, south, south_west, south_east, south2, a, b;
    BITS north, north_west, north_east, north2;
    BITS own_two, west_two, east_two, north_two, south_two, a_two, b_two, own_four;
} NAME(neighbours);

/* Sums of two and three bits. */
typedef struct {
    BITS low, high;
} NAME(two_bits);
TARGET FL_INLINE NAME(two_bits) NAME(add2)(BITS a, BITS b) { return (NAME(two_bits)){a ^ b, a & b}; }
TARGET FL_INLINE NAME(two_bits) NAME(add3)(BITS a, BITS b, BITS c) {
#ifdef OWN_MAJORITY
    return (NAME(two_bits)){a ^ b ^ c, NAME(majority)(a, b, c)};
#else
    return (NAME(two_bits)){a ^ b ^ c, (a & b) | ((a ^ b) & c)};
#endif
}

/* Contexts of those that are not significant, of a band of kind 0 HL, 1 LH, 2 HH. The weighted sums are those of the
 * table in the SPEC: half of the sum, rounded up, is taken as a whole and a rest that is halved. What depends on the
 * row above comes last, since that was decoded just before. */
TARGET FL_INLINE void NAME(significance)(const NAME(neighbours) * n, BITS *sum, const int kind) {
    typedef NAME(two_bits) two;
    if (kind == 0) { /* W + E + 2 (N + S) + diagonals + NN + SS + A, and WW + EE + 3 B */
        BITS rest0 = (n->west2 & n->east2) | ((n->west2 | n->east2) & ~n->b);
        two s1 = NAME(add3)(n->west, n->east, n->south_west), s2 = NAME(add3)(n->south_east, n->north2, n->south2);
        two s3 = NAME(add3)(n->a, rest0, s1.low), s4 = NAME(add3)(n->north_west, n->north_east, s3.low);
        two s5 = NAME(add2)(s4.low, s2.low);
        two t1 = NAME(add3)(s1.high, s2.high, s3.high), t2 = NAME(add3)(n->south, n->b, t1.low);
        two t3 = NAME(add3)(n->north, s4.high, s5.high), t4 = NAME(add2)(t2.low, t3.low);
        two u1 = NAME(add3)(t1.high, t2.high, t3.high), u2 = NAME(add2)(u1.low, t4.high);
        BITS all = u1.high & u2.high; /* 16 */
        sum[0] = s5.low | all;
        sum[1] = t4.low | all;
        sum[2] = u2.low | all;
        sum[3] = u1.high | u2.high;
    } else if (kind == 1) { /* 2 (W + E) + N + S + diagonals + WW + EE, and NN + SS + 3 (A + B) */
        BITS any = n->north2 | n->south2, both = n->north2 & n->south2, one = n->a ^ n->b, pair = n->a & n->b;
        BITS rest0 = (pair & ~any) | (one & both) | (any & ~(one | pair)), rest1 = one | (pair & ~any);
        two s1 = NAME(add3)(n->south, n->south_west, n->south_east), s2 = NAME(add3)(n->west2, n->east2, rest0);
        two s3 = NAME(add3)(n->north, n->north_west, n->north_east), s4 = NAME(add3)(s1.low, s2.low, s3.low);
        two t1 = NAME(add3)(n->west, n->east, rest1), t2 = NAME(add3)(s1.high, s2.high, t1.low);
        two t3 = NAME(add3)(s3.high, s4.high, t2.low);
        two u1 = NAME(add3)(pair & any, t1.high, t2.high), u2 = NAME(add2)(u1.low, t3.high);
        BITS all = u1.high & u2.high; /* 16 */
        sum[0] = s4.low | all;
        sum[1] = t3.low | all;
        sum[2] = u2.low | all;
        sum[3] = u1.high | u2.high;
    } else { /* W + E + N + S + diagonals + 2 (A + B), at most 12, and N + S + WW + EE + NN + SS, at most 6 */
        two r1 = NAME(add3)(n->west2, n->east2, n->north2), r2 = NAME(add3)(n->south, n->south2, r1.low);
        two s1 = NAME(add3)(n->west, n->east, n->south), s2 = NAME(add3)(n->south_west, n->south_east, r1.high);
        two s3 = NAME(add3)(s1.low, s2.low, r2.high), s4 = NAME(add3)(n->north, n->north_west, n->north_east);
        two s5 = NAME(add3)(s3.low, s4.low, n->north | r2.low);
        two t1 = NAME(add3)(n->a, n->b, s1.high), t2 = NAME(add3)(s2.high, s3.high, t1.low);
        two t3 = NAME(add3)(s4.high, s5.high, t2.low), u1 = NAME(add3)(t1.high, t2.high, t3.high);
        sum[0] = s5.low;
        sum[1] = t3.low;
        sum[2] = u1.low;
        sum[3] = u1.high;
    }
}

/* From those of significance, contexts of all: the five bits of `context`, of which four are given. Of significant ones
 * near + (A or B) at a magnitude of 1, else half of near + (A and B) + 1, where near <= 4. */
TARGET FL_INLINE void NAME(refinement)(const NAME(neighbours) * n, BITS *context) {
    typedef NAME(two_bits) two;
    const BITS own = n->own, twos = n->own_two;
    two n1 = NAME(add3)(n->west_two, n->east_two, n->south_two), n2 = NAME(add2)(n1.low, n->north_two);
    two n3 = NAME(add2)(n1.high, n2.high);
    two o1 = NAME(add2)(n2.low, n->a_two | n->b_two), o2 = NAME(add2)(n3.low, o1.high);
    BITS carry = n2.low | (n->a_two & n->b_two);
    BITS bit0 = (twos & (n3.low ^ carry)) | (o1.low & ~twos);
    BITS bit1 = (twos & (n3.high | (n3.low & carry))) | (o2.low & ~twos);
    BITS bit2 = (twos & n->own_four) | ((n3.high | o2.high) & ~twos);
    context[0] = (context[0] & ~own) | (bit0 & own);
    context[1] = (context[1] & ~own) | (bit1 & own);
    context[2] = (context[2] & ~own) | (bit2 & own);
    context[3] = (context[3] & ~own) | twos;
    context[4] = own;
}

#ifdef NO_TARGET
#undef TARGET
#undef NO_TARGET
#endif
