/* Adaptive binary range coder (SPEC 3.5), after G. N. N. Martin's range coding with LZMA's carry handling: one
 * implementation of the model for both directions, so that they can't drift apart. */
#ifndef FL_RANGECODER_H
#define FL_RANGECODER_H

#include "internal.h"

#define FL_PROBABILITY_BITS 15u
#define FL_RANGE_TOP (1u << 24)

/* Probability that the next bit is 0, in 1/2^15, and how often it was updated. It stays in [31, 2^15 - 31]: an update
 * by 2^-6 can't move a value below 64 any more, and the faster first updates end far from there. So (range >> 15) * p
 * is never 0 for range >= 2^24, nor the whole range. */
typedef struct {
    uint16_t zero, updates;
} fl_model;

static inline void fl_model_reset(fl_model *models, size_t count) {
    for (size_t i = 0; i < count; i++) models[i] = (fl_model){1u << (FL_PROBABILITY_BITS - 1u), 0};
}

/* Fast at first: a tile has only some thousand symbols. Index: updates so far; from FL_STEADY on they are not counted.
 */
#define FL_STEADY 32u
#define FL_STEADY_RATE 6u
static const uint8_t FL_RATE[FL_STEADY + 1u] = {
    1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, FL_STEADY_RATE};

static inline void fl_model_update(fl_model *model, uint32_t bit) {
    uint32_t rate = FL_RATE[model->updates], zero = model->zero;
    zero = bit ? zero - (zero >> rate) : zero + (((1u << FL_PROBABILITY_BITS) - zero) >> rate);
    model->zero = (uint16_t)zero;
    model->updates = (uint16_t)(model->updates + (model->updates < FL_STEADY));
}

typedef struct {
    /* both */
    uint32_t range;
    /* decoder: code < range; bytes [in, end) are unread, zeros follow for ever */
    uint32_t code;
    const uint8_t *in, *end;
    uint32_t missing; /* so many of the last bytes were such zeros */
    /* encoder: low < 2^32 + carry; `held` bytes wait for a carry; the stream's first byte, always 0, is not kept */
    uint64_t low;
    uint8_t *out, *out_end;
    size_t held;
    uint8_t cache;
    int begun, full;
} fl_coder;

static inline uint32_t fl_coder_byte(fl_coder *c) {
    if (c->in < c->end) return *c->in++;
    c->missing++;
    return 0;
}

static inline void fl_decoder_start(fl_coder *c, const uint8_t *data, size_t size) {
    c->range = 0xffffffffu;
    c->in = data;
    c->end = data + size;
    c->code = c->missing = 0;
    for (int i = 0; i < 4; i++) c->code = c->code << 8 | fl_coder_byte(c);
}

/* The sequence goes on in other bytes, the first of which take the place of zeros that were read. Returns 0 if that
 * can't be. */
static inline int fl_decoder_resume(fl_coder *c, const uint8_t *data, size_t size) {
    c->in = data;
    c->end = data + size;
    if (c->missing > 4u) return 0;
    while (c->missing > 0 && c->in < c->end) c->code += (uint32_t)*c->in++ << 8u * --c->missing;
    return c->code < c->range;
}

static inline void fl_encoder_start(fl_coder *c, uint8_t *out, uint8_t *out_end) {
    c->range = 0xffffffffu;
    c->low = 0;
    c->out = out;
    c->out_end = out_end;
    c->held = 1;
    c->cache = 0;
    c->begun = c->full = 0;
}

static inline void fl_encoder_put(fl_coder *c, uint32_t byte) {
    if (!c->begun) {
        c->begun = 1;
        return;
    }
    if (c->out < c->out_end)
        *c->out++ = (uint8_t)byte;
    else
        c->full = 1;
}

static inline void fl_encoder_shift(fl_coder *c) {
    if (c->low < 0xff000000u || c->low > 0xffffffffu) {
        uint32_t carry = (uint32_t)(c->low >> 32), byte = c->cache;
        for (; c->held > 0; c->held--) {
            fl_encoder_put(c, (byte + carry) & 255u);
            byte = 255u;
        }
        c->cache = (uint8_t)(c->low >> 24);
    }
    c->held++;
    c->low = (c->low & 0x00ffffffu) << 8;
}

/* Bytes of the sequence that a decoder has read when it has decoded what was encoded so far: four, and one a shift. */
static inline size_t fl_encoder_position(const fl_coder *c, const uint8_t *start) {
    return 3u + (size_t)(c->out - start) + (size_t)c->begun + c->held;
}

/* What is kept of an encoder's state to find out later where a piece may end. */
typedef struct {
    size_t position;
    uint32_t low;
} fl_mark;
static inline fl_mark fl_encoder_mark(const fl_coder *c, const uint8_t *start) {
    return (fl_mark){fl_encoder_position(c, start), (uint32_t)c->low};
}

/* The shortest piece of the finished sequence from which, with zeros after it, all decodes that was encoded before a
 * mark: at most four bytes less than a decoder has read there. (Bytes up to mark.position must be there.) What it
 * leaves out of the 32 bits in the decoder's register must not be more than they are above the interval's beginning. */
static inline size_t fl_piece_end(fl_mark mark, const uint8_t *sequence) {
    const uint8_t *at = sequence + mark.position;
    uint32_t window = (uint32_t)at[-4] << 24 | (uint32_t)at[-3] << 16 | (uint32_t)at[-2] << 8 | at[-1], left = 0;
    const uint32_t above = window - mark.low;
    while (left < 4u && (window & (left < 3u ? (1u << 8u * (left + 1u)) - 1u : UINT32_MAX)) <= above) left++;
    return mark.position - left;
}

/* Code one bit with a model: reads it when decoding, writes `bit` when encoding; returns it. */
static inline __attribute__((always_inline)) uint32_t fl_code(fl_coder *c, fl_model *model, uint32_t bit,
                                                              const int encoding) {
    uint32_t bound = (c->range >> FL_PROBABILITY_BITS) * model->zero;
    if (!encoding) bit = c->code >= bound;
    uint32_t mask = 0u - bit;
    if (encoding)
        c->low += bound & mask;
    else
        c->code -= bound & mask;
    c->range = (bound & ~mask) | ((c->range - bound) & mask);
    fl_model_update(model, bit);
    while (c->range < FL_RANGE_TOP) {
        c->range <<= 8;
        if (encoding)
            fl_encoder_shift(c);
        else
            c->code = c->code << 8 | fl_coder_byte(c);
    }
    return bit;
}

/* ---- many symbols at once ---------------------------------------------------------------------------------------- */

/* Which bit `code` has: 0 if code < bound. In: *range of a 1, *zero as it becomes after a 1, `up` after a 0. *zeros
 * takes from above whether it is 0. No branch foresees what the coder found to be unforeseeable, but compilers take
 * one. */
static inline __attribute__((always_inline)) void fl_take_bit(uint32_t *code, uint32_t *range, uint32_t *zero,
                                                              uint64_t *zeros, uint32_t bound, uint32_t up) {
#if defined(__x86_64__)
    const uint32_t before = *code;
    __asm__("subl %[bound], %[code]\n\t"
            "cmovbl %[before], %[code]\n\t"
            "cmovbl %[bound], %[range]\n\t"
            "cmovbl %[up], %[zero]\n\t"
            "rcrq %[zeros]"
            : [code] "+&r"(*code), [range] "+&r"(*range), [zero] "+&r"(*zero), [zeros] "+&r"(*zeros)
            : [bound] "r"(bound), [before] "r"(before), [up] "r"(up)
            : "cc");
#else
    const uint32_t is_zero = *code < bound;
    *zeros = *zeros >> 1 | (uint64_t)is_zero << 63;
    *code = is_zero ? *code : *code - bound;
    *range = is_zero ? bound : *range;
    *zero = is_zero ? up : *zero;
#endif
}

/* x == y ? a : b, likewise. */
static inline __attribute__((always_inline)) uint32_t fl_take_same(uint32_t x, uint32_t y, uint32_t a, uint32_t b) {
#if defined(__x86_64__)
    __asm__("cmpl %[x], %[y]\n\tcmovel %[a], %[b]" : [b] "+&r"(b) : [a] "r"(a), [x] "r"(x), [y] "r"(y) : "cc");
    return b;
#else
    return x == y ? a : b;
#endif
}

/* Decode n <= 64 bits, bit i with models[which[i]]; the result has it as bit i. which[n] is read too, and must be one
 * of the models.
 *
 * One at a time, this is fl_code. What makes it faster: the state is in registers; bits are not branched upon; the next
 * model is fetched before this one is stored, since a load that follows upon a store to the same place waits for it. */
static inline __attribute__((always_inline)) uint64_t fl_decode_bits(fl_coder *c, fl_model *models,
                                                                     const uint8_t *which, const uint32_t n) {
    const uint32_t certain = 1u << FL_PROBABILITY_BITS;
    const uint8_t *in = c->in, *const end = c->end;
    uint32_t range = c->range, code = c->code, following = *which, next = models[following].zero;
    uint64_t zeros = 0;
    which += n + 1u;
    for (ptrdiff_t left = -(ptrdiff_t)n; left != 0; left++) {
        fl_model *const model = &models[following];
        const uint32_t own = following, bound = (range >> FL_PROBABILITY_BITS) * next;
        uint32_t zero = next, up = next;
        following = which[left];
        next = models[following].zero;
        if (__builtin_expect(model->updates < FL_STEADY, 0)) {
            const uint32_t rate = FL_RATE[model->updates++];
            up += (certain - zero) >> rate;
            zero -= zero >> rate;
        } else {
            up += (certain - zero) >> FL_STEADY_RATE;
            zero -= zero >> FL_STEADY_RATE;
        }
        range -= bound;
        fl_take_bit(&code, &range, &zero, &zeros, bound, up);
        model->zero = (uint16_t)zero;
        next = fl_take_same(own, following, zero, next);
        if (range < FL_RANGE_TOP) { /* and at least 31 x 2^9: 1 or 2 bytes */
            const uint32_t shift = (uint32_t)__builtin_clz(range) & 24u;
            range <<= shift;
            if (__builtin_expect(end - in >= 2, 1)) {
                code = code << shift | ((uint32_t)in[0] << 8 | in[1]) >> (16u - shift);
                in += shift / 8u;
            } else {
                for (uint32_t i = 0; i < shift; i += 8u) {
                    c->missing += in == end;
                    code = code << 8 | (in < end ? *in++ : 0u);
                }
            }
        }
    }
    c->range = range;
    c->code = code;
    c->in = in;
    return n > 0 ? ~zeros >> (64u - n) : 0;
}

/* End the stream with as few bytes as tell it from every other: the value of the final interval with the most
 * trailing zeros, and the decoder supplies zeros for ever. Returns the end of the output. */
static inline uint8_t *fl_encoder_finish(fl_coder *c, uint8_t *start) {
    uint64_t value = c->low, top = c->low + c->range - 1u;
    for (uint32_t k = 1; k < 33u; k++) {
        uint64_t candidate = top & ~(((uint64_t)1 << k) - 1u);
        if (candidate < c->low) break;
        value = candidate;
    }
    c->low = value;
    for (int i = 0; i < 5; i++) fl_encoder_shift(c);
    while (c->out > start && c->out[-1] == 0) c->out--;
    return c->out;
}

#endif
