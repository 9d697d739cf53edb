/* The range-coded part of a head (index.c) as head.c sees it. */
#ifndef FL_INDEX_H
#define FL_INDEX_H

#include "internal.h"

/* Codes of the tables of errors are below this (SPEC 2.4). */
#define FL_INDEX_CODES 400u
/* So that 13 levels of errors still sum up in 31 bits. */
#define FL_MAX_ERROR (1u << 27)

/* Segments that a byte of the index may announce: an index of `size` bytes earns 64 x size segments (SPEC 2.6). */
#define FL_SEGMENTS_A_BYTE 64u

/* Read the levels' tables of errors and lengths[info->segments] from the parts of a head. */
fl_status fl_index_read(const uint8_t *head, fl_info *info, uint32_t *lengths);

/* The fewest bytes that the index of a group may take. */
static inline size_t fl_index_least(const fl_info *info, uint32_t group) {
    return ((size_t)fl_group_segments(info, group) + FL_SEGMENTS_A_BYTE - 1u) / FL_SEGMENTS_A_BYTE;
}

/* Write the index, without checksums; ends[g]: where the part of each group ends; it may be shorter
 * than fl_index_least, then zeros are to follow. FL_NO_SPACE when it does not fit,
 * FL_INVALID for errors that grow from layer to layer, and for lengths of 2^31 or more. */
fl_status fl_index_write(const fl_info *info, const uint32_t *lengths, uint8_t *out, size_t capacity, size_t *ends);

/* Bytes of the checksum at the end of each part. */
#define FL_CHECKSUM_BYTES 4u

#endif
