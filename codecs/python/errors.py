"""The four ways in which shard bytes, or a call about them, can be wrong.

A progressive codec lives by the difference: *insufficient* data may still become a picture, *corrupt* data never will,
an *invalid* argument is the caller's, and an *unsupported* format belongs to another version of this package.
"""


class CodecError(ValueError):
    """Base of the errors that `firstlight.codecs` raises about data and arguments."""


class InsufficientData(CodecError):
    """What is there is a valid beginning, but does not yet hold what was asked for: more bytes may help."""


class CorruptData(CodecError):
    """No valid shard contains these bytes at this place."""


class InvalidArgument(CodecError):
    """The caller's arguments contradict each other, or the shard."""


class UnsupportedFormat(CodecError):
    """A later format version, or a segment codec that this build does not have."""
