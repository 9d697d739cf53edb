"""Bytes of a random viewport at full resolution: beside JPEG tiles for 8 bits, beside Zarr chunks for 16.

Bytes are those of objects, or of byte ranges in them; no HTTP headers, no metadata of the image as a whole. Ranges are
counted without the gaps that a client may read to save requests.
"""

import io
from collections.abc import Callable, Sequence
from itertools import product

import imagecodecs
import numpy as np
from PIL import Image

from firstlight.codecs import Region

from . import quality
from .peers import buffer
from .planes import Plane, Samples
from .stored import Cache, Stored, View

HEIGHT, WIDTH = 768, 1024
TILE, QUALITY = 256, 90
# Most large images here were JPEG before. On their own 8 x 8 grid JPEG tiles repeat their coefficients, and seem 10 dB
# better than they are for a picture; so the tiles begin this many samples off.
GRID = 4
CHUNK = 512
# Between two looks at the picture on the way to its target.
GROWTH = 1.3
FIRST_PART = 0.02
# 99.9 % within one display step.
STEP_DB = 30.0

Measure = Callable[[Samples], tuple[float, ...]]


def is_8_bit(plane: Plane) -> bool:
    """Whether the plane is compared with JPEG."""
    return plane.samples.dtype == np.uint8


def fits(plane: Plane) -> bool:
    """Whether a viewport lies inside, and there is something to compare with."""
    height, width = plane.samples.shape[:2]
    margin = GRID if is_8_bit(plane) else 0
    return height >= HEIGHT + margin and width >= WIDTH + margin and (is_8_bit(plane) or not plane.rgb)


def measure(plane: Plane, stored: Stored, count: int, grid: int = GRID, seed: int = 1) -> list[dict[str, object]]:
    """One row for each of `count` random viewports; bytes of firstlight, of the other, and their ratio.

    `grid`: where JPEG tiles and viewports begin, in samples from the image's corner.
    """
    random = np.random.default_rng(seed)
    height, width = plane.samples.shape[:2]
    first = grid if is_8_bit(plane) else 0
    rows = []
    for _ in range(count):
        y, x = (int(random.integers(first, n + 1)) for n in (height - HEIGHT, width - WIDTH))
        region = (y, x, HEIGHT, WIDTH)
        found = _against_jpeg(plane, stored, region, grid) if is_8_bit(plane) else _against_zarr(plane, stored, region)
        rows.append({**plane.row(), "mirrored": plane.mirrored, "y": y, "x": x, **found})
    return rows


def _against_jpeg(plane: Plane, stored: Stored, region: Region, grid: int) -> dict[str, object]:
    original = _cut(plane.samples, region)
    theirs, shown = jpeg_tiles(plane.samples, region, grid)
    look = _looker(original)
    targets = look(shown)
    # The view before: the same screen at 1:2 with the same middle, as good as JPEG tiles would be there.
    coarse = _around(region, stored)
    whole = stored.picture(1, (0, 0, *_half(plane.samples)))
    coarse_look = _looker(_cut(whole, coarse))
    coarse_targets = coarse_look(jpeg_tiles(whole, coarse, 0)[1])
    cold = _reach(View(stored, 0, region), look, targets)
    before = _reach(View(stored, 1, coarse), coarse_look, coarse_targets)
    row: dict[str, object] = {"against": "JPEG tiles", "jpeg_grid": grid, "other_bytes": theirs}
    for n, name in enumerate(("psnr", "ssim")):
        cached = _segments(stored, coarse, before[n][1])
        warm = _reach(View(stored, 0, region, cached), look, targets)
        row[f"{name}_dB"] = targets[n]
        row[f"{name}_bytes"] = round(cold[n][0])
        row[f"{name}_ratio"] = cold[n][0] / theirs
        row[f"{name}_zoomed_bytes"] = round(warm[n][0])
        row[f"{name}_zoomed_ratio"] = warm[n][0] / theirs
    return row


def _against_zarr(plane: Plane, stored: Stored, region: Region) -> dict[str, object]:
    original = _cut(plane.samples, region)
    low, high = np.percentile(plane.samples, (0.1, 99.9))
    theirs = zarr_chunks(plane.samples, region)
    view = View(stored, 0, region)

    def look(picture: Samples) -> tuple[float, ...]:
        return (quality.within_display_step(picture, original, (float(low), float(high))),)

    ((display, _),) = _reach(view, look, (STEP_DB,))
    return {
        "against": "Zarr chunks",
        "other_bytes": theirs,
        "display_bytes": round(display),
        "display_ratio": display / theirs,
        "exact_bytes": view.total,
        "exact_ratio": view.total / theirs,
    }


# ---- the others ------------------------------------------------------------------------------------------------------


def jpeg_tiles(samples: Samples, region: Region, grid: int) -> tuple[int, Samples]:
    """Bytes of the JPEG tiles (quality 90, 4:2:0) under a region of uint8 samples, and what they show of it.

    The first tile begins `grid` samples right of and below the corner; the region lies beyond that.
    """
    y, x, height, width = region
    shown, size = np.empty_like(_cut(samples, region)), 0
    first_y, first_x = ((start - grid) // TILE * TILE + grid for start in (y, x))
    for top, left in product(range(first_y, y + height, TILE), range(first_x, x + width, TILE)):
        buffer = io.BytesIO()
        tile = np.ascontiguousarray(samples[top : top + TILE, left : left + TILE])
        Image.fromarray(tile).save(buffer, "JPEG", quality=QUALITY, subsampling=2)
        size += buffer.tell()
        with Image.open(buffer) as image:
            decoded = np.asarray(image)
        y0, x0 = max(top, y), max(left, x)
        y1, x1 = min(top + tile.shape[0], y + height), min(left + tile.shape[1], x + width)
        shown[y0 - y : y1 - y, x0 - x : x1 - x] = decoded[y0 - top : y1 - top, x0 - left : x1 - left]
    return size, shown


def zarr_chunks(samples: Samples, region: Region) -> int:
    """Bytes of the chunks of 512 x 512 under a region, Blosc-zstd level 5 with the filter that is better for them."""
    y, x, height, width = region
    size = {"shuffle": 0, "bitshuffle": 0}
    for top, left in product(range(y // CHUNK * CHUNK, y + height, CHUNK), range(x // CHUNK * CHUNK, x + width, CHUNK)):
        chunk = np.zeros((CHUNK, CHUNK), samples.dtype)
        inside = samples[top : top + CHUNK, left : left + CHUNK]
        chunk[: inside.shape[0], : inside.shape[1]] = inside
        for shuffle in size:
            size[shuffle] += len(
                imagecodecs.blosc_encode(buffer(chunk), level=5, compressor="zstd", shuffle=shuffle, numthreads=1)
            )
    return min(size.values())


# ---- our bytes for a target ------------------------------------------------------------------------------------------


def _reach(view: View, look: Measure, targets: Sequence[float]) -> list[tuple[float, float]]:
    """For each target (bytes, part of all segments' bytes) at which the view reaches it, interpolated."""
    points: list[tuple[float, float, tuple[float, ...]]] = []
    part = 0.0
    while True:
        view.read(part)
        points.append((float(view.bytes), part, look(view.picture())))
        if part >= 1 or all(found >= target for found, target in zip(points[-1][2], targets, strict=True)):
            break
        part = min(max(part * GROWTH, FIRST_PART), 1.0)
    reached = []
    for n, target in enumerate(targets):
        after = next((i for i, point in enumerate(points) if point[2][n] >= target), len(points) - 1)
        (size, part, values), (before, part_before, values_before) = points[after], points[max(after - 1, 0)]
        rise = values[n] - values_before[n]
        share = min(max((target - values_before[n]) / rise, 0.0), 1.0) if rise > 0 else 1.0
        reached.append((before + share * (size - before), part_before + share * (part - part_before)))
    return reached


def _segments(stored: Stored, region: Region, part: float) -> Cache:
    """What a cold 1:2 view of a region has read by then."""
    view = View(stored, 1, region)
    view.read(part)
    return view.segments


def _looker(original: Samples) -> Measure:
    similarity = quality.Similarity(original)
    return lambda picture: (quality.psnr(picture, original, 255), similarity.of(picture))


def _around(region: Region, stored: Stored) -> Region:
    """The 1:2 view with the same middle, moved and cut to lie inside the image."""
    last = stored.shards[-1]
    height = (last.y >> 1) + last.index.levels[1].height
    width = (last.x >> 1) + last.index.levels[1].width
    y, x = (region[0] + HEIGHT // 2) // 2 - HEIGHT // 2, (region[1] + WIDTH // 2) // 2 - WIDTH // 2
    y, x = max(min(y, height - HEIGHT), 0), max(min(x, width - WIDTH), 0)
    return y, x, min(HEIGHT, height - y), min(WIDTH, width - x)


def _half(samples: Samples) -> tuple[int, int]:
    return (samples.shape[0] + 1) // 2, (samples.shape[1] + 1) // 2


def _cut(samples: Samples, region: Region) -> Samples:
    y, x, height, width = region
    return samples[y : y + height, x : x + width]
