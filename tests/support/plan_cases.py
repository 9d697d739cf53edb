"""The cases that hold the Python and the TypeScript planner together: tests/data/plan_cases.json.

`python -m support.plan_cases` (in tests/) writes the file anew; the unit tests check that it is up to date, and that
both planners give what it says. Shards are described, not encoded: a case needs their index only.
"""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from firstlight import geometry, plan
from firstlight.codecs import select
from firstlight.codecs.errors import CorruptData
from firstlight.codecs.index import Index
from firstlight.layout import ArrayLayout, ImageLayout, ShardRef
from firstlight.plan import EXACT, Request, Tolerance, View
from firstlight.session import Broken, Event, Forgotten, Received, Restarted, Session

PATH = Path(__file__).resolve().parents[1] / "data" / "plan_cases.json"
JSON = Any

# ---- shards ---------------------------------------------------------------------------------------------------------

LAYERS = 6
GROUPS = [0, 2, 5]


def mse_of(code: int) -> float:
    """What a code in a head stands for (SPEC 2.4)."""
    return (code if code < 8 else (8 + (code & 7)) << ((code >> 3) - 1)) / 16


MSE_CODES = {mse_of(code): code for code in range(400)}


def describe_index(number: int, height: int, width: int, components: int = 1, *, head: int, spread: int) -> JSON:
    """A shard of tiles of 256, 128, 64, 64 ... samples. `spread`: segments of level 0 have fewer bytes than this."""
    base = geometry.shard_levels(height, width)
    levels = []
    for j in range(base + 1):
        if j == base:
            levels.append({"tile": 4, "layers": 1, "errors": [200, 0], "mse": [mse_of(90), 0.0], "measured": {}})
        else:
            errors = [90 - 3 * j, 56 - 2 * j, max(24 - j, 14), 14, 7, 3, 0]
            mse = [mse_of(code) for code in (64 - j, 54 - j, max(44 - j, 34), 34, 24, 12, 0)]
            measured = {"3": 30 - 6 * j, "5": 5 - j} if j < 3 else {}
            levels.append(
                {"tile": 256 >> min(j, 2), "layers": LAYERS, "errors": errors, "mse": mse, "measured": measured}
            )
    spreads = [max(spread >> j, 40) for j in range(base + 1)]
    return {
        "id": number,
        "height": height,
        "width": width,
        "components": components,
        "margin": 4,
        "groups": GROUPS,
        "parts": [head // 4, head // 2, head],
        "levels": levels,
        "lengths": {"seed": 1000 + 17 * number, "spread": spreads},
    }


def segment_length(seed: int, spread: int, segment: int, is_base: bool) -> int:
    """Bytes of a described segment: any numbers that both languages can compute will do, some of them 0."""
    if (seed + segment) % 11 == 0 and not is_base:
        return 0
    return 1 + ((seed + segment) * 7919 + segment % 101 * 104729) % 65521 % spread


def make_index(description: JSON) -> Index:
    """The index that a description stands for."""
    levels = [_level(description, j) for j in range(len(description["levels"]))]
    base = len(levels) - 1
    for j in range(base, -1, -1):
        levels[j]["first_tile"] = sum(level["tiles"] for level in levels[j + 1 :])
    lengths: list[int] = []
    rule = description["lengths"]
    for start, end in pairwise([*description["groups"], LAYERS]):
        for j in range(base, -1, -1):
            level = levels[j]
            level["first_segments"].append(len(lengths))
            count = min(end, level["layers"]) - min(start, level["layers"])
            for _ in range(level["tiles"] * count):
                lengths.append(segment_length(rule["seed"], rule["spread"][j], len(lengths), j == base))
    groups, parts = description["groups"], description["parts"]
    words = [0, 0, parts[-1], description["width"], description["height"], description["components"], 16, 0, 0, base]
    words += [description["margin"], sum(level["tiles"] for level in levels), len(lengths), 0, 0, 0, 0]
    words += [len(groups), *_padded(groups, 5), len(parts), *_padded(parts, 5)]
    for level in levels:
        words += [*level["size"], level["layers"], level["first_tile"], *_padded(level["first_segments"], 5)]
        words += [*_padded(level["errors"], 25), *_padded(level["mse"], 25)]
        words += [level["measured"].get(str(n), 0xFFFFFFFF) for n in range(25)]
    return Index(np.array(words, np.uint32).tobytes(), np.cumsum([parts[-1], *lengths]).astype(np.uint32))


def _level(description: JSON, j: int) -> JSON:
    """A level's words, but for those that other levels have a part in."""
    level = description["levels"][j]
    height, width = geometry.level_size(description["height"], description["width"], j)
    tiles_y, tiles_x = -(-height // level["tile"]), -(-width // level["tile"])
    return {
        "size": [width, height, level["tile"].bit_length() - 1, tiles_x, tiles_y],
        "tiles": tiles_x * tiles_y,
        "layers": level["layers"],
        "first_segments": [],
        "errors": level["errors"],
        "mse": [MSE_CODES[value] for value in level["mse"]],
        "measured": level["measured"],
    }


def _padded(values: Sequence[int], count: int) -> list[int]:
    return [*values, *[0] * (count - len(values))]


SMALL, MEDIUM, COLOUR, BIG, EDGE, CORNER, LONG, TOP, WIDE = range(9)
INDEXES = [
    describe_index(SMALL, 200, 300, head=150, spread=1500),
    describe_index(MEDIUM, 1024, 1024, head=600, spread=4500),
    describe_index(COLOUR, 1024, 1000, 3, head=1500, spread=4000),
    describe_index(BIG, 4096, 4096, head=9000, spread=20000),
    describe_index(EDGE, 1024, 476, head=400, spread=4500),
    describe_index(CORNER, 20, 476, head=200, spread=250),
    describe_index(LONG, 1024, 1024, head=5000, spread=15000),  # longer than what is asked for first
    describe_index(TOP, 131, 188, head=120, spread=750),
    describe_index(WIDE, 200, 60000, head=7000, spread=9000),
]
_made = [make_index(description) for description in INDEXES]

# ---- images ---------------------------------------------------------------------------------------------------------


def _layouts() -> dict[str, ImageLayout]:
    size = {"y": (0.25, "micrometer"), "x": (0.25, "micrometer")}
    cells = ImageLayout.build(
        "cells", ("c", "y", "x"), (2, 1044, 1500), "uint16", chunk=1024, pixel_size=size, source="cells.tif"
    )
    stack = ImageLayout.build("stack", ("t", "c", "z", "y", "x"), (2, 2, 3, 200, 300), "int16")
    # Shards of another shape than `geometry.chunk_shape` gives: whatever was written is read.
    halves = ImageLayout.build("halves", ("y", "x"), (2700, 5400), "uint8")
    arrays = ArrayLayout("0", (2700, 5400), (2700, 4096)), ArrayLayout("1", (338, 675), (338, 675))
    slide = ImageLayout.build("slide", ("c", "y", "x"), (3, 40000, 50000), "uint8", rgb=True)
    return {
        "cells": cells.with_head_bytes([3000, 2000]),
        "stack": stack.with_head_bytes([400]),
        "slide": slide,
        "plain": ImageLayout.build("plain", ("y", "x"), (4096, 4096), "uint8", thumbnail="data:image/png;base64,AA=="),
        "panorama": ImageLayout.build("panorama", ("y", "x"), (200, 60000), "uint8"),
        "halves": replace(halves, arrays=arrays),
    }


LAYOUTS = _layouts()
CELLS_OBJECTS = {
    f"{array}/c/{c}/{row}/{column}": number
    for c in range(2)
    for array, row, column, number in [
        (0, 0, 0, LONG), (0, 0, 1, EDGE), (0, 1, 0, CORNER), (0, 1, 1, CORNER), (1, 0, 0, TOP),
    ]
}  # fmt: skip
STACK_OBJECTS = {f"0/c/{t}/{c}/{z}/0/0": SMALL for t in range(2) for c in range(2) for z in range(3)}

LAYOUT_ERRORS: list[tuple[str, list[str | int], JSON, str]] = [
    ("plain", ["zarr_format"], 2, "zarr_format"),
    ("plain", ["attributes", "firstlight"], None, "attributes.firstlight"),
    ("plain", ["attributes", "firstlight", "version"], 0, "attributes.firstlight.version"),
    ("plain", ["attributes", "ome", "version"], "0.4", "attributes.ome.version"),
    ("plain", ["attributes", "ome", "multiscales"], [], "attributes.ome.multiscales"),
    ("cells", ["attributes", "ome", "multiscales", 0, "axes", 1, "name"], "q", "multiscales[0].axes[1].name"),
    ("cells", ["attributes", "ome", "multiscales", 0, "datasets", 1, "path"], "7", "consolidated_metadata.metadata.7"),
    ("cells", ["attributes", "ome", "multiscales", 0, "datasets"], {}, "multiscales[0].datasets"),
    ("cells", ["attributes", "ome", "omero", "channels", 1, "window", "end"], "x", "channels[1].window.end"),
    ("cells", ["attributes", "ome", "omero", "channels", 1, "color"], "red", "channels[1].color"),
    ("cells", ["consolidated_metadata", "metadata", "0", "data_type"], "float32", "metadata.0.data_type"),
    ("cells", ["consolidated_metadata", "metadata", "1", "data_type"], "uint8", "metadata.1.data_type"),
    ("cells", ["consolidated_metadata", "metadata", "0", "codecs", 0, "name"], "bytes", "metadata.0.codecs[0].name"),
    ("cells", ["consolidated_metadata", "metadata", "1", "shape"], [2, 131, 189], "array 1 shape"),
    ("cells", ["consolidated_metadata", "metadata", "0", "fill_value"], 1, "metadata.0.fill_value"),
    (
        "cells",
        ["consolidated_metadata", "metadata", "0", "chunk_grid", "configuration", "chunk_shape"],
        [1, 1020, 1024],
        "array 0 chunks",
    ),
]


def broken_document(name: str, where: Sequence[str | int], value: JSON) -> JSON:
    """A layout's document with one field replaced."""
    document: JSON = json.loads(json.dumps(LAYOUTS[name].to_json()))
    target = document
    for step in where[:-1]:
        target = target[step]
    target[where[-1]] = value
    return document


# ---- calls ----------------------------------------------------------------------------------------------------------


def brief(segments: Iterable[int]) -> list[int]:
    """Segments, short enough for a file: how many, first, last, sum."""
    found = list(segments)
    return [len(found), found[0], found[-1], sum(found)] if found else [0]


def request_json(request: Request) -> JSON:
    return [request.key, request.offset, request.length, brief(request.segments)]


def tolerance_json(value: Tolerance) -> JSON:
    return {"max_error": value.max_error} if value.mse is None else {"mse": value.mse}


def view_json(view: View) -> JSON:
    each = view.tolerance
    return {
        "region": list(view.region),
        "level": view.level,
        "t": view.t,
        "z": view.z,
        "channels": list(view.channels),
        "tolerance": [tolerance_json(one) for one in each] if isinstance(each, tuple) else tolerance_json(each),
    }


def parse_view(value: JSON) -> View:
    each = value["tolerance"]
    return View(
        tuple(value["region"]),
        value["level"],
        value["t"],
        value["z"],
        tuple(value["channels"]),
        tuple(Tolerance(**one) for one in each) if isinstance(each, list) else Tolerance(**each),
    )


def ref_json(ref: ShardRef) -> JSON:
    return [ref.key, ref.array, ref.level, list(ref.region), ref.y, ref.x]


def evaluate(call: str, arguments: Sequence[JSON]) -> JSON:
    """What a function gives for JSON arguments, as JSON. An index is named by its number, a layout by its name."""
    match call:
        case "shards_under":
            region, level, size, chunk = arguments
            parts = geometry.shards_under(tuple(region), level, tuple(size), tuple(chunk))
            return [[p.row, p.column, list(p.region), p.y, p.x] for p in parts]
        case "clip_region":
            return list(geometry.clip_region(tuple(arguments[0]), *arguments[1]))
        case "scale_region":
            return list(geometry.scale_region(tuple(arguments[0]), *arguments[1:]))
        case "level_size":
            (height, width), level = arguments
            return list(geometry.level_size(height, width, level))
        case "chunk_shape":
            (height, width), chunk = arguments
            return list(geometry.chunk_shape(height, width, chunk))
        case "pyramid":
            (height, width), chunk = arguments
            return [list(size) for size in geometry.pyramid(height, width, chunk)]
        case "shard_levels":
            return geometry.shard_levels(*arguments[0])
        case "level_count":
            (height, width), arrays = arguments
            return geometry.level_count(height, width, arrays)
        case "array_of_level":
            return list(geometry.array_of_level(*arguments))
        case "level_for_zoom":
            return geometry.level_for_zoom(*arguments)
        case "shards":
            name, level, region, t, z, c = arguments
            return [ref_json(ref) for ref in LAYOUTS[name].shards(level, tuple(region), t=t, z=z, c=c)]
        case "tolerance":
            return tolerance_json(plan.tolerance(arguments[0], tuple(arguments[1]), *arguments[2:]))
        case "merge_ranges":
            return [list(r) for r in select.merge_ranges([tuple(r) for r in arguments[0]], arguments[1])]
        case "tiles":
            number, of, level, region = arguments
            return list(_made[number].tiles(of, level, tuple(region)))
        case "choose_layers":
            number, level, region, error, exactly = arguments
            return list(select.choose_layers(_made[number], level, tuple(region), error, exactly=exactly))
        case "choose_for_mse":
            number, level, mse = arguments
            return list(select.choose_for_mse(_made[number], level, mse))
        case "segments_for":
            number, level, region, layers = arguments
            return brief(select.segments_for(_made[number], level, tuple(region), layers))
        case "bound":
            number, level, layers = arguments
            return select.bound(_made[number], level, layers)
        case "exact_bound":
            number, level, layers = arguments
            return select.exact_bound(_made[number], level, tuple(layers))
        case "mse":
            number, level, layers = arguments
            return select.mse(_made[number], level, layers)
        case "within_budget":
            number, level, region, budget, error, mse = arguments
            chosen = select.within_budget(_made[number], level, tuple(region), budget, error, mse)
            return [brief([segment for segment, _ in chosen]), brief([size for _, size in chosen])]
        case "complete_layers":
            number, level, region, have = arguments
            return list(plan.complete_layers(_made[number], level, tuple(region), set(have)))
        case "fit_region":
            number, level, region = arguments
            fitted = plan.fit_region(_made[number], level, tuple(region))
            return fitted and [fitted[0], list(fitted[1])]
        case "plan_shard":
            number, level, region, allowed, have = arguments
            requests = plan.plan_shard("s", _made[number], level, tuple(region), Tolerance(**allowed), set(have))
            return [request_json(request) for request in requests]
        case "plan_view":
            name, view, heads, have = arguments
            indexes = {key: None if number is None else _made[number] for key, number in heads.items()}
            there = {key: set(segments) for key, segments in have.items()}
            requests = plan.plan_view(LAYOUTS[name], parse_view(view), indexes, there)
            return [request_json(request) for request in requests]
        case _:
            raise AssertionError(call)


# Small enough to check by hand; what they give is part of the case.
HAND: list[tuple[str, list[JSON], JSON]] = [
    ("level_size", [[5, 8], 1], [3, 4]),
    ("level_size", [[1, 9], 3], [1, 2]),
    ("shard_levels", [[4, 4]], 0),
    ("shard_levels", [[5, 1]], 1),
    ("shard_levels", [[4096, 4096]], 10),
    ("pyramid", [[4096, 4096], 4096], [[4096, 4096]]),
    ("chunk_shape", [[2700, 5400], 4096], [2700, 5400]),
    ("chunk_shape", [[65536, 256], 4096], [65536, 256]),
    ("chunk_shape", [[65536, 257], 4096], [4096, 257]),
    ("chunk_shape", [[9, 65537], 4096], [9, 4096]),
    ("chunk_shape", [[5000, 6000], 4096], [4096, 4096]),
    ("pyramid", [[2700, 5400], 4096], [[2700, 5400]]),
    ("pyramid", [[4097, 10], 64], [[4097, 10], [513, 2]]),
    ("pyramid", [[10, 65537], 4096], [[10, 65537], [2, 8193]]),
    ("pyramid", [[300000, 200000], 4096], [[300000, 200000], [37500, 25000], [4688, 3125]]),
    ("array_of_level", [2, 3], [0, 2]),
    ("array_of_level", [3, 3], [1, 0]),
    ("array_of_level", [9, 3], [2, 3]),
    ("array_of_level", [5, 1], [0, 5]),
    ("level_count", [[4097, 10], 2], 12),  # level 3 is 513 x 2, level 11 is 3 x 1
    ("level_for_zoom", [1, 9], 0),
    ("level_for_zoom", [0.51, 9], 0),
    ("level_for_zoom", [0.5000001, 9], 1),
    ("level_for_zoom", [0.25, 9], 2),
    ("level_for_zoom", [0.0001, 9], 8),
    ("level_for_zoom", [16, 9], 0),
    ("clip_region", [[-5, -5, 10, 300], [100, 200]], [0, 0, 5, 200]),
    ("clip_region", [[500, 0, 10, 10], [100, 200]], [100, 0, 0, 10]),
    ("scale_region", [[3, 5, 2, 2], 0, 1], [1, 2, 2, 2]),
    ("scale_region", [[-3, -8, 4, 8], 0, 2], [-1, -2, 2, 2]),
    ("scale_region", [[3, 5, 2, 2], 2, 0], [12, 20, 8, 8]),
    ("shards_under", [[0, 0, 10, 10], 0, [100, 100], [64, 64]], [[0, 0, [0, 0, 10, 10], 0, 0]]),
    (
        "shards_under",
        [[30, 60, 4, 100], 1, [100, 200], [64, 64]],
        [
            [0, 1, [30, 28, 2, 4], 0, 0],
            [0, 2, [30, 0, 2, 32], 0, 4],
            [0, 3, [30, 0, 2, 4], 0, 36],
            [1, 1, [0, 28, 2, 4], 2, 0],
            [1, 2, [0, 0, 2, 32], 2, 4],
            [1, 3, [0, 0, 2, 4], 2, 36],
        ],
    ),
    ("shards_under", [[-9, -9, 10, 10], 5, [100, 77], [100, 77]], [[0, 0, [0, 0, 1, 1], 9, 9]]),
    ("shards_under", [[200, 0, 10, 10], 0, [100, 100], [64, 64]], []),
    ("tolerance", ["exact", [0, 255], "uint8"], {"max_error": 0}),
    ("tolerance", ["visual", [0, 255], "int16"], {"mse": 0.3 * 0.3}),
    ("tolerance", ["visual", [0, 255], "uint16", True], {"mse": 6.25}),
    ("tolerance", ["visual", [0, 255], "uint8"], {"mse": 6.25}),
    ("tolerance", ["fast", [100, 610], "uint16"], {"mse": 196.0}),
    ("tolerance", ["fast", [100, 100], "uint8"], {"mse": 0.0}),
    ("merge_ranges", [[[10, 5], [0, 5], [15, 1], [30, 0]], 0], [[0, 5], [10, 6]]),
    ("merge_ranges", [[[10, 5], [0, 5], [12, 20], [40, 1]], 5], [[0, 32], [40, 1]]),
    # 200 x 300, tiles of 256 at level 0: two of them; the margin of 4 decides about the second.
    ("tiles", [SMALL, 0, 0, [0, 0, 10, 252]], [0, 0, 1, 1]),
    ("tiles", [SMALL, 0, 0, [0, 0, 10, 253]], [0, 0, 1, 2]),
    ("tiles", [SMALL, 1, 0, [0, 264, 10, 10]], [0, 1, 1, 2]),
    ("tiles", [SMALL, 1, 0, [0, 263, 10, 10]], [0, 0, 1, 2]),
    ("tiles", [SMALL, 4, 0, [150, 250, 10, 10]], [0, 0, 1, 1]),
    ("bound", [SMALL, 0, [6, 6, 6, 6, 6, 6, 6, 1]], 0),
    ("bound", [SMALL, 0, [0, 2, 4, 5, 6, 6, 6, 1]], 90 + 23 + 7 + 3),
    ("bound", [SMALL, 2, [0, 0, 2, 6, 6, 6, 6, 1]], 22),
    ("mse", [SMALL, 0, [6, 6, 6, 6, 6, 6, 6, 1]], 0.0),
    ("mse", [SMALL, 1, [0, 4, 5, 6, 6, 6, 6, 1]], 2.75),
    ("exact_bound", [SMALL, 0, [5, 5, 5, 5, 5, 5, 5, 1]], 5),
    ("exact_bound", [SMALL, 1, [0, 3, 3, 3, 3, 3, 3, 1]], 24),
    ("exact_bound", [SMALL, 1, [0, 3, 3, 3, 4, 3, 3, 1]], 14 * 5 + 7),
    ("exact_bound", [SMALL, 3, [0, 0, 0, 5, 5, 5, 5, 1]], 12),
    ("choose_layers", [SMALL, 0, [0, 0, 200, 300], 0, True], [6, 6, 6, 6, 6, 6, 6, 1]),
    ("choose_layers", [SMALL, 7, [0, 0, 1, 1], 0, True], [0, 0, 0, 0, 0, 0, 0, 1]),
    ("choose_layers", [SMALL, 0, [0, 0, 200, 300], 5, True], [5, 5, 5, 5, 5, 5, 5, 1]),
    ("choose_for_mse", [SMALL, 5, 2.75], [0, 0, 0, 0, 0, 4, 5, 1]),
    ("choose_for_mse", [SMALL, 5, 2.7], [0, 0, 0, 0, 0, 5, 5, 1]),
    ("choose_for_mse", [SMALL, 0, 1e9], [0, 0, 0, 0, 0, 0, 0, 1]),
    ("fit_region", [CORNER, 0, [0, 400, 1000, 1000]], [0, [0, 400, 20, 76]]),
    ("fit_region", [CORNER, 0, [20, 0, 10, 10]], None),
    ("fit_region", [TOP, 7, [0, 0, 2, 2]], [6, [0, 0, 3, 3]]),
]


def _calls() -> list[tuple[str, list[JSON]]]:
    """Calls whose results are only compared between the languages."""
    rng = random.Random(20260101)

    def region_in(index: Index, level: int) -> list[int]:
        at = index.levels[level]
        y, x = rng.randrange(at.height), rng.randrange(at.width)
        return [y, x, rng.randint(1, at.height - y), rng.randint(1, at.width - x)]

    calls: list[tuple[str, list[JSON]]] = []
    for number in (SMALL, MEDIUM, COLOUR, BIG, EDGE):
        index = _made[number]
        for _ in range(12):
            level = rng.randrange(len(index.levels))
            region = region_in(index, level)
            error = rng.choice([0, 3, 10, 40, 120, 300])
            mse = rng.choice([0.1, 1.5, 6.25, 20.0, 70.0])
            calls.append(("tiles", [number, rng.randint(level, len(index.levels) - 1), level, region]))
            calls.append(("choose_layers", [number, level, region, error, rng.random() < 0.7]))
            calls.append(("choose_for_mse", [number, level, mse]))
            layers = [rng.randint(0, at.layers) for at in index.levels]
            calls.append(("mse", [number, level, layers]))
            calls.append(("exact_bound", [number, level, list(select.uniform(index, level, rng.randint(1, LAYERS)))]))
            calls.append(("segments_for", [number, level, region, layers]))
            budget = rng.randrange(1, index.size)
            calls.append(
                ("within_budget", [number, level, region, budget, *rng.choice([(0, 0.0), (30, 0.0), (0, 9.0)])])
            )
            have = sorted(rng.sample(range(index.segments), rng.randrange(min(index.segments, 40))))
            if number != BIG:
                calls.append(("complete_layers", [number, level, region, [*range(index.segments // 2), *have]]))
            allowed = rng.choice([{"max_error": error}, {"mse": mse}])
            calls.append(("plan_shard", [number, level, region, allowed, have]))
    for _ in range(20):
        level = rng.randrange(9)
        region = [rng.randrange(-50, 45000 >> level), rng.randrange(-50, 55000 >> level), 768, 1024]
        calls.append(("shards", ["slide", level, region, 0, 0, 1]))
        calls.append(
            ("shards", ["cells", rng.randrange(7), [rng.randrange(500), rng.randrange(500), 90, 700], 0, 0, 1])
        )
    for _ in range(14):
        level = rng.randrange(7)
        region = [rng.randrange(900) >> level, rng.randrange(1300) >> level, rng.randint(1, 700), rng.randint(1, 700)]
        view = parse_view(
            {
                "region": region,
                "level": level,
                "t": 0,
                "z": 0,
                "channels": [1, 0],
                "tolerance": rng.choice([{"max_error": 0}, {"mse": 5.0}, [{"max_error": 10}, {"mse": 80.5}]]),
            }
        )
        known = [key for key in CELLS_OBJECTS if rng.random() < 0.7]
        heads = {key: None if rng.random() < 0.1 else CELLS_OBJECTS[key] for key in known}
        there = {key: [*range(rng.randrange(20))] for key in known if rng.random() < 0.5}
        calls.append(("plan_view", ["cells", view_json(view), heads, there]))
    for _ in range(6):
        level = rng.randrange(9)
        region = [rng.randrange(-9, 150 >> level), rng.randrange(60000 >> level), 300, 1024]
        calls.append(("shards", ["panorama", level, region, 0, 0, 0]))
        _, inside = plan.fit_region(_made[WIDE], level, (region[0], region[1], 300, 1024)) or (0, ())
        calls.append(("plan_shard", [WIDE, level, list(inside), rng.choice([{"max_error": 0}, {"mse": 13.0}]), []]))
        calls.append(("shards", ["halves", level, [900 >> level, 3500 >> level, 768, 1024], 0, 0, 0]))
    return calls


# ---- sessions -------------------------------------------------------------------------------------------------------


def fake_head(data: bytes) -> Index | int:
    """A HeadParser for answers made by `answer`: the shard's number and the length of its head, 4 bytes each."""
    if len(data) < 8:
        return 8
    number, size = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:8], "little")
    if number >= len(_made):
        raise CorruptData(f"no shard has number {number}")
    return _made[number] if size <= len(data) else size


def answer(request: Request, number: int) -> bytes:
    """The bytes of a described shard: all 0 but for its beginning."""
    index = _made[number]
    beginning = number.to_bytes(4, "little") + index.head_size.to_bytes(4, "little")
    end = min(request.offset + request.length, index.size)
    whole = beginning.ljust(end, b"\0") if request.offset == 0 else bytes(end - request.offset)
    return whole[: end - request.offset]


@dataclass
class Replay:
    """A session that is driven by steps of JSON; `requests` are all that it has made, in order."""

    session: Session
    objects: dict[str, int]
    requests: list[Request] = field(default_factory=list)

    def number(self, request: Request) -> int:
        """Place of the latest equal request."""
        return len(self.requests) - 1 - self.requests[::-1].index(request)

    def run(self, step: JSON) -> JSON:
        """Do what a step says; what came of it."""
        session = self.session
        match step["do"]:
            case "look":
                ahead = [parse_view(view) for view in step["ahead"]]
                return sorted(self.number(r) for r in session.look(parse_view(step["view"]), ahead))
            case "next":
                found = session.next(step["count"])
                self.requests += found
                return [request_json(request) for request in found]
            case "receive":
                request = self.requests[step["request"]]
                data = answer(request, self.objects[request.key])
                if step["cut"]:
                    data = data[: len(data) // 2]
                return self.events(session.receive(request, data, step["etag"]))
            case "failed":
                return self.events(session.failed(self.requests[step["request"]]))
            case "replaced":
                return self.events(session.replaced(self.requests[step["request"]]))
            case "absent":
                return self.events(session.absent(self.requests[step["request"]]))
            case "reject":
                return session.reject(step["key"], step["segments"])
            case "retry":
                return session.retry()
            case "state":
                return {
                    "errors": list(session.errors()),
                    "exact": session.exact,
                    "complete": session.complete,
                    "idle": session.idle,
                    "held": session.bytes_held,
                    "received": session.bytes_received,
                    "made": session.requests_made,
                    "in_flight": len(session.in_flight),
                    "parts": [
                        [part.channel, tolerance_json(part.tolerance), *ref_json(part.ref)] for part in session.parts
                    ],
                }
            case _:
                raise AssertionError(step)

    def events(self, events: Iterable[Event]) -> JSON:
        return [self.event(event) for event in events]

    def event(self, event: Event) -> JSON:
        match event:
            case Received():
                improved = [[each.part.order, list(each.region)] for each in event.improved]
                return ["received", event.key, event.is_new, brief(s for s, _ in event.segments), improved]
            case Forgotten():
                return ["forgotten", event.key, None if event.segments is None else brief(sorted(event.segments))]
            case Restarted():
                return ["restarted", event.key, sorted(self.number(r) for r in event.aborted)]
            case Broken():
                return ["broken", event.key, event.error]


def random_tolerance(rng: random.Random) -> Tolerance:
    return rng.choice([EXACT, Tolerance(max_error=30), Tolerance(max_error=150), Tolerance(mse=6.25)])


def random_view(rng: random.Random, name: str) -> View:
    if name == "stack":
        level = rng.randrange(3)
        region = (rng.randrange(150) >> level, rng.randrange(250) >> level, rng.randint(1, 200), rng.randint(1, 300))
        channels = rng.choice([(0,), (1,), (0, 1)])
        return View(region, level, rng.randrange(2), rng.randrange(3), channels, random_tolerance(rng))
    level = rng.choice([0, 0, 0, 1, 2, 3, 5])
    region = (rng.randrange(800) >> level, rng.randrange(1200) >> level, rng.randint(1, 500), rng.randint(1, 500))
    both = random_tolerance(rng), random_tolerance(rng)
    tolerances: list[Tolerance | tuple[Tolerance, ...]] = [both, both[0]]
    return View(region, level, channels=(0, 1), tolerance=rng.choice(tolerances))


def _script(name: str, objects: dict[str, int], cache_bytes: int, seed: int, steps: int) -> JSON:
    """Someone looks around, and what can go wrong does."""
    rng = random.Random(seed)
    replay = Replay(Session(LAYOUTS[name], cache_bytes=cache_bytes, parse=fake_head), objects)
    flying = list[int]()
    etags = dict.fromkeys(objects, 0)
    done: list[JSON] = []

    def do(**step: JSON) -> JSON:
        result = replay.run(step)
        done.append({**step, "gives": result})
        flying[:] = [replay.number(request) for request in replay.session.in_flight]
        return result

    do(do="look", view=view_json(random_view(rng, name)), ahead=[])
    for _ in range(steps):
        chance = rng.random()
        if chance < 0.35:
            do(do="next", count=rng.randint(1, 4))
        elif chance < 0.85 and flying:
            number = rng.choice(flying)
            key = replay.requests[number].key
            mishap = rng.random()
            if mishap < 0.03:
                do(do="failed", request=number)
            elif mishap < 0.05:
                do(do="replaced", request=number)
            elif mishap < 0.06:
                do(do="absent", request=number)
            elif mishap < 0.08:
                do(do="receive", request=number, etag=f"v{etags[key]}", cut=True)
            else:
                if mishap < 0.10:
                    etags[key] += 1
                do(do="receive", request=number, etag=f"v{etags[key]}", cut=False)
        elif chance < 0.93:
            view = random_view(rng, name)
            ahead = [random_view(rng, name)] if rng.random() < 0.3 else []
            do(do="look", view=view_json(view), ahead=[view_json(each) for each in ahead])
        elif chance < 0.95:
            key = rng.choice([part.ref.key for part in replay.session.parts] or list(objects))
            do(do="reject", key=key, segments=[rng.randrange(60) for _ in range(3)])
        elif chance < 0.96:
            do(do="retry")
        else:
            do(do="state")
    # To the end, without mishaps.
    do(do="retry")
    while not replay.session.idle:
        do(do="next", count=6)
        for number in list(flying):
            if number in flying:
                key = replay.requests[number].key
                do(do="receive", request=number, etag=f"v{etags[key]}", cut=False)
    do(do="state")
    return {"layout": name, "objects": objects, "cache_bytes": cache_bytes, "steps": done}


def make_cases() -> JSON:
    """Everything that tests/data/plan_cases.json holds."""
    calls: list[JSON] = []
    for call, arguments, expected in HAND:
        found = evaluate(call, arguments)
        assert found == expected, f"{call}({arguments}): expected {expected}, found {found}"
        calls.append({"call": call, "args": arguments, "gives": expected})
    for call, arguments in _calls():
        calls.append({"call": call, "args": arguments, "gives": evaluate(call, arguments)})
    return {
        "indexes": INDEXES,
        "layouts": {name: {"document": each.to_json(), "gives": layout_json(each)} for name, each in LAYOUTS.items()},
        "layout_errors": [
            {"document": broken_document(name, where, value), "names": names}
            for name, where, value, names in LAYOUT_ERRORS
        ],
        "calls": calls,
        "sessions": [
            _script("cells", CELLS_OBJECTS, 10**9, 1, 60),
            _script("cells", CELLS_OBJECTS, 60_000, 2, 120),
            _script("cells", CELLS_OBJECTS, 0, 3, 60),
            _script("stack", STACK_OBJECTS, 20_000, 4, 120),
        ],
    }


def layout_json(image: ImageLayout) -> JSON:
    """What a reader of a layout must have understood."""
    return {
        "name": image.name,
        "axes": list(image.axes),
        "dtype": image.dtype,
        "rgb": image.rgb,
        "components": image.components,
        "arrays": [[a.path, list(a.shape), list(a.chunks), a.head_bytes] for a in image.arrays],
        "channels": [[c.label, c.color, list(c.window), list(c.limits), c.active] for c in image.channels],
        "pixel_size": {axis: list(size) for axis, size in image.pixel_size.items()},
        "thumbnail": image.thumbnail,
        "source": image.source,
        "stored_bytes": image.stored_bytes,
        "levels": len(image.levels),
    }


def dumps(cases: JSON) -> str:
    """One line for each case, so that a change shows where it is."""

    def lines(value: JSON, depth: int) -> str:
        if depth == 0 or not value:
            return json.dumps(value, allow_nan=False)
        if isinstance(value, dict):
            items = [f"{json.dumps(key)}: {lines(each, depth - 1)}" for key, each in value.items()]
            return "{\n" + ",\n".join(items) + "\n}"
        if isinstance(value, list):
            return "[\n" + ",\n".join(lines(each, depth - 1) for each in value) + "\n]"
        return json.dumps(value, allow_nan=False)

    sessions = {**cases, "sessions": None}
    text = lines(sessions, 2)
    scripts = ",\n".join(lines(script, 2) for script in cases["sessions"])
    return text.replace('"sessions": null', f'"sessions": [\n{scripts}\n]') + "\n"


if __name__ == "__main__":
    PATH.write_text(dumps(make_cases()))
