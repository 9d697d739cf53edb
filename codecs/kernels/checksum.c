/* Checksums: CRC-32C over heads, CRC-16 over segments (SPEC 2.6, 2.7). */
#include "internal.h"

/* Nibble tables: small enough to sit in L1 beside a tile; heads are kilobytes and segments are decoded right after, so
 * that checksums are under 5 % of the time. */
static const uint32_t CRC32C[16] = {0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u, 0x417b1dbcu, 0x5125dad3u,
                                    0x61c69362u, 0x7198540du, 0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
                                    0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u};

uint32_t fl_crc32c(const uint8_t *data, size_t size) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        crc = (crc >> 4) ^ CRC32C[crc & 15u];
        crc = (crc >> 4) ^ CRC32C[crc & 15u];
    }
    return ~crc;
}

static const uint16_t CRC16[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
                                   0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};

/* CRC-16/IBM-3740: polynomial 0x1021, initial value 0xffff, not reflected. It detects every burst of up to 16 bits. */
uint32_t fl_crc16(const uint8_t *data, size_t size) {
    uint32_t crc = 0xffffu;
    for (size_t i = 0; i < size; i++) {
        crc = ((crc << 4) & 0xffffu) ^ CRC16[(crc >> 12) ^ (uint32_t)(data[i] >> 4)];
        crc = ((crc << 4) & 0xffffu) ^ CRC16[(crc >> 12) ^ (uint32_t)(data[i] & 15u)];
    }
    return crc;
}
