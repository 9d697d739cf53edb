/* Contexts of a row of coefficients (SPEC 3.6): plain loops over bytes, that compilers turn into vector code. Included
 * once for each instruction set, with TARGET and NAME() defined. */

/* One row of a band of kind 0 HL, 1 LH, 2 HH; the weights are those of the table in the SPEC. `s` is the state of the
 * first coefficient, a and b those of the siblings. */
TARGET FL_INLINE void NAME(context_row)(const uint8_t *restrict s, const uint8_t *restrict a, const uint8_t *restrict b,
                                        uint32_t count, uint8_t *restrict contexts, const int kind) {
    for (uint32_t x = 0; x < count; x++) {
        const uint8_t *at = s + x;
        uint8_t across = (uint8_t)(at[-1] + at[1]), down = (uint8_t)(at[-STRIDE] + at[STRIDE]);
        uint8_t diagonal = (uint8_t)(at[-STRIDE - 1] + at[-STRIDE + 1] + at[STRIDE - 1] + at[STRIDE + 1]);
        uint8_t across2 = (uint8_t)(at[-2] + at[2]), down2 = (uint8_t)(at[-2 * STRIDE] + at[2 * STRIDE]);
        uint8_t first = a[x], second = b[x], sum; /* half of the weighted sum, rounded up; no nibble overflows */
        if (kind == 0) {
            uint8_t whole = (uint8_t)((across + 2 * down + diagonal + down2) & 15);
            uint8_t rest = (uint8_t)((across2 + 3 * second) & 15); /* at most 2 + 3 */
            sum = (uint8_t)(whole + (first & 1) + (((uint8_t)(rest + 1) >> 1) & 7));
        } else if (kind == 1) {
            uint8_t whole = (uint8_t)((2 * across + down + diagonal + across2) & 15);
            uint8_t rest = (uint8_t)((down2 + 3 * (first + second)) & 15); /* at most 2 + 6 */
            sum = (uint8_t)(whole + (((uint8_t)(rest + 1) >> 1) & 7));
        } else {
            uint8_t whole = (uint8_t)((across + down + diagonal + 2 * ((first & 1) + (second & 1))) & 15);
            uint8_t rest = (uint8_t)((down + across2 + down2) & 15);
            sum = (uint8_t)(whole + (((uint8_t)(rest + 1) >> 1) & 7));
        }
        uint8_t fresh = sum < 15 ? sum : 15;
        uint8_t near = (uint8_t)(((uint8_t)(across + down) >> 4) & 7);
        uint8_t ones = (uint8_t)((first >> 4) & 1), others = (uint8_t)((second >> 4) & 1);
        uint8_t once = (uint8_t)(16 + near + (ones | others));
        uint8_t quarter = (uint8_t)((uint8_t)(2 * near + ones + others + 2) >> 2);
        quarter = quarter < 3 ? quarter : 3;
        uint8_t more = (uint8_t)(24 + quarter + ((at[0] >> 5) & 4));
        uint8_t refined = at[0] & 16 ? more : once;
        contexts[x] = at[0] & 1 ? refined : fresh;
    }
}

TARGET static __attribute__((noinline)) void NAME(contexts)(const fl_tile *t, uint32_t b, uint32_t x, uint32_t y,
                                                            uint32_t count, uint8_t *contexts) {
    const band *own = &t->bands[b];
    size_t at = (size_t)y * STRIDE + x;
    const uint8_t *s = own->state + at, *first = own->siblings[0] + at, *second = own->siblings[1] + at;
    if (b == 0)
        NAME(context_row)(s, first, second, count, contexts, 0);
    else if (b == 1)
        NAME(context_row)(s, first, second, count, contexts, 1);
    else
        NAME(context_row)(s, first, second, count, contexts, 2);
}
