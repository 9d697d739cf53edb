"""Writes the conformance vectors of the current format version: python codecs/vectors/make.py [FOLDER]

A version's vectors are frozen when that version is released: later encoders may write other bytes, but every decoder
must go on reading these. The script therefore refuses to overwrite a file; while a version is still being drafted,
delete its folder first.

v1/<name>.fls holds a shard, v1/<name>.npy the samples that went in, and v1/cases.json what decoding gives:
[{"shard", "bytes" (length of the prefix), "level", "region" ([y, x, height, width] or null), "shape", "dtype", "bound",
"sha256"}]; sha256 of the samples in C order (components last), little-endian; "bound" of the error, in sample units.
A case without "sha256" must say InsufficientData.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight import codecs

VERSION = 1


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
        return (low + np.round(values * (high - low))).astype(dtype)

    rgb = scene(157, 211, "uint8")
    return {
        "one_sample": np.array([[200]], np.uint8),
        "one_sample_rgb": np.array([[[255, 0, 7]]], np.uint8),
        "row": scene(1, 100, "uint16"),
        "column": scene(100, 1, "int8"),
        "odd_u8": scene(61, 47, "uint8"),
        "odd_i8": scene(67, 129, "int8"),
        "full_range_u16": scene(131, 97, "uint16"),
        "full_range_i16": scene(96, 65, "int16"),
        "extremes_i16": rng.choice([-32768, 32767], (40, 45)).astype(np.int16),
        "extremes_rgb16": rng.choice([0, 65535], (45, 40, 3)).astype(np.uint16),
        "noise_u8": rng.integers(0, 256, (70, 70), np.uint8),
        "twelve_bits": scene(80, 80, "uint16") >> 4,
        "two_values": (scene(90, 90, "uint8") > 120).astype(np.uint8),
        "constant_u16": np.full((300, 200), 40000, np.uint16),
        "zero": np.zeros((65, 64), np.int16),
        "rgb": np.stack([rgb, 255 - rgb // 2, np.roll(rgb, 5, axis=1) // 3 + 90], axis=2).astype(np.uint8),
        "tiles_u8": scene(300, 520, "uint8"),
        "nine_seven_u16": scene(150, 201, "uint16"),
        "nine_seven_rgb": np.stack([rgb, np.roll(rgb, 3, axis=0), 255 - rgb], axis=2),
        "s_haar_i8": scene(75, 133, "int8"),
        "ycocg_r": np.stack([rgb, rgb // 2 + 60, np.roll(rgb, 2, axis=0)], axis=2),
        "equal_gaps_i16": (scene(120, 150, "uint8").astype(np.int16) // 2 - 40) * 16,
    }


# How those are encoded of which the encoder's own choice would not do.
OPTIONS: dict[str, dict[str, str]] = {
    "nine_seven_u16": {"transform": "9/7-m"},
    "nine_seven_rgb": {"transform": "9/7-m", "colour": "rct"},
    "s_haar_i8": {"transform": "s-haar"},
    "ycocg_r": {"transform": "5/3", "colour": "ycocg-r"},
}


def cases(name: str, shard: bytes) -> list[dict[str, Any]]:
    index = codecs.Index.parse(shard)
    offsets = [int(n) for n in index.offsets]
    base = offsets[index.components]
    cuts = sorted({0, 11, index.head_size - 1, base - 1, base, (base + len(shard)) // 2, len(shard) - 1, len(shard)})
    found = []
    for size in (n for n in cuts if 0 <= n <= len(shard)):
        for level, at in enumerate(index.levels):
            regions: list[list[int] | None] = [None]
            if size == len(shard) and min(at.height, at.width) > 2:
                regions.append([at.height // 3, at.width // 2, at.height // 2, at.width // 3])
            for region in regions:
                case: dict[str, Any] = {"shard": f"{name}.fls", "bytes": size, "level": level, "region": region}
                try:
                    picture = codecs.decode(shard[:size], level=level, region=region, max_error=None)
                except codecs.InsufficientData:
                    found.append(case)
                    continue
                little = np.ascontiguousarray(picture.astype(picture.dtype.newbyteorder("<")))
                decoder = codecs.Decoder(index)
                decoder.feed(0, shard[:size])
                case |= {
                    "shape": list(picture.shape),
                    "dtype": str(picture.dtype),
                    "bound": decoder.bound(level, region),
                    "sha256": hashlib.sha256(little.tobytes()).hexdigest(),
                }
                found.append(case)
    return found


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    every = []
    for name, picture in samples().items():
        shard = codecs.encode(picture, **OPTIONS.get(name, {}))  # type: ignore[arg-type]
        for path, data in ((folder / f"{name}.fls", shard), (folder / f"{name}.npy", None)):
            if path.exists():
                sys.exit(f"{path}: exists, and conformance vectors are frozen")
            if data is None:
                np.save(path, picture)
            else:
                path.write_bytes(data)
        every += cases(name, shard)
    lines = ",\n".join(json.dumps(case, allow_nan=False) for case in every)
    (folder / "cases.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / f"v{VERSION}")
