/* Context of one sign (SPEC 3.6): 3 (h + 1) + v + 1, h and v the clipped sums of the neighbours' signs across and down.
 */
#ifndef FL_SIGNS_H
#define FL_SIGNS_H

#include "tile.h"

FL_INLINE uint8_t fl_sign_context(const int8_t *at) {
    int h = at[-1] + at[1], v = at[-STRIDE] + at[STRIDE];
    h = h > 1 ? 1 : h < -1 ? -1 : h;
    v = v > 1 ? 1 : v < -1 ? -1 : v;
    return (uint8_t)((h + 1) * 3 + v + 1);
}

#endif
