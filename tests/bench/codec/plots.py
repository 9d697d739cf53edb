"""The measurements as pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import matplotlib.style
from matplotlib.axes import Axes

from .goals import geometric_mean, relative_sizes
from .peers import FIRSTLIGHT, OPENJPEG, OPENJPH, PEERS

Row = dict[str, Any]

OURS = "#d1495b"
COLOURS = {
    FIRSTLIGHT.name: OURS,
    OPENJPEG.name: "#30638e",
    OPENJPH.name: "#5fa8d3",
    "JPEG XL e1": "#b8d8ba",
    "JPEG XL e3": "#7fb685",
    "JPEG XL e7": "#3a7d44",
    "WebP": "#edae49",
    "PNG": "#8d6a9f",
    "JPEG-LS": "#c9ada7",
    "Blosc2 zstd": "#6c757d",
    "progressive JPEG": "#edae49",
}
# Relative sizes beyond these are drawn at the edge.
NARROWEST, WIDEST = 0.6, 1.6
DPI = 130
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.axisbelow": True,
}


def sizes(rows: Sequence[Row], path: Path) -> None:
    """Lossless bytes of every plane, relative to OpenJPEG's."""
    relative = {peer.name: relative_sizes(rows, peer.name) for peer in PEERS}
    ours = relative[FIRSTLIGHT.name]
    order = sorted(ours, key=lambda plane: ours[plane], reverse=True)
    with matplotlib.style.context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 1.8 + 0.2 * len(order)))
        places = range(len(order))
        axes.hlines(places, 1, [ours[plane] for plane in order], color=OURS, alpha=0.35, linewidth=4)
        for peer in PEERS:
            found = [(relative[peer.name][plane], y) for y, plane in enumerate(order) if plane in relative[peer.name]]
            if peer is OPENJPEG or not found:
                continue
            mean = geometric_mean(relative[peer.name].values())
            is_ours = peer is FIRSTLIGHT
            axes.scatter(
                [min(max(size, NARROWEST), WIDEST) for size, _ in found],
                [y for _, y in found],
                s=34 if is_ours else 22,
                marker="D" if is_ours else "o",
                color=COLOURS[peer.name],
                label=f"{peer.name} ({mean:.3f})",
                zorder=4 if is_ours else 3,
                linewidths=0,
            )
        axes.axvline(1, color=COLOURS[OPENJPEG.name], linewidth=1.2, zorder=2)
        axes.set(xlim=(NARROWEST - 0.02, WIDEST + 0.02), ylim=(-0.8, len(order) - 0.2))
        axes.set_yticks(places, order, fontsize=7)
        axes.set_xlabel(
            f"lossless size / OpenJPEG's ({NARROWEST} and {WIDEST}: or beyond); in brackets the geometric means"
        )
        axes.grid(axis="x", color="0.9")
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="upper center", ncols=5, frameon=False, fontsize=8)
        _save(figure, path, top=1 - 0.62 / figure.get_figheight())


def rate_distortion(rows: Sequence[Row], path: Path, count: int = 3) -> None:
    """PSNR over bits per pixel of the largest plane of each of up to `count` kinds."""
    chosen: list[str] = []
    kinds: set[str] = set()
    for row in sorted(rows, key=lambda row: -float(row["Mpixel"])):
        if row["kind"] not in kinds and len(chosen) < count:
            kinds.add(row["kind"])
            chosen.append(row["plane"])
    with matplotlib.style.context(STYLE):
        figure, panels = plt.subplots(1, len(chosen), figsize=(3.6 * len(chosen), 3.6), squeeze=False)
        for axes, plane in zip(panels[0], chosen, strict=True):
            _curves(axes, [row for row in rows if row["plane"] == plane])
        panels[0][0].set_ylabel("PSNR, dB")
        panels[0][0].legend(frameon=False, fontsize=8, loc="lower right")
        _save(figure, path)


def _curves(axes: Axes, rows: Sequence[Row]) -> None:
    names = (
        (FIRSTLIGHT.name, "firstlight_dB", "D-"),
        (OPENJPEG.name, "openjpeg_dB", "o-"),
        ("progressive JPEG", "progressive_jpeg_dB", "s--"),
    )
    for name, column, line in names:
        points = [(row["bpp"], row[column]) for row in rows if row[column] != ""]
        if points:
            label = {OPENJPEG.name: "OpenJPEG, layers", "progressive JPEG": "progressive JPEG Q95, cut"}.get(name, name)
            axes.plot(*zip(*points, strict=True), line, color=COLOURS[name], label=label, markersize=4, linewidth=1.3)
    first = rows[0]
    axes.set(
        xscale="log",
        xlim=(0.085, 4.7),
        xlabel="bits per pixel",
        title=f"{first['plane']}\n{first['kind']}, {first['Mpixel']:.2f} Mpixel",
    )
    ticks = [0.1, 0.25, 0.5, 1, 2, 4]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(color="0.9")


def speeds(rows: Sequence[Row], path: Path, least_mpixel: float) -> None:
    """Megasamples a second on one thread, geometric means over the planes of at least `least_mpixel`."""
    large = [row for row in rows if row["Mpixel"] >= least_mpixel] or list(rows)
    names = [peer.name for peer in PEERS if any(row["peer"] == peer.name for row in large)]
    with matplotlib.style.context(STYLE):
        figure, panels = plt.subplots(1, 2, figsize=(9, 0.9 + 0.3 * len(names)), sharey=True)
        for axes, path_name in zip(panels, ("decode", "encode"), strict=True):
            means = [
                geometric_mean(row[f"{path_name}_Msamples_s"] for row in large if row["peer"] == name) for name in names
            ]
            axes.barh(names, means, color=[COLOURS[name] for name in names], height=0.7)
            for y, mean in enumerate(means):
                axes.text(mean * 1.06, y, f"{mean:,.0f}" if mean >= 10 else f"{mean:.1f}", va="center", fontsize=8)
            axes.set(xscale="log", xlim=(1, 2 * max(means)), title=f"{path_name}, million samples per second")
            ticks = [10**n for n in range(5) if 10**n < 2 * max(means)]
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            axes.minorticks_off()
            axes.grid(axis="x", color="0.9")
            axes.tick_params(axis="y", length=0)
        panels[0].invert_yaxis()
        _save(figure, path)


def _save(figure: Any, path: Path, top: float = 1.0) -> None:
    figure.tight_layout(rect=(0, 0, 1, top))
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
