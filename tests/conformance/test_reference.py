"""A second decoder of tiles, written from SPEC.md alone, gives the same coefficients as the kernels.

It has sections 3.5 to 3.7, and reads its tables from the text. Slow and plain on purpose: whoever has a question to the
SPEC finds the answer here.
"""

import re
from collections.abc import Iterator
from math import exp, floor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firstlight import codecs
from firstlight.codecs import _native
from support.pictures import picture

SPEC = (Path(__file__).resolve().parents[2] / "codecs" / "SPEC.md").read_text()


def table(number: int) -> list[list[int]]:
    text = re.split(rf"^Table {number},.*$", SPEC, flags=re.M)[1].split("Table")[0]
    return [[int(n) for n in line.split()] for line in text.strip().splitlines()]


TABLES = table(1), table(2), table(3)
PRIOR = [n for row in table(4) for n in row]
ENTRIES, INDEX_BITS = (16, 16, 9), (5, 4, 4)
RATE = [1, 2, 2, *[3] * 4, *[4] * 8, *[5] * 17, 6]
WEIGHTS = ((2, 4, 2, 1, 2, 2, 3), (4, 2, 2, 2, 1, 3, 3), (2, 3, 2, 1, 1, 4, 4))
SIBLINGS = ((1, 2), (0, 2), (0, 1))


class Model:
    def __init__(self, zero: int = 16384, updates: int = 0) -> None:
        self.zero, self.updates = zero, updates


class RangeDecoder:
    def __init__(self, data: bytes) -> None:
        self.data = iter(data)
        self.range, self.code = 2**32 - 1, 0
        for _ in range(4):
            self.code = self.code << 8 | next(self.data, 0)

    def bit(self, model: Model) -> int:
        bound = (self.range >> 15) * model.zero
        bit = int(self.code >= bound)
        self.range, self.code = (self.range - bound, self.code - bound) if bit else (bound, self.code)
        rate = RATE[model.updates]
        model.updates = min(model.updates + 1, 32)
        model.zero += -(model.zero >> rate) if bit else (32768 - model.zero) >> rate
        while self.range < 1 << 24:
            self.range <<= 8
            self.code = self.code << 8 | next(self.data, 0)
        return bit

    def number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = value << 1 | self.bit(Model())
        return value


def low_bits(data: bytes) -> Iterator[int]:
    for byte in data:
        yield from (byte >> i & 1 for i in range(8))
    while True:
        yield 0


class Rans:
    def __init__(self, data: bytes, lanes: int) -> None:
        bits, used = low_bits(data), 0

        def number(n: int) -> int:
            nonlocal used
            used += n
            return sum(next(bits) << i for i in range(n))

        self.state = []
        for _ in range(lanes):
            e = number(4)
            self.state.append(number(15 + e) + (1 << (15 + e)) if e else number(16))
        rest = data[(used + 7) // 8 :]
        self.words = iter(np.frombuffer(rest, "<u2").tolist())

    def bit(self, lane: int, zero: int) -> int:
        x = self.state[lane]
        low, t = x % 4096, zero * (x // 4096)
        bit = int(low >= zero)
        x = x - t - zero if bit else t + low
        if x < 1 << 15:
            word = next(self.words, None)
            x = x if word is None else x << 16 | word
        self.state[lane] = x
        return bit


class Tile:
    def __init__(self, shapes: list[tuple[int, int]]) -> None:
        self.k = [np.zeros(shape, np.int64) for shape in shapes]  # in units of the plane coded last
        self.sign = [np.zeros(shape, np.int64) for shape in shapes]
        self.active = [np.full((-(-h // 8), -(-w // 32)), -1) for h, w in shapes]  # the plane since when, or -1
        self.block = [[Model(zero, 3) for zero in (29568, 21568, 14368, 8768, 5568)] for _ in shapes]
        self.models = [[Model(8 * zero, 7) for zero in PRIOR] for _ in shapes]
        self.raw, self.same = [Model(), Model()], [Model() for _ in range(3)]
        self.explicit = [Model(30000, 3) for _ in range(3)]
        self.last: list[list[int] | None] = [None] * 3
        self.planes = 0

    def at(self, band: int, y: int, x: int, values: list[NDArray[np.int64]]) -> int:
        h, w = values[band].shape
        return int(values[band][y, x]) if 0 <= y < h and 0 <= x < w else 0

    def flags(self, coder: RangeDecoder, b: int, plane: int) -> None:
        active = self.active[b]
        padded = np.pad(active, 1, constant_values=-1)
        for y, x in np.ndindex(active.shape):
            if active[y, x] < 0:
                near = [padded[y, x + 1], padded[y + 2, x + 1], padded[y + 1, x], padded[y + 1, x + 2]]
                if coder.bit(self.block[b][sum(int(n >= 0) for n in near)]):
                    active[y, x] = padded[y + 1, x + 1] = plane

    def bit_context(self, b: int, y: int, x: int) -> int:
        def s(dy: int, dx: int, band: int = b) -> int:
            return int(self.at(band, y + dy, x + dx, self.k) >= 1)

        def g(dy: int, dx: int, band: int = b) -> int:
            return int(self.at(band, y + dy, x + dx, self.k) >= 2)

        first, second = SIBLINGS[b]
        k = int(self.k[b][y, x])
        if k == 0:
            w1, w2, w3, w4, w5, wa, wb = WEIGHTS[b]
            total = w1 * (s(0, -1) + s(0, 1)) + w2 * (s(-1, 0) + s(1, 0))
            total += w3 * (s(-1, -1) + s(-1, 1) + s(1, -1) + s(1, 1)) + w4 * (s(0, -2) + s(0, 2))
            total += w5 * (s(-2, 0) + s(2, 0)) + wa * s(0, 0, first) + wb * s(0, 0, second)
            return min(15, (total + 1) >> 1)
        r = 2 * (g(0, -1) + g(0, 1) + g(-1, 0) + g(1, 0)) + g(0, 0, first) + g(0, 0, second)
        return 16 + ((r + 1) >> 1) if k == 1 else (24 if k < 4 else 28) + min(3, (r + 2) >> 2)

    def sign_context(self, b: int, y: int, x: int) -> int:
        def clip(n: int) -> int:
            return max(-1, min(1, n))

        h = clip(self.at(b, y, x - 1, self.sign) + self.at(b, y, x + 1, self.sign))
        v = clip(self.at(b, y - 1, x, self.sign) + self.at(b, y + 1, x, self.sign))
        return 32 + 3 * (h + 1) + v + 1

    def plane(self, b: int, plane: int, bit: object, sign: object) -> None:
        """bit(column, context) and sign(number in the row, context) decode one symbol."""
        height, width = self.k[b].shape
        for y in range(height):
            columns = [x for x in range(width) if self.active[b][y // 8, x // 32] >= plane]
            bits = {x: bit(x, self.bit_context(b, y, x)) for x in columns}  # type: ignore[operator]
            fresh = [x for x in columns if bits[x] and self.k[b][y, x] == 0]
            signs = [1 - 2 * sign(i, self.sign_context(b, y, x)) for i, x in enumerate(fresh)]  # type: ignore[operator]
            for x in columns:
                self.k[b][y, x] = 2 * self.k[b][y, x] + bits[x]
            for x, value in zip(fresh, signs, strict=True):
                self.sign[b][y, x] = value

    def table(self, coder: RangeDecoder, kind: int) -> list[int]:
        if self.last[kind] is None or not coder.bit(self.same[kind]):
            if coder.bit(self.explicit[kind]):
                numbers = [coder.number(8) for _ in range(ENTRIES[kind])]
                curve = [floor(4096 / (1 + exp((128 - v) / 15)) + 0.5) for v in numbers]
                self.last[kind] = [max(1, min(4095, zero)) for zero in curve]
            else:
                self.last[kind] = TABLES[kind][coder.number(INDEX_BITS[kind])]
        found = self.last[kind]
        assert found is not None
        return found

    def layer_adaptive(self, data: bytes, planes: range) -> None:
        coder = RangeDecoder(data)
        for p in planes:
            for b in range(3):
                self.flags(coder, b, p)
                models = self.models[b]
                self.plane(b, p, lambda _, c, m=models: coder.bit(m[c]), lambda _, c, m=models: coder.bit(m[c]))

    def layer_static(self, data: bytes, planes: range) -> None:
        def varint(at: int) -> tuple[int, int]:
            value, shift = 0, 0
            while True:
                value |= (data[at] & 127) << shift
                shift, at = shift + 7, at + 1
                if data[at - 1] < 128:
                    return value, at

        head, at = varint(0)
        raw_size, at = varint(at) if head & 4 else (0, at)
        side = data[at : at + (head >> 3)]
        raw = low_bits(data[at + len(side) : at + len(side) + raw_size])
        lanes = (0, 8, 16, 32)[head & 3]
        rans = Rans(data[at + len(side) + raw_size :], lanes)

        coder, choices = RangeDecoder(side), {}
        for p in planes:
            for b in range(3):
                refined = bool((self.active[b] >= 0).any())
                self.flags(coder, b, p)
                if not (self.active[b] >= 0).any():
                    continue
                zero: list[int] | None = None
                if not coder.bit(self.raw[0]):
                    zero = self.table(coder, 0) + (self.table(coder, 1) if refined else [])
                signs = None if coder.bit(self.raw[1]) else self.table(coder, 2)
                choices[p, b] = zero, signs
        for (p, b), (zero, signs) in choices.items():
            self.plane(
                b,
                p,
                lambda x, c, z=zero: next(raw) if z is None else rans.bit(x % lanes, z[c]),
                lambda i, c, z=signs: next(raw) if z is None else rans.bit(i % lanes, z[c - 32]),
            )


def decode(index: codecs.Index, level: int, tile_y: int, tile_x: int, layers: list[bytes]) -> NDArray[np.int64]:
    """Tile coefficients of component 0, as the kernels give them."""
    at = index.levels[level]
    side = at.tile // 2
    low = [min(side, -(-n // 2) - side * t) for n, t in ((at.height, tile_y), (at.width, tile_x))]
    high = [max(0, min(side, n // 2 - side * t)) for n, t in ((at.height, tile_y), (at.width, tile_x))]
    tile = Tile([(low[0], high[1]), (high[0], low[1]), (high[0], high[1])])
    cuts = np.frombuffer(index.raw, np.uint32)[-4 * 13 * 4 :].reshape(4, 13, 4)[0, level]
    adaptive, lowest = 0, 22
    for n, segment in enumerate(layers):
        above, lowest = lowest, int(cuts[n])
        if not segment:
            continue
        data = segment[:-2]
        if tile.planes == 0:
            adaptive, tile.planes, data = data[0] >> 7, data[0] & 127, data[1:]
        planes = range(min(tile.planes, above) - 1, lowest - 1, -1)
        (tile.layer_adaptive if adaptive else tile.layer_static)(data, planes)
    half = (1 << lowest) >> 1
    values = [np.where(k > 0, sign * ((k << lowest) + half), 0) for k, sign in zip(tile.k, tile.sign, strict=True)]
    return np.concatenate([value.ravel() for value in values])


@pytest.mark.parametrize(
    ("kind", "shape", "dtype"),
    [
        ("smooth", (150, 141), "uint8"),
        ("noise", (139, 140), "int16"),
        ("sparse", (300, 133), "uint8"),
        ("steps", (40, 50), "uint16"),
    ],
)
def test_reference_decodes_the_same(kind: str, shape: tuple[int, int], dtype: str) -> None:
    shard = codecs.encode(picture(kind, shape, dtype, 11), threads=1)
    index = codecs.Index.parse(shard)
    for level, at in enumerate(index.levels[:-1]):
        for y, x in np.ndindex(at.tiles_y, at.tiles_x):
            numbers = [index.segment(level, layer, y, x, 0) for layer in range(at.layers)]
            segments = [shard[index.offsets[s] : index.offsets[s + 1]] for s in numbers]
            for layers in range(at.layers + 1):
                coefs = np.empty(_native.tile_size(index.raw, level, x, y), np.int32)
                _native.decode_tile(index.raw, 0, level, x, y, segments[:layers], coefs)
                assert np.array_equal(decode(index, level, y, x, segments[:layers]), coefs), (level, y, x, layers)
