"""A second decoder of shards, written from codecs/SPEC.md alone; it reads the tables of section 6 from the text.

Slow and plain on purpose: whoever has a question to the SPEC finds the answer here. It uses nothing of firstlight.
"""

import itertools
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import exp, floor
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Region = tuple[int, int, int, int]

SPEC = (Path(__file__).resolve().parents[2] / "codecs" / "SPEC.md").read_text()


class Corrupt(Exception):
    """A rule of the SPEC is broken."""


class Insufficient(Exception):
    """The bytes end before the head, or before the coarsest level."""


def check(is_sound: bool, rule: str) -> None:
    if not is_sound:
        raise Corrupt(rule)


# ---- 2.7: checksum ---------------------------------------------------------------------------------------------------


def _crc_of_byte(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


CRC_TABLE = [_crc_of_byte(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


# ---- 3.5: entropy coders ---------------------------------------------------------------------------------------------

RATE = [1, 2, 2, *[3] * 4, *[4] * 8, *[5] * 17, 6]


class Model:
    __slots__ = "updates", "zero"

    def __init__(self, zero: int = 16384, updates: int = 0) -> None:
        self.zero, self.updates = zero, updates


def models(zeros: list[int], updates: int) -> list[Model]:
    return [Model(zero, updates) for zero in zeros]


class RangeDecoder:
    """One sequence in several pieces; `position` is where the reading stands in the last of them."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0
        self.zeros = 0  # read after the end
        self.range, self.code = 2**32 - 1, 0
        for _ in range(4):
            self.code = self.code << 8 | self.byte()

    def go_on(self, data: bytes) -> int:
        """Takes up the next piece; returns how many zeros its bytes replace."""
        check(self.zeros <= 4, "more than four zeros to be replaced")
        replaced = min(self.zeros, len(data))
        for byte in data[:replaced]:
            self.zeros -= 1
            self.code += byte << 8 * self.zeros
        check(self.code < self.range, "code not below range")
        self.data, self.position = data, replaced
        return replaced

    def byte(self) -> int:
        if self.position == len(self.data):
            self.zeros += 1
            return 0
        self.position += 1
        return self.data[self.position - 1]

    @property
    def at_end(self) -> bool:
        return self.position == len(self.data)

    def bit(self, model: Model) -> int:
        zero = model.zero
        bound = (self.range >> 15) * zero
        rate = RATE[model.updates]
        model.updates = min(model.updates + 1, 32)
        if self.code < bound:
            bit, self.range = 0, bound
            model.zero += (32768 - zero) >> rate
        else:
            bit, self.range = 1, self.range - bound
            self.code -= bound
            model.zero -= zero >> rate
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
        self.words: list[int] = []  # those that are left, the next one last

    def go_on(self, data: bytes, lanes: int, raw_size: int) -> bytes:
        """Takes up a layer's S, B and W; returns B. EOFError: S or B are not whole."""
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
        self.words = np.frombuffer(words[: len(words) // 2 * 2], "<u2").tolist()[::-1]
        return rest[:raw_size]

    @property
    def ran_short(self) -> bool:
        return not self.words and min(self.state, default=1 << 15) < 1 << 15

    def bit(self, lane: int, zero: int) -> int:
        x = self.state[lane]
        low, t = x % 4096, zero * (x // 4096)
        bit = int(low >= zero)
        x = x - t - zero if bit else t + low
        if x < 1 << 15 and self.words:
            x = x << 16 | self.words.pop()
        self.state[lane] = x
        return bit


# ---- 2: the container ------------------------------------------------------------------------------------------------


class Near:
    """Models of near numbers (2.4)."""

    def __init__(self) -> None:
        self.above = models([26624] * 2, 3)
        self.up, self.down, self.second = (models([zero] * 3, 3) for zero in (22528, 18432, 20480))
        self.third = [models([16384] * 2, 3) for _ in range(3)]

    def read(self, coder: RangeDecoder, guess: int) -> int:
        guess = min(guess, 2**30 - 1)
        expected, h = guess.bit_length(), half(guess)
        if coder.bit(self.above[h]):
            size = expected + 1
            while size < 31 and coder.bit(self.up[min(size - expected - 1, 2)]):
                size += 1
        else:
            size = expected
            while size > 1 and coder.bit(self.down[min(expected - size, 2)]):
                size -= 1
        h = h if size == expected else 2
        value, left = 1, size - 1
        if left:
            value, left = 2 | coder.bit(self.second[h]), left - 1
        if left:
            value, left = value << 1 | coder.bit(self.third[h][value & 1]), left - 1
        return value << left | coder.number(left)


def half(g: int) -> int:
    return g >> (g.bit_length() - 2) & 1 if g > 1 else 0


def from_code(code: int) -> int:
    return code if code < 8 else (8 + code % 8) << (code // 8 - 1)


@dataclass
class Level:
    width: int
    height: int
    tile_log2: int
    layers: int
    codes: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))  # errors, mean squared errors
    measured: dict[int, int] = field(default_factory=dict)
    lengths: dict[tuple[int, int, int], int] = field(default_factory=dict)  # of (tile_y, tile_x, layer)
    offsets: dict[tuple[int, int, int], int] = field(default_factory=dict)

    @property
    def tiles_x(self) -> int:
        return -(-self.width >> self.tile_log2)

    @property
    def tiles_y(self) -> int:
        return -(-self.height >> self.tile_log2)

    @property
    def tiles(self) -> list[tuple[int, int]]:
        return list(np.ndindex(self.tiles_y, self.tiles_x))

    @property
    def errors(self) -> list[int]:
        return [from_code(code) for code in self.codes[0]]

    @property
    def mse(self) -> list[float]:
        return [from_code(code) / 16 for code in self.codes[1]]

    def changes(self, layer: int) -> bool:
        return any(table[layer] != table[layer + 1] for table in self.codes)


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def u8(self) -> int:
        if self.position >= len(self.data):
            raise Insufficient
        self.position += 1
        return self.data[self.position - 1]

    def varint(self) -> int:
        value = 0
        for n in range(5):
            byte = self.u8()
            value |= (byte & 127) << 7 * n
            if byte < 128:
                check(value < 2**32 and (byte > 0 or n == 0), "varint")
                return value
        raise Corrupt("varint of more than five bytes")


class Head:
    """Of the first `groups` groups of layers."""

    def __init__(self, data: bytes, groups: int = 5) -> None:
        at = Bytes(data)
        check(bytes(at.u8() for _ in range(4)) == b"FLSH", "magic")
        check((at.u8(), at.u8()) == (4, 0), "version and codec")
        self.size = at.varint()
        self.width, self.height = at.varint(), at.varint()
        check(1 <= self.width <= 65536 and 1 <= self.height <= 65536, "width and height")
        kinds, sample, tiles, layers = at.u8(), at.u8(), at.u8(), at.u8()
        self.components = 1 + kinds % 4
        self.colour, self.transform = kinds >> 2 & 3, kinds >> 4
        check(self.colour < 3 and self.transform < 3 and (not self.colour or self.components >= 3), "transforms")
        self.bits, self.signed = sample & 127, sample >> 7
        check(1 <= self.bits <= 16, "bits of a sample")
        total = (layers >> 5) + 1
        layers &= 31
        check(1 <= layers <= 24 and total <= 5, "layers and groups")
        others = [(at.u8(), at.varint()) for _ in range(total - 1)]
        firsts = [0, *(first for first, _ in others)]
        check(firsts == sorted(set(firsts)) and firsts[-1] < layers, "first layers of groups")
        sizes = [self.size - sum(size for _, size in others), *(size for _, size in others)]
        self.parts = list(itertools.accumulate(sizes))
        check(self.size <= 2**24 and min(sizes) >= 4, "sizes of parts")

        self.layers, self.known = layers, min(groups, total)
        self.firsts = firsts[: self.known]
        if len(data) < self.parts[self.known - 1]:
            raise Insufficient
        known_layers = min(layers, *firsts[self.known : self.known + 1]) if self.known < total else layers
        self.levels = self.geometry(tiles, known_layers)
        self.values = self.value_table(at)
        self.read_index(data, at.position)

    def geometry(self, tiles: int, layers: int) -> list[Level]:
        levels: list[Level] = []
        width, height, tile_log2 = self.width, self.height, 1 + tiles % 8
        while width > 4 or height > 4:
            k = len(levels)
            if 1 <= k <= 5 and tiles >> (2 + k) & 1 and tile_log2 > 1:
                tile_log2 -= 1
            levels.append(Level(width, height, tile_log2, layers))
            width, height = -(-width // 2), -(-height // 2)
        return [*levels, Level(width, height, 2, 1)]

    @property
    def margin(self) -> int:
        return (4, 7, 0)[self.transform]

    @property
    def least(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    def value_table(self, at: Bytes) -> list[int] | None:
        runs = at.varint()
        if runs == 0:
            return None
        values = [self.least + at.varint()]
        for _ in range(runs):
            gap, count = at.varint(), at.varint()
            check(gap >= 1 and count >= 1, "runs of values")
            check(values[-1] + gap * count < self.least + (1 << self.bits), "last value")
            values += range(values[-1] + gap, values[-1] + gap * count + 1, gap)
        return values

    def read_index(self, data: bytes, start: int) -> None:
        near = [{"first": Near(), "fall": Near()} for _ in range(2)]
        falls = models([9830], 3), models([20480, 656], 3)
        empty: dict[tuple[bool, str, str, str], Model] = {}
        length, measured = Near(), Near()
        is_measured = Model(24576, 3)
        coder: RangeDecoder | None = None
        position = self.size
        self.segments: list[tuple[int, int, int, int]] = []  # level, tile_y, tile_x, layer
        for group, (first, part) in enumerate(zip(self.firsts, self.parts, strict=False)):
            begin = self.parts[group - 1] if group else 0
            check(crc32c(data[begin : part - 4]).to_bytes(4, "little") == data[part - 4 : part], "checksum of the head")
            piece = data[begin if group else start : part - 4]
            if coder is None:
                coder = RangeDecoder(piece)
            else:
                coder.go_on(piece)
            before = len(self.segments)
            for k, level in reversed(list(enumerate(self.levels))):
                end = min([level.layers, *self.firsts[group + 1 : group + 2]])
                for n in range(first + 1 if group else 0, end + 1):
                    self.read_code(coder, level, n, 0, near[0], falls[0])
                for n in range(first + 1 if group else 0, end + 1):
                    self.read_code(coder, level, n, 1, near[1], falls[1])
                self.segments += [(k, y, x, n) for y, x in level.tiles for n in range(first, end)]
            self.read_measured(
                coder,
                first + 1,
                self.levels[0].layers if group + 1 == self.known else self.firsts[group + 1],
                is_measured,
                measured,
            )
            check(len(piece) >= -(-(len(self.segments) - before) // 64), "bytes of the index")
            for k, y, x, n in self.segments[before:]:
                size = self.read_length(coder, k, y, x, n, empty, length)
                self.levels[k].lengths[y, x, n], self.levels[k].offsets[y, x, n] = size, position
                position += size
            check(not any(coder.data[coder.position :]), "rest of a part")
        check(position < 2**32, "size of the shard")
        self.end = position

    def read_measured(self, coder: RangeDecoder, first: int, end: int, is_measured: Model, near: Near) -> None:
        last = len(self.levels) - 1
        for n in range(first, min(end, self.layers - 1) + 1):
            if last == 0 or not coder.bit(is_measured):
                continue
            guess = 16
            for level in reversed(self.levels[: min(3, last)]):
                guess = near.read(coder, guess)
                check(guess <= 400 and from_code(guess - 1) <= 2**27, "measured error")
                level.measured[n] = from_code(guess - 1)

    def read_code(
        self, coder: RangeDecoder, level: Level, n: int, kind: int, near: dict[str, Near], falls: list[Model]
    ) -> None:
        codes = level.codes[kind]
        if n == 0:
            codes.append(near["first"].read(coder, 64) - 1)
            check(codes[0] < 400, "code of an error")
            return
        fall = 0
        error_fall = level.codes[0][n - 1] - level.codes[0][n] if kind else 0
        if codes[-1] and coder.bit(falls[error_fall > 0]):
            earlier = [a - b for a, b in itertools.pairwise(codes) if a > b]
            guess = 2 * error_fall if error_fall else earlier[-1] if earlier else 8
            fall = near["fall"].read(coder, guess)
            check(fall <= codes[-1], "fall of an error")
        codes.append(codes[-1] - fall)

    def read_length(
        self,
        coder: RangeDecoder,
        k: int,
        y: int,
        x: int,
        n: int,
        empty: dict[tuple[bool, str, str, str], Model],
        length: Near,
    ) -> int:
        level = self.levels[k]
        near = [level.lengths.get(at) for at in ((y, x - 1, n), (y - 1, x, n))]
        before = level.lengths.get((y, x, n - 1))
        left, above, earlier = ("none" if size is None else "some" if size else "empty" for size in (*near, before))
        changes = level.changes(n)
        if "empty" in (left, above):
            column = int("some" in (left, above))
        else:
            column = 0 if not changes and left == above == "none" else 2
        zero = (7168, 18432, 31232)[column] if changes else (1024, 16384, 26624)[column]
        if coder.bit(empty.setdefault((changes, left, above, earlier), Model(zero, 3))):
            return 0
        some = [size for size in near if size]
        if not some and k + 1 < len(self.levels):
            up = self.levels[k + 1]
            parent = ((y << level.tile_log2) // 2) >> up.tile_log2, ((x << level.tile_log2) // 2) >> up.tile_log2
            some = [size for size in (before, up.lengths.get((*parent, n))) if size]
        elif not some:
            some = [before] if before else []
        return length.read(coder, sum(some) // len(some) if some else 32)


# ---- 3.6: tiles ------------------------------------------------------------------------------------------------------


def table(number: int) -> list[list[int]]:
    text = re.split(rf"^Table {number},.*$", SPEC, flags=re.M)[1].split("Table")[0]
    return [[int(n) for n in line.split()] for line in text.strip().splitlines() if line]


TABLES = table(1), table(2), table(3)
STARTS = table(4)  # four rows a band
ENTRIES, INDEX_BITS = (16, 16, 9), (5, 4, 4)
WEIGHTS = ((2, 4, 2, 1, 2, 2, 3), (4, 2, 2, 2, 1, 3, 3), (2, 3, 2, 1, 1, 4, 4))
SIBLINGS = ((1, 2), (0, 2), (0, 1))
WHOLE, FIRST, SECOND = range(3)
MORE = (
    [1024, 3712, 5248, 21248, 4224, 6400, 15104, 6400],
    [24128, 3264, 5312, 13760, 2624, 4800, 11584, 4672],
)


class Pass(NamedTuple):
    component: int
    plane: int
    band: int
    part: int


class Component:
    """`k` and `sign` of coefficients have a margin of two zeros all around."""

    def __init__(self, number: int, shapes: list[tuple[int, int]], planes: int, met: set[str]) -> None:
        self.number, self.shapes, self.met = number, shapes, met
        self.k = [np.zeros((h + 4, w + 4), np.int32) for h, w in shapes]  # in units of the plane coded last
        self.sign = [np.zeros((h + 4, w + 4), np.int8) for h, w in shapes]
        self.in_first = [np.zeros(shape, bool) for shape in shapes]  # what the last first part coded
        self.active = [np.full((-(-h // 8), -(-w // 32)), -1) for h, w in shapes]  # the plane since when, or -1
        self.block = [models([29568, 21568, 14368, 8768, 5568], 3) for _ in shapes]
        starts = [[[8 * n for n in row] for row in STARTS[4 * b : 4 * b + 4]] for b in range(3)]
        self.models = [models([*rows[0], *rows[1], *rows[2]], 7) for rows in starts]
        self.first_models = [models(rows[3], 7) for rows in starts]
        self.raw, self.same = models([16384] * 2, 0), models([16384] * 3, 0)
        self.explicit = models([30000] * 3, 3)
        self.last: list[list[int] | None] = [None] * 3
        self.next_plane, self.begun = planes - 1, list[Pass]()  # passes to come: of the plane that is begun, and then
        self.low, self.has_first = [planes] * 3, [False] * 3  # the lowest plane wholly there, and whether half of one

    def begin_plane(self, is_split: bool) -> None:
        parts = (FIRST, SECOND) if is_split else (WHOLE,)
        self.begun = [Pass(self.number, self.next_plane, b, part) for part in parts for b in range(3)]
        self.next_plane -= 1

    def flags(self, coder: RangeDecoder, b: int, plane: int) -> None:
        active = self.active[b]
        padded = np.pad(active, 1, constant_values=-1)
        for y, x in np.ndindex(active.shape):
            if active[y, x] < 0:
                near = [padded[y, x + 1], padded[y + 2, x + 1], padded[y + 1, x], padded[y + 1, x + 2]]
                if coder.bit(self.block[b][sum(int(n >= 0) for n in near)]):
                    active[y, x] = padded[y + 1, x + 1] = plane

    def contexts(self, b: int, y: int, k: NDArray[Any]) -> NDArray[Any]:
        """Of the bits of a row, where the band stands as in `k`."""
        width = self.shapes[b][1]

        def at(values: NDArray[Any], dy: int, dx: int) -> NDArray[Any]:
            return values[2 + dy, 2 + dx : 2 + dx + width]

        rows = k[y : y + 5]
        here = at(rows, 0, 0)
        others = [self.k[sibling][y + 2, 2 : 2 + width] for sibling in SIBLINGS[b]]
        s = (rows >= 1).view(np.int8)
        w1, w2, w3, w4, w5, wa, wb = WEIGHTS[b]
        e = w1 * (at(s, 0, -1) + at(s, 0, 1)) + w2 * (at(s, -1, 0) + at(s, 1, 0))
        e += w3 * (at(s, -1, -1) + at(s, -1, 1) + at(s, 1, -1) + at(s, 1, 1)) + w4 * (at(s, 0, -2) + at(s, 0, 2))
        e += w5 * (at(s, -2, 0) + at(s, 2, 0)) + wa * (others[0] >= 1) + wb * (others[1] >= 1)
        significance: NDArray[Any] = np.minimum(15, (e + 1) >> 1)
        if not here.any():
            return significance
        g = (rows >= 2).view(np.int8)
        r = 2 * (at(g, 0, -1) + at(g, 0, 1) + at(g, -1, 0) + at(g, 1, 0)) + (others[0] >= 2) + (others[1] >= 2)
        refined = np.where(here == 1, 16 + ((r + 1) >> 1), np.where(here < 4, 24, 28) + np.minimum(3, (r + 2) >> 2))
        found: NDArray[Any] = np.where(here == 0, significance, refined)
        return found

    def sign_context(self, y: int, x: int, sign: NDArray[Any]) -> int:
        y, x = y + 2, x + 2
        h = max(-1, min(1, int(sign[y, x - 1] + sign[y, x + 1])))
        v = max(-1, min(1, int(sign[y - 1, x] + sign[y + 1, x])))
        return 32 + 3 * (h + 1) + v + 1

    def rows(
        self,
        now: Pass,
        bits_of: Callable[[list[int], list[int]], list[int]],
        signs_of: Callable[[list[int]], list[int]],
    ) -> None:
        """bits_of(columns, contexts) and signs_of(contexts) decode those of a row."""
        _, plane, b, part = now
        height, width = self.shapes[b]
        k, sign = self.k[b], self.sign[b]
        known_k, known_sign = (k.copy(), sign.copy()) if part == FIRST else (k, sign)
        for y in range(height):
            own = np.repeat(self.active[b][y // 8] >= plane, 32)[:width]
            contexts = self.contexts(b, y, known_k) if own.any() else np.zeros(width, np.int64)
            if part == FIRST:
                own &= (contexts >= 1) & (contexts <= 15)
                self.in_first[b][y] = own
            elif part == SECOND:
                own &= ~self.in_first[b][y]
            columns = np.flatnonzero(own)
            if not len(columns):
                continue
            bits = np.array(bits_of(columns.tolist(), contexts[columns].tolist()))
            fresh = columns[(bits == 1) & (contexts[columns] <= 15)]
            signs = signs_of([self.sign_context(y, x, known_sign) for x in fresh.tolist()])
            k[y + 2, columns + 2] = 2 * k[y + 2, columns + 2] + bits
            sign[y + 2, fresh + 2] = 1 - 2 * np.array(signs, np.int64)

    def table(self, coder: RangeDecoder, kind: int) -> list[int]:
        found = self.last[kind]
        if found is None or not coder.bit(self.same[kind]):
            if coder.bit(self.explicit[kind]):
                numbers = [coder.number(8) for _ in range(ENTRIES[kind])]
                curve = [floor(4096 / (1 + exp((128 - v) / 15)) + 0.5) for v in numbers]
                found = [max(1, min(4095, zero)) for zero in curve]
                self.met.add("explicit table")
            else:
                found = TABLES[kind][coder.number(INDEX_BITS[kind])]
        self.last[kind] = found
        return found

    def values(self, b: int) -> Ints:
        """Reconstruction points of a band (3.7)."""
        height, width = self.shapes[b]
        k, sign = (of[b][2 : 2 + height, 2 : 2 + width].astype(np.int64) for of in (self.k, self.sign))
        p = self.low[b]
        r = np.choose(np.minimum(k, 2), [0 * k, (k << p) + ((7 << p) >> 4), (k << p) + ((31 << p) >> 6)])
        if self.has_first[b]:
            half = 1 << (p - 1)
            r = np.where(self.in_first[b] & (k > 0), half + (7 * half >> 4), r)
        found: Ints = sign * r
        return found


class Choice(NamedTuple):
    """Tables of a static pass, None where it is raw."""

    bits: list[int] | None
    signs: list[int] | None


class Tile:
    def __init__(self, shapes: list[tuple[int, int]], components: int, is_base: bool) -> None:
        self.shapes, self.is_base, self.met = shapes, is_base, set[str]()
        self.components = [Component(c, shapes, 0, self.met) for c in range(components)]
        self.coder: RangeDecoder | None = None
        self.rans, self.is_static, self.lanes = Rans(), False, 0
        self.static, self.split, self.more = Model(22272, 3), Model(22272, 3), [models(zeros, 3) for zeros in MORE]

    def copy(self) -> Self:
        found: Self = pickle.loads(pickle.dumps(self))
        return found

    def layer(self, segment: bytes) -> None:
        """Adds a layer."""
        if not segment:
            return
        size = 1 if len(segment) < 64 else 2
        data = segment[:-size]
        check(crc32c(data) & (256**size - 1) == int.from_bytes(segment[-size:], "little"), "check of a segment")
        self.decode(data, is_whole=True)

    def beginning(self, data: bytes) -> None:
        """Adds what can be used of the first bytes of a segment (3.6.6); nothing can be added after it."""
        if data:
            self.decode(data, is_whole=False)

    def decode(self, data: bytes, is_whole: bool) -> None:
        if self.coder is None:
            self.coder = coder = RangeDecoder(data)
            self.components = [
                Component(c, self.shapes, coder.number(5), self.met) for c in range(len(self.components))
            ]
        else:
            coder = self.coder
            if coder.go_on(data):
                self.met.add("zeros replaced")
        passes = self.all_passes() if self.is_base else self.counted_passes(coder)
        if not is_whole and coder.at_end:
            return
        check(len(passes) > 0 and all(max(c.low) <= 22 for c in self.components), "planes and passes of a layer")
        decode_pass = self.static_layer(coder, passes, is_whole) if self.is_static else self.adaptive_pass
        if decode_pass is None or (not is_whole and self.is_static and coder.at_end):
            return
        for number, now in enumerate(passes):
            component, b = self.components[now.component], now.band
            before = component.k[b].copy(), component.sign[b].copy()
            decode_pass(coder, now)
            if not is_whole and (self.rans.ran_short if self.is_static else coder.at_end):
                component.k[b], component.sign[b] = before
                return
            component.has_first[b] = now.part == FIRST
            if now.part != FIRST:
                component.low[b] = now.plane
            self.note(now, is_last=number == len(passes) - 1, is_whole=is_whole)
        if is_whole:
            check(not self.rans.words if self.is_static else coder.at_end, "end of a segment")

    def note(self, now: Pass, is_last: bool, is_whole: bool) -> None:
        kind = "static" if self.is_static else "adaptive"
        if not self.is_base:
            self.met |= {kind, f"{kind} {('whole', 'first', 'second')[now.part]}"}
            if not is_whole:
                self.met.add(f"beginning, {kind}")
            if is_last and now.part == FIRST:
                self.met.add("layer ends in a split plane")

    def all_passes(self) -> list[Pass]:
        return [Pass(c.number, plane, 2, WHOLE) for c in self.components for plane in range(c.next_plane, -1, -1)]

    def counted_passes(self, coder: RangeDecoder) -> list[Pass]:
        self.is_static = self.is_static or bool(coder.bit(self.static))
        found = []
        for component in self.components:
            count = 0
            more = self.more[component.number > 0]
            while (component.begun or component.next_plane >= 0) and coder.bit(more[min(count, 7)]):
                if not component.begun:
                    component.begin_plane(bool(coder.bit(self.split)))
                found.append(component.begun.pop(0))
                count += 1
        return found

    def adaptive_pass(self, coder: RangeDecoder, now: Pass) -> None:
        component, b = self.components[now.component], now.band
        if now.part != SECOND:
            component.flags(coder, b, now.plane)
        models = component.models[b]
        of_bits = component.first_models[b] if now.part == FIRST else models
        component.rows(
            now,
            lambda _, contexts: [coder.bit(of_bits[c]) for c in contexts],
            lambda contexts: [coder.bit(models[c]) for c in contexts],
        )

    def choice(self, coder: RangeDecoder, now: Pass) -> Choice | None:
        """None if nothing of the pass is coded."""
        component, active = self.components[now.component], self.components[now.component].active[now.band]
        if now.part != SECOND:
            component.flags(coder, now.band, now.plane)
        if not (active >= 0).any():
            return None
        bits = None
        if not coder.bit(component.raw[0]):
            bits = component.table(coder, 0)
            if now.part != FIRST and (active > now.plane).any():
                bits = bits + component.table(coder, 1)
        return Choice(bits, None if coder.bit(component.raw[1]) else component.table(coder, 2))

    def static_layer(
        self, coder: RangeDecoder, passes: list[Pass], is_whole: bool
    ) -> Callable[[RangeDecoder, Pass], None] | None:
        code = coder.number(3)
        lanes = 4 << code if code else 0
        check(code <= 4 and lanes >= self.lanes, "lanes")
        self.lanes = lanes
        choices = {now: self.choice(coder, now) for now in passes}
        chosen = [choice for choice in choices.values() if choice]
        raw_size = 0
        if any(None in choice for choice in chosen):
            bits = coder.number(5)
            raw_size = 1 << (bits - 1) | coder.number(bits - 1) if bits else 0
        try:
            raw = low_bits(self.rans.go_on(coder.data[coder.position :], lanes, raw_size))
        except EOFError:
            check(not is_whole, "end of a static segment")
            return None
        check(lanes > 0 or all(choice == (None, None) for choice in chosen), "no lanes")
        self.met.add(f"{lanes} lanes")
        self.met |= {f"raw {name}" for choice in chosen for name in choice._fields if getattr(choice, name) is None}

        def decode_pass(_: RangeDecoder, now: Pass) -> None:
            choice = choices[now]
            if choice is None:
                return

            def bits_of(columns: list[int], contexts: list[int]) -> list[int]:
                if (zero := choice.bits) is None:
                    return list(itertools.islice(raw, len(columns)))
                return [self.rans.bit(x % lanes, zero[c]) for x, c in zip(columns, contexts, strict=True)]

            def signs_of(contexts: list[int]) -> list[int]:
                if (zero := choice.signs) is None:
                    return list(itertools.islice(raw, len(contexts)))
                return [self.rans.bit(i % lanes, zero[c - 32]) for i, c in enumerate(contexts)]

            self.components[now.component].rows(now, bits_of, signs_of)

        return decode_pass

    def bands(self) -> list[list[Ints]]:
        """Of each component: HL, LH, HH; or LL."""
        if self.is_base:
            return [[undo_prediction(component.values(2))] for component in self.components]
        return [[component.values(b) for b in range(3)] for component in self.components]


def undo_prediction(differences: Ints) -> Ints:
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
    check(not values.size or abs(values).max() <= 2**22, "value of the base")
    return values


# ---- 3.3, 3.4: transforms --------------------------------------------------------------------------------------------


def inverse(transform: int, low: Ints, high: Ints) -> Ints:
    """Across the first axis."""
    n = len(low) + len(high)
    x = np.zeros((n, *low.shape[1:]), np.int64)
    if n == 1:
        return low

    def inside(places: Ints) -> Ints:
        places = places % (2 * (n - 1))
        return np.minimum(places, 2 * (n - 1) - places)

    def d(i: Ints) -> Ints:
        found: Ints = high[inside(2 * i + 1) // 2]
        return found

    def even(i: Ints) -> Ints:
        found: Ints = x[inside(2 * i)]
        return found

    i, j = np.arange(len(low)), np.arange(len(high))
    if transform == 2:
        x[1::2] = low[: len(high)] - (high >> 1)
        x[0 : 2 * len(high) : 2] = high + x[1::2]
        if n % 2:
            x[n - 1] = low[-1]
        return x
    x[::2] = low - ((d(i - 1) + d(i) + 2) >> 2)
    if transform == 0:
        x[1::2] = high + ((even(j) + even(j + 1)) >> 1)
    else:
        x[1::2] = high + ((9 * (even(j) + even(j + 1)) - (even(j - 1) + even(j + 2)) + 8) >> 4)
    return x


def inverse_2d(transform: int, ll: Ints, hl: Ints, lh: Ints, hh: Ints) -> Ints:
    upper, lower = (inverse(transform, low.T, high.T).T for low, high in ((ll, hl), (lh, hh)))
    return inverse(transform, upper, lower)


def inverse_colour(colour: int, planes: list[Ints]) -> list[Ints]:
    if colour == 0:
        return planes
    y, u, v = planes[:3]
    if colour == 1:
        green = y - ((u + v) >> 2)
        red, blue = v + green, u + green
    else:
        t = y - (v >> 1)
        green = v + t
        blue = t - (u >> 1)
        red = blue + u
    return [red, green, blue, *planes[3:]]


# ---- all of it -------------------------------------------------------------------------------------------------------


class Decoder:
    """Of a shard, or of the first groups of one if `head` knows no others. `met`: what of the format was there."""

    def __init__(self, data: bytes, head: Head | None = None) -> None:
        self.data, self.head = data, head or Head(data)
        self.met = {f"{len(self.head.parts)} groups"} | ({"value table"} if self.head.values else set())
        self.tiles: dict[tuple[int, int, int, int], Tile] = {}  # with so many layers

    def segment(self, level: int, y: int, x: int, layer: int) -> bytes:
        at = self.head.levels[level]
        start = at.offsets[y, x, layer]
        return self.data[start : start + at.lengths[y, x, layer]]

    def tile(self, level: int, y: int, x: int, layers: int) -> Tile:
        """With its first layers."""
        key = level, y, x, layers
        if key not in self.tiles:
            if layers:
                tile = self.tile(level, y, x, layers - 1).copy()
                tile.layer(self.segment(level, y, x, layers - 1))
            else:
                tile = Tile(self.shapes(level, y, x), self.head.components, level == len(self.head.levels) - 1)
            self.tiles[key] = tile
            self.met |= tile.met
        return self.tiles[key]

    def shapes(self, level: int, y: int, x: int) -> list[tuple[int, int]]:
        at = self.head.levels[level]
        if level == len(self.head.levels) - 1:
            return [(at.height, at.width)] * 3  # HL and LH, all zero, so that LL finds them where HH would
        side = 1 << (at.tile_log2 - 1)
        low = [min(side, -(-n // 2) - side * t) for n, t in ((at.height, y), (at.width, x))]
        high = [max(0, min(side, n // 2 - side * t)) for n, t in ((at.height, y), (at.width, x))]
        return [(low[0], high[1]), (high[0], low[1]), (high[0], high[1])]

    def layers(self, level: int, y: int, x: int, size: int) -> int:
        """Whole layers of a tile among the first `size` bytes."""
        at = self.head.levels[level]
        have = [not at.lengths[y, x, n] or at.offsets[y, x, n] + at.lengths[y, x, n] <= size for n in range(at.layers)]
        return [*have, False].index(False)

    def with_beginning(self, level: int, y: int, x: int, layers: int, more: int) -> Tile:
        """A tile with its first layers and some bytes of the next one's segment."""
        segment = self.segment(level, y, x, layers)
        tile = self.tile(level, y, x, layers).copy()
        tile.beginning(segment[: min(more, len(segment) - (1 if len(segment) < 64 else 2))])
        self.met |= tile.met
        return tile

    def bound(self, level: int, region: Region, size: int) -> int:
        """Of the error of a region, made from the first `size` bytes (2.4, 2.5), whole segments alone."""
        counts: list[list[int]] = []
        empty: list[list[int]] = []  # where counts of whole segments may begin: those behind are empty
        for j in range(level, len(self.head.levels)):
            at = self.head.levels[j]
            spans = []
            for start, length, samples in ((region[0], region[2], at.height), (region[1], region[3], at.width)):
                begin = (start >> (j - level)) - self.head.margin
                end = -(-(start + length) >> (j - level)) + self.head.margin
                spans.append(range(max(begin, 0) >> at.tile_log2, ((min(end, samples) - 1) >> at.tile_log2) + 1))
            tiles = list(itertools.product(*spans))
            counts.append([self.layers(j, y, x, size) for y, x in tiles])
            empty.append([])
            for (y, x), count in zip(tiles, counts[-1], strict=True):
                while count and not at.lengths[y, x, count - 1]:
                    count -= 1
                empty[-1].append(count)
        levels = self.head.levels[level:]
        total = sum(at.errors[min(count)] for at, count in zip(levels, counts, strict=True))
        for n, error in self.head.levels[level].measured.items():
            if all(
                least <= min(n, at.layers) <= most
                for at, less, more in zip(levels, empty, counts, strict=True)
                for least, most in zip(less, more, strict=True)
            ):
                total = min(total, error)
        return total

    def planes(self, level: int, size: int, beginnings: bool) -> list[Ints]:
        """LL bands of a level."""
        at = self.head.levels[level]
        if level == len(self.head.levels) - 1:
            if not self.layers(level, 0, 0, size):
                raise Insufficient
            return [bands[0] for bands in self.tile(level, 0, 0, 1).bands()]
        side = 1 << (at.tile_log2 - 1)
        lows, highs = [-(-n // 2) for n in (at.height, at.width)], [n // 2 for n in (at.height, at.width)]
        shapes = (lows[0], highs[1]), (highs[0], lows[1]), (highs[0], highs[1])
        bands = [[np.zeros(shape, np.int64) for shape in shapes] for _ in range(self.head.components)]
        coarse = self.planes(level + 1, size, beginnings)
        for y, x in at.tiles:
            layers = self.layers(level, y, x, size)
            tile = self.tile(level, y, x, layers)
            if beginnings and layers < at.layers and size > at.offsets[y, x, layers]:
                tile = self.with_beginning(level, y, x, layers, size - at.offsets[y, x, layers])
            for whole, own in zip(bands, tile.bands(), strict=True):
                for target, values in zip(whole, own, strict=True):
                    target[y * side : (y + 1) * side, x * side : (x + 1) * side] = values
        return [inverse_2d(self.head.transform, ll, *rest) for ll, rest in zip(coarse, bands, strict=True)]

    def picture(self, level: int = 0, size: int | None = None, beginnings: bool = False) -> NDArray[Any]:
        """Of a level; from the whole segments among the first `size` bytes, and from the beginning of one if wanted."""
        head, size = self.head, len(self.data) if size is None else size
        if size < head.parts[head.known - 1]:
            raise Insufficient
        planes = inverse_colour(head.colour, self.planes(level, size, beginnings))
        if head.values:
            samples = [np.array(head.values)[np.clip(plane, 0, len(head.values) - 1)] for plane in planes]
        else:
            samples = [np.clip(plane, head.least, head.least + (1 << head.bits) - 1) for plane in planes]
        dtype = f"{'i' if head.signed else 'u'}{1 if head.bits <= 8 else 2}"
        return (samples[0] if len(samples) == 1 else np.stack(samples, axis=2)).astype(dtype)
