"""A second decoder of tiles, written from SPEC.md alone, gives the same coefficients as the kernels.

It has sections 3.5 to 3.7, and reads its tables from the text. Slow and plain on purpose: whoever has a question to the
SPEC finds the answer here.
"""

import re
from collections.abc import Callable, Iterator
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
    """One sequence in several pieces; `position` is where the reading stands in the last of them."""

    def __init__(self, data: bytes) -> None:
        self.go_on(data)
        self.range, self.code = 2**32 - 1, 0
        for _ in range(4):
            self.code = self.code << 8 | self.byte()

    def go_on(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def byte(self) -> int:
        self.position += 1
        return self.data[self.position - 1] if self.position <= len(self.data) else 0

    def bit(self, model: Model) -> int:
        bound = (self.range >> 15) * model.zero
        bit = int(self.code >= bound)
        self.range, self.code = (self.range - bound, self.code - bound) if bit else (bound, self.code)
        rate = RATE[model.updates]
        model.updates = min(model.updates + 1, 32)
        model.zero += -(model.zero >> rate) if bit else (32768 - model.zero) >> rate
        while self.range < 1 << 24:
            self.range <<= 8
            self.code = self.code << 8 | self.byte()
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
    def __init__(self) -> None:
        self.state: list[int] = []
        self.words: Iterator[int] = iter(())
        self.left = 0

    def go_on(self, data: bytes, lanes: int, raw_size: int) -> bytes:
        """Take up a layer's states, raw bits and words; returns the raw bits."""
        bits, used = low_bits(data), 0

        def number(n: int) -> int:
            nonlocal used
            used += n
            if used > 8 * len(data):
                raise EOFError
            return sum(next(bits) << i for i in range(n))

        states: list[int] = []
        while len(self.state) + len(states) < lanes:
            e = number(4)
            states.append(number(15 + e) + (1 << (15 + e)) if e else number(16))
        rest = data[(used + 7) // 8 :]
        if raw_size > len(rest):
            raise EOFError
        self.state += states
        words = rest[raw_size:]
        self.words, self.left = iter(np.frombuffer(words[: len(words) // 2 * 2], "<u2").tolist()), len(words) // 2
        return rest[:raw_size]

    def ran_short(self) -> bool:
        return self.left == 0 and min(self.state, default=1 << 15) < 1 << 15

    def bit(self, lane: int, zero: int) -> int:
        x = self.state[lane]
        low, t = x % 4096, zero * (x // 4096)
        bit = int(low >= zero)
        x = x - t - zero if bit else t + low
        if x < 1 << 15:
            word = next(self.words, None)
            if word is not None:
                x, self.left = x << 16 | word, self.left - 1
        self.state[lane] = x
        return bit


class Component:
    def __init__(self, shapes: list[tuple[int, int]], planes: int) -> None:
        self.k = [np.zeros(shape, np.int64) for shape in shapes]  # in units of the plane coded last of the band
        self.sign = [np.zeros(shape, np.int64) for shape in shapes]
        self.active = [np.full((-(-h // 8), -(-w // 32)), -1) for h, w in shapes]  # the plane since when, or -1
        self.block = [[Model(zero, 3) for zero in (29568, 21568, 14368, 8768, 5568)] for _ in shapes]
        self.models = [[Model(8 * zero, 7) for zero in PRIOR] for _ in shapes]
        self.raw, self.same = [Model(), Model()], [Model() for _ in range(3)]
        self.explicit = [Model(30000, 3) for _ in range(3)]
        self.last: list[list[int] | None] = [None] * 3
        self.planes, self.passes = planes, 0

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

    def next_passes(self, count: int) -> list[tuple["Component", int, int]]:
        return [(self, self.planes - 1 - s // 3, s % 3) for s in range(self.passes, self.passes + count)]

    def adaptive_pass(self, coder: RangeDecoder, plane: int, b: int) -> None:
        models = self.models[b]
        self.flags(coder, b, plane)
        self.plane(
            b, plane, lambda _, context: coder.bit(models[context]), lambda _, context: coder.bit(models[context])
        )

    def choice(self, coder: RangeDecoder, plane: int, b: int) -> tuple[list[int] | None, list[int] | None] | None:
        """Tables of bits and of signs, None where they are raw; None if nothing of the pass is coded."""
        refined = bool((self.active[b] >= 0).any())
        self.flags(coder, b, plane)
        if not (self.active[b] >= 0).any():
            return None
        zero: list[int] | None = None
        if not coder.bit(self.raw[0]):
            zero = self.table(coder, 0) + (self.table(coder, 1) if refined else [])
        return zero, None if coder.bit(self.raw[1]) else self.table(coder, 2)

    def values(self) -> list[NDArray[np.int64]]:
        """Reconstruction points of the bands."""
        found = []
        for b, (k, sign) in enumerate(zip(self.k, self.sign, strict=True)):
            low = self.planes - (self.passes + 2 - b) // 3
            more = np.choose(np.minimum(k, 2), [0, (7 << low) >> 4, (31 << low) >> 6])
            found.append(sign * ((k << low) + more))
        return found


PassDecoder = Callable[[Component, int, int], None]


class Tile:
    def __init__(self, shapes: list[tuple[int, int]], components: int, is_base: bool) -> None:
        self.shapes, self.is_base = shapes, is_base
        self.components = [Component(shapes, 0) for _ in range(components)]
        self.coder: RangeDecoder | None = None
        self.rans, self.is_static, self.lanes = Rans(), 0, 0
        self.static, self.more = Model(), [[Model() for _ in range(8)] for _ in range(2)]

    def layer(self, segment: bytes, whole: bool = True) -> None:
        """Add a layer; or of the beginning of a segment what can be used of it."""
        if not segment:
            return
        data = segment[: -1 if len(segment) < 64 else -2] if whole else segment
        if self.coder is None:
            self.coder = coder = RangeDecoder(data)
            self.components = [Component(self.shapes, coder.number(5)) for _ in self.components]
        else:
            coder = self.coder
            coder.go_on(data)
        if self.is_base:
            counts = [3 * component.planes for component in self.components]
        else:
            self.is_static = self.is_static or coder.bit(self.static)
            counts = [self.count(component, self.more[c > 0]) for c, component in enumerate(self.components)]
        if not whole and coder.position >= len(data):
            return
        passes = [p for c, count in zip(self.components, counts, strict=True) for p in c.next_passes(count)]
        decode_pass = self.static_layer(coder, passes, whole) if self.is_static else self.adaptive_layer(coder)
        if not whole and self.is_static and coder.position >= len(data):
            return
        for component, plane, b in passes:
            before = component.k[b].copy(), component.sign[b].copy()
            decode_pass(component, plane, b)
            if not whole and (self.rans.ran_short() if self.is_static else coder.position >= len(data)):
                component.k[b], component.sign[b] = before
                return
            component.passes += 1
        if whole:
            assert next(self.rans.words, None) is None
            assert self.is_static or coder.position >= len(data)

    def count(self, component: Component, models: list[Model]) -> int:
        assert self.coder is not None
        count, left = 0, 3 * component.planes - component.passes
        while count < left and self.coder.bit(models[min(count, 7)]):
            count += 1
        return count

    def adaptive_layer(self, coder: RangeDecoder) -> PassDecoder:
        return lambda component, plane, b: component.adaptive_pass(coder, plane, b)

    def static_layer(self, coder: RangeDecoder, passes: list[tuple[Component, int, int]], whole: bool) -> PassDecoder:
        code = coder.number(3)
        lanes = 4 << code if code else 0
        choices = {(id(c), plane, b): c.choice(coder, plane, b) for c, plane, b in passes}
        raw_size = 0
        if any(choice is not None and None in choice for choice in choices.values()):
            bits = coder.number(5)
            raw_size = 1 << (bits - 1) | coder.number(bits - 1) if bits else 0
        try:
            raw = low_bits(self.rans.go_on(coder.data[coder.position :], lanes, raw_size))
        except EOFError:
            assert not whole
            passes.clear()

        def decode_pass(component: Component, plane: int, b: int) -> None:
            choice = choices[id(component), plane, b]
            if choice is not None:
                zero, signs = choice
                component.plane(
                    b,
                    plane,
                    lambda x, c: next(raw) if zero is None else self.rans.bit(x % lanes, zero[c]),
                    lambda i, c: next(raw) if signs is None else self.rans.bit(i % lanes, signs[c - 32]),
                )

        return decode_pass


def undo_prediction(differences: NDArray[np.int64]) -> NDArray[np.int64]:
    values = np.zeros_like(differences)
    for y, x in np.ndindex(differences.shape):
        a, b = int(values[y, x - 1]), int(values[y - 1, x])
        c = int(values[y - 1, x - 1])
        if x == 0 or y == 0:
            prediction = 0 if x == y else a if y == 0 else b
        elif c >= max(a, b):
            prediction = min(a, b)
        else:
            prediction = max(a, b) if c <= min(a, b) else a + b - c
        values[y, x] = differences[y, x] + prediction
    return values


def decode(
    index: codecs.Index, level: int, tile_y: int, tile_x: int, layers: list[bytes], beginning: bytes = b""
) -> NDArray[np.int64]:
    """Tile coefficients of all components, as the kernels give them; `beginning`: of the next layer's segment."""
    at = index.levels[level]
    is_base = level == len(index.levels) - 1
    if is_base:
        shapes = [(0, 0), (0, 0), (at.height, at.width)]
    else:
        side = at.tile // 2
        low = [min(side, -(-n // 2) - side * t) for n, t in ((at.height, tile_y), (at.width, tile_x))]
        high = [max(0, min(side, n // 2 - side * t)) for n, t in ((at.height, tile_y), (at.width, tile_x))]
        shapes = [(low[0], high[1]), (high[0], low[1]), (high[0], high[1])]
    tile = Tile(shapes, index.components, is_base)
    for segment in layers:
        tile.layer(segment)
    tile.layer(beginning, whole=False)
    bands = [band for component in tile.components for band in component.values()]
    return np.concatenate([(undo_prediction(band) if is_base else band).ravel() for band in bands])


def decode_natively(
    shard: bytes, index: codecs.Index, level: int, tile: int, layers: int, beginning: int = 0
) -> NDArray[np.int64]:
    segments = len(index.offsets) - 1
    found = _native.decode_tiles(
        index.raw,
        np.array([[level, tile, layers, beginning]], np.uint32),
        np.asarray(index.offsets, np.uint32),
        np.zeros(segments, np.int32),
        np.asarray(index.offsets[:-1], np.uint32),
        [memoryview(shard)],
    )[0]
    assert found is not None
    return np.asarray(memoryview(found)).view(np.int32 if found.wide else np.int16).astype(np.int64)


PICTURES = [
    ("smooth", (150, 141), "uint8"),
    ("noise", (139, 140), "int16"),
    ("sparse", (300, 133), "uint8"),
    ("steps", (40, 50), "uint16"),
    ("smooth", (131, 70, 3), "uint8"),
    ("noise", (40, 33, 3), "uint16"),
]


@pytest.mark.parametrize(("kind", "shape", "dtype"), PICTURES)
def test_reference_decodes_the_same(kind: str, shape: tuple[int, ...], dtype: str) -> None:
    shard = codecs.encode(picture(kind, shape, dtype, 11), threads=1)
    index = codecs.Index.parse(shard)
    for level, at in enumerate(index.levels):
        for y, x in np.ndindex(at.tiles_y, at.tiles_x):
            numbers = [index.segment(level, layer, y, x) for layer in range(at.layers)]
            segments = [shard[index.offsets[s] : index.offsets[s + 1]] for s in numbers]
            tile = y * at.tiles_x + x
            for layers in {0, 1, at.layers // 2, at.layers}:
                coefs = decode_natively(shard, index, level, tile, layers)
                assert np.array_equal(decode(index, level, y, x, segments[:layers]), coefs), (level, y, x, layers)
            # Beginnings of the largest segment.
            layers = max(range(at.layers), key=lambda n: len(segments[n]))
            length = len(segments[layers])
            for beginning in {1, 5, length // 3, length * 3 // 4, length - 1} & set(range(1, length)):
                if level == len(index.levels) - 1:
                    continue
                coefs = decode_natively(shard, index, level, tile, layers, beginning)
                found = decode(index, level, y, x, segments[:layers], segments[layers][:beginning])
                assert np.array_equal(found, coefs), (level, y, x, layers, beginning)
