"""`firstlight ingest`: image files into stored images."""

import argparse
import os
from pathlib import Path

from firstlight.cli.arguments import Formatter, UsageError, count
from firstlight.cli.terminal import Progress, percent, seconds, size

EPILOG = """\
examples:
  firstlight ingest slide.svs                     makes ./slide.zarr
  firstlight ingest scan.ome.tif images/a.zarr    makes images/a.zarr
  firstlight ingest *.tif images/                 makes one image of each file, in images/
  firstlight ingest --overwrite new.tif a.zarr    a.zarr stays whole until the new one is

The image is lossless: `firstlight verify slide.zarr --against slide.svs` compares every sample. What is being written
lies in a hidden directory beside the target until it is complete, so the target is there whole or not at all.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "ingest",
        help="store image files, losslessly, for progressive viewing",
        description="Store image files (TIFF, OME-TIFF, SVS, PNG, JPEG, WebP, .npy) as firstlight images.",
        epilog=EPILOG,
        formatter_class=Formatter,
    )
    parser.add_argument("paths", metavar="SOURCE ... [TARGET]", nargs="+", help="image files; the directory to make")
    parser.add_argument("--overwrite", action="store_true", help="replace an image that is there")
    parser.add_argument("--name", help="the image's name (default: the file's)")
    parser.add_argument(
        "--chunk", type=count, default=4096, metavar="N", help="shards hold up to N x N samples (default: 4096)"
    )
    parser.add_argument("--threads", type=count, metavar="N", help="default: one per processor")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    jobs = _jobs([Path(path) for path in args.paths], args.paths[-1])
    if args.name and len(jobs) > 1:
        raise UsageError("--name is for one image, and there are several sources")
    if args.chunk % 8:
        raise UsageError(f"--chunk: expected a multiple of 8, not {args.chunk}")
    for source, target in jobs:
        summary = store(
            source,
            target,
            overwrite=args.overwrite,
            chunk=args.chunk,
            threads=args.threads,
            name=args.name,
            quiet=args.quiet,
        )
        if not args.quiet:
            print(summary, flush=True)
    return 0


def _jobs(paths: list[Path], last: str) -> list[tuple[Path, Path]]:
    """(source, target) of every image to make; as cp, a last path that is a folder takes them all."""
    if len(paths) == 1:
        return [(paths[0], _target(paths[0], Path()))]
    *sources, target = paths
    # A directory called .zarr is an image, there or to be made; writing checks what is in it.
    folder = last.endswith(os.sep) or (target.is_dir() and target.suffix != ".zarr")
    if folder:
        if not target.is_dir():
            raise UsageError(f"{last}: no such folder to put images into")
        return [(source, _target(source, target)) for source in sources]
    if len(sources) > 1:
        raise UsageError(f"{target}: expected a folder for {len(sources)} images as the last path")
    return [(sources[0], target)]


def _target(source: Path, folder: Path) -> Path:
    from firstlight.ingest.source import image_name

    return folder / f"{image_name(source)}.zarr"


def store(
    source: Path,
    target: Path,
    *,
    overwrite: bool = False,
    chunk: int = 4096,
    threads: int | None = None,
    name: str | None = None,
    quiet: bool = False,
    label: str = "",
) -> str:
    """Ingest one file with a progress bar; a line that sums it up, about `label` (default: the target)."""
    from firstlight.ingest import ingest

    with Progress(f"Ingesting {source.name}", quiet=quiet) as progress:
        layout = ingest(
            source,
            target,
            overwrite=overwrite,
            chunk=chunk,
            threads=threads,
            name=name,
            progress=progress.update,
            note=progress.note,
        )
        took = progress.elapsed
    from firstlight.cli.info import raw_bytes, shape_line

    raw, stored = raw_bytes(layout), layout.stored_bytes or 0
    return (
        f"{label or target}: {shape_line(layout)}, {size(raw)} stored in {size(stored)} ({percent(stored, raw)}), "
        f"{seconds(took)}, {size(raw / max(took, 1e-3))}/s"
    )
