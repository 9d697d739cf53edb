"""The failures that a caller may expect, each of which says in one line what was wrong with what.

`FirstlightError` is the root of those that are not about a shard's bytes; `CodecError` (and below it
`InsufficientData`, `CorruptData`, `InvalidArgument`, `UnsupportedFormat`) of those that are. Anything else that comes
out of firstlight is a defect in it.
"""

from firstlight.codecs.errors import CodecError, CorruptData, InsufficientData, InvalidArgument, UnsupportedFormat

__all__ = [
    "CodecError",
    "CorruptData",
    "FirstlightError",
    "InsufficientData",
    "InvalidArgument",
    "NotFound",
    "ObjectReplaced",
    "StoreError",
    "TargetError",
    "UnsupportedFormat",
]


class FirstlightError(Exception):
    """Something outside the bytes of a shard is not as it has to be: a file, a server, an argument."""


class StoreError(FirstlightError):
    """A store did not give the bytes that were asked for. The message names the object by its URL or path."""


class NotFound(StoreError):
    """The store answered, and has no such object."""


class ObjectReplaced(StoreError):
    """The object is no longer the one whose first bytes were read (its ETag has changed): open the image again."""


class TargetError(FirstlightError):
    """An image can't be written where it should be: it exists, no permission, no space."""
