"""The other codecs, lossless and on one thread, behind one interface.

A peer that can't take a kind of samples gets the nearest that holds the same information, where there is one: signed
samples moved to unsigned, grey as three equal components. `Peer.given` says what it gets; None where there is nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import imagecodecs
import numpy as np

from firstlight import codecs

from .planes import Samples


@dataclass(frozen=True)
class Peer:
    """A lossless codec.

    Attributes
    ----------
    name, library : str
        `library` is its key in `versions`.
    encode : samples -> bytes
    decode : bytes -> samples, or their bytes
    signed, sixteen, grey : bool
        Whether it takes signed samples, 16 bits, one component.
    """

    name: str
    library: str
    encode: Callable[[Samples], bytes]
    decode: Callable[[bytes], Any]
    signed: bool = False
    sixteen: bool = True
    grey: bool = True

    def given(self, samples: Samples) -> Samples | None:
        """What the peer encodes for `samples`; None when it can't hold them."""
        if samples.itemsize > 1 and not self.sixteen:
            return None
        if not self.signed:
            samples = unsigned(samples)
        if samples.ndim == 2 and not self.grey:
            samples = np.repeat(samples[..., None], 3, axis=2)
        return samples


def unsigned(samples: Samples) -> Samples:
    """Signed samples as unsigned ones, the lowest as 0; others as they are."""
    if samples.dtype.kind == "u":
        return samples
    low = np.iinfo(samples.dtype).min
    return (samples.astype(np.int32) - low).astype(f"u{samples.itemsize}")


def buffer(samples: Samples) -> bytes:
    """The array itself: imagecodecs takes any buffer, and the size of its items, whatever its signatures say."""
    return cast(bytes, samples)


def _jpeg_xl(effort: int) -> Peer:
    return Peer(
        f"JPEG XL e{effort}",
        "libjxl",
        lambda samples: bytes(imagecodecs.jpegxl_encode(samples, lossless=True, effort=effort, numthreads=1)),
        lambda data: imagecodecs.jpegxl_decode(data, numthreads=1),
    )


FIRSTLIGHT = Peer(
    "firstlight",
    "firstlight",
    lambda samples: codecs.encode(samples, threads=1),
    lambda data: codecs.decode(data, threads=1),
    signed=True,
)
OPENJPEG = Peer(
    "OpenJPEG",
    "openjpeg",
    lambda samples: bytes(imagecodecs.jpeg2k_encode(samples, codecformat="j2k", reversible=True, numthreads=1)),
    lambda data: imagecodecs.jpeg2k_decode(data, numthreads=1),
    signed=True,
)
OPENJPH = Peer(
    "OpenJPH",
    "openjph",
    lambda samples: bytes(imagecodecs.htj2k_encode(samples, reversible=True)),
    imagecodecs.htj2k_decode,
    signed=True,
)
PEERS = (
    FIRSTLIGHT,
    OPENJPEG,
    OPENJPH,
    _jpeg_xl(1),
    _jpeg_xl(3),
    _jpeg_xl(7),
    Peer(
        "WebP",
        "libwebp",
        lambda samples: bytes(imagecodecs.webp_encode(samples, lossless=True, numthreads=1)),
        imagecodecs.webp_decode,
        sixteen=False,
        grey=False,
    ),
    Peer("PNG", "libpng", lambda samples: bytes(imagecodecs.png_encode(samples)), imagecodecs.png_decode),
    Peer("JPEG-LS", "charls", lambda samples: bytes(imagecodecs.jpegls_encode(samples)), imagecodecs.jpegls_decode),
    Peer(
        "Blosc2 zstd",
        "c-blosc2",
        lambda samples: bytes(
            imagecodecs.blosc2_encode(buffer(samples), compressor="zstd", shuffle="bitshuffle", numthreads=1)
        ),
        lambda data: imagecodecs.blosc2_decode(data, numthreads=1),
        signed=True,
    ),
)


def versions() -> dict[str, str]:
    """Versions of the peers' libraries, as imagecodecs and Pillow were built with them."""
    from PIL import features

    built = imagecodecs.version(dict)
    names = sorted({peer.library for peer in PEERS if peer.library in built})
    pillow = {f"pillow {name}": str(features.version(name)) for name in ("jpg_2000", "libjpeg_turbo")}
    return {"imagecodecs": imagecodecs.__version__, **{name: str(built[name]) for name in names}, **pillow}
