"""Samples to bytes and back: shards, their index, and the segment codecs. No files, no network.

>>> import numpy as np
>>> from firstlight import codecs
>>> picture = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
>>> shard = codecs.encode(picture)
>>> bool((codecs.decode(shard) == picture).all()), codecs.decode(shard, level=1).shape
(True, (32, 32))
"""

from .errors import CodecError, CorruptData, InsufficientData, InvalidArgument, UnsupportedFormat
from .index import Index, Level, Region, SegmentId, TileRect, head_size
from .select import bound, choose_for_mse, choose_layers, exact_bound, merge_ranges, mse, segments_for, within_budget
from .shard import Decoder, decode, encode

__all__ = [
    "CodecError",
    "CorruptData",
    "Decoder",
    "Index",
    "InsufficientData",
    "InvalidArgument",
    "Level",
    "Region",
    "SegmentId",
    "TileRect",
    "UnsupportedFormat",
    "bound",
    "choose_for_mse",
    "choose_layers",
    "decode",
    "encode",
    "exact_bound",
    "head_size",
    "merge_ranges",
    "mse",
    "segments_for",
    "within_budget",
]
