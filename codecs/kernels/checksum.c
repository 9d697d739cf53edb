/* CRC-32C over heads and segments (SPEC 2.6, 2.7): the processor's instruction where there is one, else tables. */
#include "internal.h"

/* BYTE[k][n]: what byte n leaves when k zero bytes follow it. So 8 bytes are looked up at once, none waiting for
 * another. It is a sum over the bits of n, of which these are the terms: for k = 0, eight steps x -> (x >> 1) ^ (x & 1
 * ? 0x82f63b78 : 0) from 1, 2, 4 ... 128; for each further k, eight more. */
#define SUM(n, a, b, c, d, e, f, g, h)                                                                                 \
    (((n) & 1u ? a : 0u) ^ ((n) & 2u ? b : 0u) ^ ((n) & 4u ? c : 0u) ^ ((n) & 8u ? d : 0u) ^ ((n) & 16u ? e : 0u) ^    \
     ((n) & 32u ? f : 0u) ^ ((n) & 64u ? g : 0u) ^ ((n) & 128u ? h : 0u))
#define AFTER_0(n)                                                                                                     \
    SUM(n, 0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu, 0x82f63b78u)
#define AFTER_1(n)                                                                                                     \
    SUM(n, 0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u, 0xff17c604u, 0xfbc3faf9u)
#define AFTER_2(n)                                                                                                     \
    SUM(n, 0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u, 0xc76580d9u, 0x8b277743u)
#define AFTER_3(n)                                                                                                     \
    SUM(n, 0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu, 0xaba65fe7u, 0x52a0c93fu)
#define AFTER_4(n)                                                                                                     \
    SUM(n, 0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu, 0x6ea2d55cu)
#define AFTER_5(n)                                                                                                     \
    SUM(n, 0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du, 0x0e045bebu, 0x1c08b7d6u)
#define AFTER_6(n)                                                                                                     \
    SUM(n, 0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au, 0xf56e0ef4u)
#define AFTER_7(n)                                                                                                     \
    SUM(n, 0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u, 0x1a00cb32u, 0x34019664u)
#define FOUR(of, n) of((n)), of((n) + 1u), of((n) + 2u), of((n) + 3u)
#define SIXTEEN(of, n) FOUR(of, n), FOUR(of, (n) + 4u), FOUR(of, (n) + 8u), FOUR(of, (n) + 12u)
#define SIXTY_FOUR(of, n) SIXTEEN(of, n), SIXTEEN(of, (n) + 16u), SIXTEEN(of, (n) + 32u), SIXTEEN(of, (n) + 48u)
#define ALL(of) {SIXTY_FOUR(of, 0u), SIXTY_FOUR(of, 64u), SIXTY_FOUR(of, 128u), SIXTY_FOUR(of, 192u)}
static const uint32_t BYTE[8][256] = {ALL(AFTER_0), ALL(AFTER_1), ALL(AFTER_2), ALL(AFTER_3),
                                      ALL(AFTER_4), ALL(AFTER_5), ALL(AFTER_6), ALL(AFTER_7)};

static uint32_t add_portable(uint32_t crc, const uint8_t *data, size_t size) {
    for (; size >= 8u; data += 8, size -= 8u) {
        uint32_t a = crc ^ fl_read32(data), b = fl_read32(data + 4);
        crc = BYTE[7][a & 255u] ^ BYTE[6][a >> 8 & 255u] ^ BYTE[5][a >> 16 & 255u] ^ BYTE[4][a >> 24] ^
              BYTE[3][b & 255u] ^ BYTE[2][b >> 8 & 255u] ^ BYTE[1][b >> 16 & 255u] ^ BYTE[0][b >> 24];
    }
    for (; size > 0; data++, size--) crc = crc >> 8 ^ BYTE[0][(crc ^ *data) & 255u];
    return crc;
}

#if defined(__x86_64__)
/* A step waits 3 cycles for the one before: 8 bytes in 3 cycles are a percent of the time that decoding them takes. */
__attribute__((target("sse4.2"))) static uint32_t add_sse42(uint32_t crc, const uint8_t *data, size_t size) {
    uint64_t sum = crc, word;
    for (; size >= 8u; data += 8, size -= 8u) {
        fl_copy(&word, data, 8);
        sum = __builtin_ia32_crc32di(sum, word);
    }
    crc = (uint32_t)sum;
    for (; size > 0; data++, size--) crc = __builtin_ia32_crc32qi(crc, *data);
    return crc;
}
#endif

uint32_t fl_crc32c(const uint8_t *data, size_t size) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~add_sse42(~0u, data, size);
#endif
    return ~add_portable(~0u, data, size);
}
