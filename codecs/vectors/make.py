"""Writes the conformance vectors of the current format version: python codecs/vectors/make.py [FOLDER]

A version's vectors are frozen when that version is released: later encoders may write other bytes, but every decoder
must go on reading these. The script therefore refuses to overwrite a file; while a version is still being drafted,
delete its folder first.

v4/<name>.fls holds a shard, v4/cases.json what decoding gives:
[{"shard", "bytes" (length of the prefix), "level", "region" ([y, x, height, width] or null), "shape", "dtype", "bound",
"sha256"}]; sha256 of the samples in C order (components last), little-endian; "bound" of the error, in sample units.
A case without "sha256" must say InsufficientData. All bytes give, at level 0, the samples that went in.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight import codecs

VERSION = 4
TRANSFORMS = "5/3", "9/7-m", "s-haar"
COLOURS = "none", "rct", "ycocg-r"


def samples() -> dict[str, NDArray[Any]]:
    """Small pictures that reach every branch of the format."""
    rng = np.random.default_rng(20261122)

    def scene(height: int, width: int, dtype: str) -> NDArray[Any]:
        """Shapes, texture and noise over the dtype's full range."""
        y, x = np.mgrid[:height, :width]
        values = np.sin(x / 9) + np.cos(y / 13) + 1.5 * ((x - width / 2) ** 2 + (y - height / 3) ** 2 < height * 9)
        values += 0.4 * ((x // 8 + y // 8) % 2) * (x > width / 2) + rng.normal(0, 0.03, (height, width))
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        values = (values - values.min()) / np.ptp(values)
        found: NDArray[Any] = (low + np.round(values * (high - low))).astype(dtype)
        return found

    rgb = scene(157, 211, "uint8")
    colours = np.stack([rgb, 255 - rgb // 2, np.roll(rgb, 5, axis=1) // 3 + 90], axis=2).astype(np.uint8)
    small = colours[20:77, 30:101]
    stripes = np.where(np.arange(250)[None] // 2 % 2, 180, 20).repeat(90, axis=0).astype(np.uint8)
    found = {
        # Sizes: no level below the base, sides of one sample, of a power of two and next to one.
        "one_sample": np.array([[200]], np.uint8),
        "one_sample_rgb": np.array([[[255, 0, 7]]], np.uint8),
        "base_only": scene(16, 16, "int16"),
        "base_and_one": scene(16, 17, "uint8"),
        "row": scene(1, 100, "uint16"),
        "column": scene(100, 1, "int8"),
        "odd_u8": scene(61, 47, "uint8"),
        "odd_i8": scene(67, 129, "int8"),
        "tiles_u8": scene(300, 520, "uint8"),
        "strip": scene(30, 1500, "uint8"),  # above 1024: tiles of several sizes
        # Types and ranges of samples.
        "full_range_u16": scene(131, 97, "uint16"),
        "full_range_i16": scene(96, 65, "int16"),
        "extremes_i16": rng.choice([-32768, 32767], (40, 45)).astype(np.int16),
        "extremes_rgb16": rng.choice([0, 65535], (45, 40, 3)).astype(np.uint16),
        # What entropy coders meet: nothing, few and many layers, noise in the lowest planes and in all of them.
        "constant_u16": np.full((300, 200), 40000, np.uint16),
        "zero": np.zeros((65, 64), np.int16),
        "one_dot": np.pad(np.full((1, 1), 250, np.uint8), ((140, 120), (33, 266))),
        "stripes": stripes,
        "noise_u8": rng.integers(0, 256, (270, 290), np.uint8),
        "noisy_u16": scene(260, 270, "uint16") // 2 + rng.integers(0, 3000, (260, 270)).astype(np.uint16),
        "half_noise": np.hstack([np.zeros((280, 140), np.uint8), rng.integers(0, 256, (280, 140), np.uint8)]),
        # Components and colours.
        "two_components": colours[:80, :90, :2],
        "four_components": np.dstack([colours, rgb])[:90, :120],
        "rgb": colours,
        "rgb16": colours[:100, :100].astype(np.uint16) * 257 + rng.integers(0, 40, (100, 100, 3)).astype(np.uint16),
        # Value tables.
        "two_values": (scene(90, 90, "uint8") > 120).astype(np.uint8),
        "equal_gaps_i16": (scene(120, 150, "uint8").astype(np.int16) // 2 - 40) * 16,
        "stretched_u8": (scene(70, 80, "uint8") // 3 * 3.3).astype(np.uint8),
    }
    for bits in range(1, 17):
        found[f"bits_{bits}"] = scene(40, 37, "uint8" if bits <= 8 else "uint16") >> (
            8 - bits if bits <= 8 else 16 - bits
        )
    for transform in TRANSFORMS:
        for colour in COLOURS:
            found[named(transform, colour)] = small
    found["nine_seven_u16"] = scene(150, 201, "uint16")
    found["s_haar_i8"] = scene(75, 133, "int8")
    return found


def named(transform: str, colour: str) -> str:
    return f"{transform}_{colour}".replace("/", "").replace("-", "")


# How those are encoded of which the encoder's own choice would not do.
OPTIONS: dict[str, dict[str, Any]] = {
    "nine_seven_u16": {"transform": "9/7-m"},
    "s_haar_i8": {"transform": "s-haar"},
    "full_range_i16": {"transform": "9/7-m", "contrast": (0, 40)},
    "rgb16": {"colour": "ycocg-r", "transform": "9/7-m"},
    **{
        named(transform, colour): {"transform": transform, "colour": colour}
        for transform in TRANSFORMS
        for colour in COLOURS
    },
}


def cases(name: str, shard: bytes) -> list[dict[str, Any]]:
    index = codecs.Index.parse(shard)
    offsets = [int(n) for n in index.offsets]
    base = offsets[1]
    cuts = {0, 11, index.head_size - 1, base - 1, base, (base + len(shard)) // 2, len(shard) - 1, len(shard)}
    # The parts of the head, and where the groups of layers begin.
    cuts |= {*index.parts, *(offsets[first] for first in index.levels[-1].first_segments)}
    found = []
    for size in sorted(n for n in cuts if 0 <= n <= len(shard)):
        for level, at in enumerate(index.levels):
            if size < len(shard) and level not in (0, 1, len(index.levels) - 1):
                continue
            regions: list[list[int] | None] = [None]
            if size == len(shard) and min(at.height, at.width) > 2:
                regions.append([at.height // 3, at.width // 2, at.height // 2, at.width // 3])
            for region in regions:
                case: dict[str, Any] = {"shard": f"{name}.fls", "bytes": size, "level": level, "region": region}
                try:
                    picture = codecs.decode(shard[:size], level=level, region=region, max_error=None)
                except codecs.InsufficientData:
                    if level == 0:
                        found.append(case)
                    continue
                little = np.ascontiguousarray(picture.astype(picture.dtype.newbyteorder("<")))
                decoder = codecs.Decoder(index)
                decoder.feed(0, shard[:size])
                case |= {
                    "shape": list(picture.shape),
                    "dtype": str(picture.dtype),
                    "bound": decoder.exact_bound(level, region),
                    "sha256": hashlib.sha256(little.tobytes()).hexdigest(),
                }
                found.append(case)
    return found


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    every = []
    for name, picture in samples().items():
        path = folder / f"{name}.fls"
        if path.exists():
            sys.exit(f"{path}: exists, and conformance vectors are frozen")
        shard = codecs.encode(picture, **OPTIONS.get(name, {}))
        assert np.array_equal(codecs.decode(shard), picture)
        path.write_bytes(shard)
        every += cases(name, shard)
    lines = ",\n".join(json.dumps(case, allow_nan=False) for case in every)
    (folder / "cases.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / f"v{VERSION}")
