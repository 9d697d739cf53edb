"""What the codec must reach and what it aims for, beside what was found."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .distortion import RATES
from .peers import FIRSTLIGHT, OPENJPEG, OPENJPH

Row = dict[str, Any]

LARGER_COUNTS_FROM = 0.1  # Mpixel
LARGE_FROM = 0.5
VIEWPORT_FROM = 4.0


def table(
    lossless: Sequence[Row],
    distortion: Sequence[Row],
    speed: Sequence[Row],
    viewport: Sequence[Row],
    bounds: Sequence[Row],
) -> list[Row]:
    """One row for each figure: must, aim, found, verdict ("aim", "must", "missed" or "-" without data), and of what."""
    return [
        *_sizes(lossless),
        *_rates(distortion),
        *_speeds(speed),
        *_viewports(viewport),
        *_wasm(speed),
        *_bounds(bounds),
    ]


def relative_sizes(lossless: Sequence[Row], peer: str) -> dict[str, float]:
    """Plane -> the peer's bytes over OpenJPEG's."""
    reference = {row["plane"]: row["bytes"] for row in lossless if row["peer"] == OPENJPEG.name}
    return {row["plane"]: row["bytes"] / reference[row["plane"]] for row in lossless if row["peer"] == peer}


def geometric_mean(values: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(list(values)))))


def _goal(
    figure: str, must: str, aim: str, values: Sequence[float], of: Callable[[Sequence[float]], float], note: str
) -> Row:
    """`must` and `aim` are a comparison and a number: "<= 0.97"."""
    if not values:
        return {"figure": figure, "must": must, "aim": aim, "found": "-", "verdict": "-", "of": "no such image here"}
    found = of(values)
    verdict = "aim" if _meets(found, aim) else "must" if _meets(found, must) else "missed"
    text = (
        f"{found:.0f}" if must.endswith(" 0") and of is sum else f"{found:+.2f}" if "dB" in figure else f"{found:.3f}"
    )
    return {"figure": figure, "must": must, "aim": aim, "found": text, "verdict": verdict, "of": note}


def _meets(found: float, goal: str) -> bool:
    comparison, limit = goal.split()
    return found <= float(limit) if comparison == "<=" else found >= float(limit)


def _sizes(rows: Sequence[Row]) -> list[Row]:
    ours = relative_sizes(rows, FIRSTLIGHT.name)
    mpixel = {row["plane"]: row["Mpixel"] for row in rows}
    counted = {plane: size for plane, size in ours.items() if mpixel[plane] >= LARGER_COUNTS_FROM}
    worst = max(counted, key=lambda plane: counted[plane], default="")
    return [
        _goal(
            "lossless size / OpenJPEG", "<= 0.97", "<= 0.93", list(ours.values()), geometric_mean,
            f"geometric mean of {len(ours)} planes",
        ),
        _goal(
            "planes larger than OpenJPEG's", "<= 0", "<= 0", [float(size > 1) for size in counted.values()], sum,
            f"{len(counted)} planes >= {LARGER_COUNTS_FROM} Mpixel, worst {worst} {counted.get(worst, 0):.3f}",
        ),
    ]  # fmt: skip


def _rates(rows: Sequence[Row]) -> list[Row]:
    goals = []
    for large, must, aim in ((True, ">= 0", ">= 0.3"), (False, ">= -0.3", ">= 0")):
        size = f"{'>=' if large else '<'} {LARGE_FROM} Mpixel"
        for rate in RATES:
            found = [row for row in rows if row["rate"] == rate and (row["Mpixel"] >= LARGE_FROM) == large]
            least = min(found, key=lambda row: float(row["difference_dB"]), default=None)
            blank = sum(not row["picture"] for row in found)
            note = f"mean of {len(found)} planes"
            if least:
                note += f", worst {least['plane']} {least['difference_dB']:+.2f}"
            if blank:
                note += f"; {blank} without any picture yet"
            values = [row["difference_dB"] for row in found]
            goals.append(_goal(f"dB over OpenJPEG at {rate:g} bpp, {size}", must, aim, values, _mean, note))
    return goals


def _speeds(rows: Sequence[Row]) -> list[Row]:
    wanted = (
        ("decode", OPENJPH.name, ">= 0.7", ">= 1.2"),
        ("decode", OPENJPEG.name, ">= 8", ">= 15"),
        ("encode", OPENJPH.name, ">= 0.5", ">= 1"),
    )
    goals = []
    for path, peer, must, aim in wanted:
        values = [row[f"{path} / {peer}"] for row in rows]
        goals.append(_goal(f"{path} speed / {peer}", must, aim, values, geometric_mean, _spread(values, "planes")))
    return goals


def _wasm(rows: Sequence[Row]) -> list[Row]:
    values = [row["wasm / native"] for row in rows]
    return [
        _goal(
            "decode speed, wasm / native AVX2", ">= 0.35", ">= 0.5", values, geometric_mean, _spread(values, "planes")
        )
    ]


def _viewports(rows: Sequence[Row]) -> list[Row]:
    jpeg, zarr = "JPEG tiles", "Zarr chunks"
    wanted = (
        (jpeg, "psnr", "cold viewport / JPEG tiles, equal PSNR", "<= 0.75", "<= 0.6"),
        (jpeg, "ssim", "cold viewport / JPEG tiles, equal SSIM", "<= 1.0", "<= 0.8"),
        (jpeg, "psnr_zoomed", "after the 1:2 view / JPEG tiles, equal PSNR", "<= 0.4", "<= 0.3"),
        (jpeg, "ssim_zoomed", "after the 1:2 view / JPEG tiles, equal SSIM", "<= 0.55", "<= 0.4"),
        (zarr, "display", "cold 16-bit viewport / Zarr, one display step", "<= 0.25", "<= 0.18"),
        (zarr, "exact", "cold 16-bit viewport / Zarr, exact", "<= 0.5", "<= 0.4"),
    )
    goals = []
    for against, column, figure, must, aim in wanted:
        found = [row for row in rows if row["against"] == against]
        as_they_are = [row for row in found if not row["mirrored"]]
        large = [row for row in as_they_are if row["Mpixel"] >= VIEWPORT_FROM]
        mirrored = [row for row in found if row["mirrored"]]
        chosen = large or mirrored or as_they_are
        ratios = _view_ratios(chosen, column)
        note = _spread(ratios, "images") + f", {len(chosen)} viewports"
        if chosen is mirrored:
            note += f", mirrored to >= {VIEWPORT_FROM:g} Mpixel, as there are none"
            if as_they_are:
                smaller = _view_ratios(as_they_are, column)
                note += f"; as they are {geometric_mean(smaller):.3f} ({len(smaller)} images)"
        elif chosen is as_they_are:
            note += f"; none >= {VIEWPORT_FROM:g} Mpixel"
        goals.append(_goal(figure, must, aim, ratios, geometric_mean, note))
    return goals


def _view_ratios(rows: Sequence[Row], column: str) -> list[float]:
    """Our bytes over the other's of all viewports of an image, for each image."""
    ratios = []
    for plane in dict.fromkeys(row["plane"] for row in rows):
        of_plane = [row for row in rows if row["plane"] == plane]
        ratios.append(sum(row[f"{column}_bytes"] for row in of_plane) / sum(row["other_bytes"] for row in of_plane))
    return ratios


def _bounds(rows: Sequence[Row]) -> list[Row]:
    """The worst plane and precision counts: a promise that is good on average only helps nobody."""
    found = [row for row in rows if row["counts"]]
    others = {
        of: [row["ratio"] for row in rows if row["of"] == of and not row["counts"]] for of in ("max_error", "layers")
    }
    note = f"worst of {len(found)} (plane, max_error up to a quarter of the samples' range)"
    if found:
        worst = max(found, key=lambda row: float(row["ratio"]))
        note += f": {worst['plane']} ({worst['transform']}), {worst['asked']}; geometric mean"
        note += f" {geometric_mean(row['ratio'] for row in found):.2f}"
    for of, name in (("max_error", "a larger max_error"), ("layers", "any number of layers")):
        if others[of]:
            note += f"; of {name} up to {max(others[of]):.1f}, mean {geometric_mean(others[of]):.2f}"
    return [_goal("guaranteed error / real error", "<= 4", "<= 3", [row["ratio"] for row in found], max, note)]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _spread(values: Sequence[float], what: str) -> str:
    if not values:
        return ""
    return f"geometric mean of {len(values)} {what}, {min(values):.2f} to {max(values):.2f}"
