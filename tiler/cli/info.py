"""`firstlight info`: what an image is."""

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from firstlight.cli.arguments import Formatter
from firstlight.cli.terminal import percent, plural, size

if TYPE_CHECKING:
    from firstlight.layout import ImageLayout

EPILOG = """\
examples:
  firstlight info slide.zarr
  firstlight info https://host/images/slide.zarr
  firstlight info --json slide.zarr | jq .bits_per_sample
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "info",
        help="show axes, sizes, channels and compression of an image",
        description="Show what an image is. Reads its metadata only.",
        epilog=EPILOG,
        formatter_class=Formatter,
    )
    parser.add_argument("image", metavar="IMAGE", help="directory or URL of a stored image")
    parser.add_argument("--json", action="store_true", help="the same for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from firstlight.image import open as open_image

    image = open_image(args.image)
    facts = describe(image.layout)
    if args.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print(facts, image.layout)
    return 0


def shape_line(layout: "ImageLayout") -> str:
    """Width before height, as pictures are spoken of: `2220 x 2967 px RGB uint8`, `2 c, 45 z, 133 x 130 px uint16`."""
    leading = [
        f"{n} {a}" for a, n in zip(layout.axes[:-2], layout.shape, strict=False) if not (layout.rgb and a == "c")
    ]
    return f"{', '.join([*leading, f'{layout.width} x {layout.height} px'])} {'RGB ' * layout.rgb}{layout.dtype}"


def raw_bytes(layout: "ImageLayout") -> int:
    """Bytes of full resolution, uncompressed."""
    return math.prod(layout.shape) * (1 if layout.dtype.endswith("int8") else 2)


def describe(layout: "ImageLayout") -> dict[str, Any]:
    """Everything as JSON-ready values; sizes in bytes."""
    samples, raw, stored = math.prod(layout.shape), raw_bytes(layout), layout.stored_bytes
    return {
        "name": layout.name,
        "source": layout.source,
        "axes": list(layout.axes),
        "shape": list(layout.shape),
        "dtype": layout.dtype,
        "rgb": layout.rgb,
        "pixel_size": {axis: {"size": n, "unit": unit} for axis, (n, unit) in layout.pixel_size.items()},
        "channels": [
            {
                "label": channel.label,
                "color": channel.color,
                "window": list(channel.window),
                "limits": list(channel.limits),
                "active": channel.active,
            }
            for channel in layout.channels
        ],
        "levels": [list(shape) for shape in layout.levels],
        "arrays": [
            {
                "path": array.path,
                "shape": list(array.shape),
                "chunks": list(array.chunks),
                "shards": math.prod(array.grid),
                "head_bytes": array.head_bytes,
            }
            for array in layout.arrays
        ],
        "shards": sum(math.prod(array.grid) for array in layout.arrays),
        "samples": samples,
        "raw_bytes": raw,
        "stored_bytes": stored,
        "ratio": None if not stored else raw / stored,
        "bits_per_sample": None if stored is None else 8 * stored / samples,
    }


def _print(facts: dict[str, Any], layout: "ImageLayout") -> None:
    def row(name: str, text: str) -> None:
        print(f"{name:<11} {text}")

    row("name", facts["name"])
    if facts["source"]:
        row("source", facts["source"])
    row("size", shape_line(layout))
    row("axes", ", ".join(f"{a} {n}" for a, n in zip(facts["axes"], facts["shape"], strict=True)))
    if facts["pixel_size"]:
        row("pixel size", ", ".join(f"{a} {p['size']:g} {p['unit']}" for a, p in facts["pixel_size"].items()))
    if layout.rgb:
        row("channels", "red, green, blue (one colour picture)")
    else:
        width = max(len(c.label) for c in layout.channels)
        for number, c in enumerate(layout.channels):
            hidden = "" if c.active else "  (hidden at first)"
            shown = f"{c.label:<{width}}  {c.color}  shows {c.window[0]:g} to {c.window[1]:g}"
            row("channels" if number == 0 else "", f"{shown} of {c.limits[0]:g} to {c.limits[1]:g}{hidden}")
    sizes = [f"{shape[-1]} x {shape[-2]}" for shape in facts["levels"]]
    row("levels", f"{len(sizes)}: {', '.join(sizes if len(sizes) < 4 else [*sizes[:2], '...', sizes[-1]])}")
    for number, array in enumerate(facts["arrays"]):
        chunks = " x ".join(map(str, array["chunks"]))
        text = f"{array['path']}: 1/{8**number}, {plural(array['shards'], 'shard')} of {chunks}"
        row("arrays" if number == 0 else "", f"{text}, first read {size(array['head_bytes'])}")
    if facts["stored_bytes"] is not None:
        stored, raw = facts["stored_bytes"], facts["raw_bytes"]
        ratio = f"{raw / stored:.2f} : 1" if stored else "-"
        row("stored", f"{size(stored)} of {size(raw)} ({percent(stored, raw)}, {ratio})")
        row("", f"{facts['bits_per_sample']:.2f} bits per sample, all levels included")
