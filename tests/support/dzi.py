"""A Deep Zoom pyramid of JPEG tiles by Pillow: the peer that OpenSeadragon shows."""

import math
from pathlib import Path

from PIL import Image


def cut(source: Image.Image, target: Path, *, quality: int = 85, tile: int = 254, overlap: int = 1) -> Path:
    """Write `target`.dzi and its tiles, as dzsave does by default (254 + 1 pixels a side); the path of the .dzi."""
    width, height = source.size
    descriptor = target.with_suffix(".dzi")
    descriptor.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="jpg" Overlap="{overlap}" TileSize="{tile}">'
        f'<Size Width="{width}" Height="{height}"/></Image>'
    )
    picture = source.convert("RGB")
    for level in range(math.ceil(math.log2(max(width, height))), -1, -1):
        folder = target.with_name(f"{target.name}_files") / str(level)
        folder.mkdir(parents=True)
        for row in range(math.ceil(picture.height / tile)):
            for column in range(math.ceil(picture.width / tile)):
                x, y = column * tile, row * tile
                box = (max(x - overlap, 0), max(y - overlap, 0))
                end = (min(x + tile + overlap, picture.width), min(y + tile + overlap, picture.height))
                picture.crop((*box, *end)).save(folder / f"{column}_{row}.jpg", quality=quality)
        picture = (
            picture.reduce(2)
            if min(picture.size) > 1
            else picture.resize((max(1, (picture.width + 1) // 2), max(1, (picture.height + 1) // 2)))
        )
    return descriptor


def stored(descriptor: Path) -> int:
    """Bytes of all tiles."""
    folder = descriptor.with_name(f"{descriptor.stem}_files")
    return sum(path.stat().st_size for path in folder.rglob("*.jpg"))
