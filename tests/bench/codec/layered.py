"""OpenJPEG's reversible 5/3 stream in quality layers, and how many bytes each layer takes.

imagecodecs writes one layer only; Pillow uses the same library and writes many. Packet lengths come from the PLT
markers (ISO/IEC 15444-1 A.7.3), which are not counted: a reader does not need them.
"""

import io
import struct
from collections.abc import Sequence

import numpy as np
from PIL import Image

from .peers import unsigned
from .planes import Plane, Samples

_SOC, _COD, _PLT, _SOT, _SOD = 0xFF4F, 0xFF52, 0xFF58, 0xFF90, 0xFF93
_EOC_BYTES = 2


class Layered:
    """One plane, coded with a layer for each of `rates` and a last one that makes it exact.

    Attributes
    ----------
    sizes : list of int
        ``sizes[n]``: bytes of a stream that ends after layer n.
    """

    def __init__(self, plane: Plane, rates: Sequence[float]) -> None:
        self._dtype = plane.samples.dtype
        buffer = io.BytesIO()
        Image.fromarray(unsigned(plane.samples)).save(
            buffer,
            "JPEG2000",
            no_jp2=True,
            irreversible=False,
            mct=int(plane.rgb),
            progression="LRCP",
            quality_mode="rates",
            quality_layers=[*(plane.bits / rate for rate in rates), 1],
            plt=True,
        )
        self._data = buffer.getvalue()
        self.sizes = _layer_sizes(self._data)
        if len(self.sizes) != len(rates) + 1:
            raise ValueError(f"{plane.name}: {len(rates) + 1} layers asked for, the stream has {len(self.sizes)}")

    def decode(self, layer: int) -> Samples:
        """The picture that layers 0 to `layer` give, in the plane's dtype."""
        with Image.open(io.BytesIO(self._data)) as image:
            # The plugin takes its own attribute `layers` too late: it belongs to the arguments of the tile.
            tile = image.tile[0]
            assert isinstance(tile.args, tuple)
            codec, reduce, _, *rest = tile.args
            image.tile = [tile._replace(args=(codec, reduce, layer + 1, *rest))]
            decoded = np.asarray(image)
        low = np.iinfo(self._dtype).min
        return (decoded.astype(np.int32) + low).astype(self._dtype)


def _layer_sizes(data: bytes) -> list[int]:
    """Bytes up to the end of each layer, of a stream of one tile in the order LRCP, without its PLT markers."""
    at, levels, layers, components, plt_bytes = 2, 0, 0, 0, 0
    lengths: list[int] = []
    if data[:2] != _SOC.to_bytes(2):
        raise ValueError(f"no JPEG 2000 codestream: it begins with {data[:2].hex()}")
    while True:
        marker, size = struct.unpack_from(">HH", data, at)
        if marker == _SOD:
            break
        body = data[at + 4 : at + 2 + size]
        if marker == 0xFF51:  # SIZ
            components = int.from_bytes(body[34:36])
        elif marker == _COD:
            layers, levels = int.from_bytes(body[2:4]), body[5]
        elif marker == _PLT:
            plt_bytes += size + 2
            lengths += _numbers(body[1:])
        elif marker == _SOT and (body[6] or body[7] > 1):
            raise ValueError("JPEG 2000 stream: expected one tile-part")
        at += 2 + size
    each = (levels + 1) * components
    if len(lengths) != layers * each:
        raise ValueError(f"JPEG 2000 stream: {len(lengths)} packets, expected {layers} layers x {each}")
    head = at + 2 - plt_bytes
    return [head + sum(lengths[: (n + 1) * each]) + _EOC_BYTES for n in range(layers)]


def _numbers(packed: bytes) -> list[int]:
    """Packet lengths: seven bits a byte, most significant first, the top bit set in all but the last."""
    numbers, number = [], 0
    for byte in packed:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    return numbers
