"""Every kind of file that ingest reads: samples as they are stored, axes, channels, pixel sizes, and clear refusals."""

import math
import os
import re
import shutil
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from firstlight.ingest import Source, SourceError, open_source
from firstlight.ingest import source as source_module
from firstlight.ingest import tiff as tiff_module

Array = NDArray[Any]


def everything(source: Source) -> Array:
    """All samples along source.axes, read in pieces that fit no tile or strip."""
    out = np.zeros(source.shape, source.dtype)
    height, width = source.shape[-2:]
    leading = [axis for axis in source.axes[:-2] if not (axis == "c" and source.rgb)]
    for place in np.ndindex(*(source.size(axis) for axis in leading)):
        index = dict(zip(leading, place, strict=True))
        at = tuple(index.get(axis, slice(None)) for axis in source.axes[:-2])
        for y in range(0, height, 37):
            for x in range(0, width, 53):
                h, w = min(37, height - y), min(53, width - x)
                part = source.read(index, (y, x, h, w))
                assert part.dtype == source.dtype
                assert part.shape == ((h, w, 3) if source.rgb else (h, w))
                if source.rgb:
                    # c comes before z in the image, and is all there is before y and x otherwise.
                    part = np.moveaxis(part, 2, 0)
                out[(*at, slice(y, y + h), slice(x, x + w))] = part
    return out


def check(path: Path, expected: Array, axes: str, *, rgb: bool = False) -> None:
    with open_source(path) as source:
        assert "".join(source.axes) == axes
        assert source.rgb is rgb
        assert source.shape == expected.shape
        assert source.dtype == expected.dtype
        assert source.dtype.isnative
        assert len(source.channels) == (1 if rgb else source.size("c"))
        np.testing.assert_array_equal(everything(source), expected)


@pytest.fixture(scope="module")
def photo(data: Path) -> Array:
    """(96, 130, 3) uint8, odd parts of a real photo."""
    return np.asarray(Image.open(data / "kodim23.png"))[100:196, 200:330].copy()


@pytest.fixture(scope="module")
def cells(data: Path) -> Array:
    """(3, 350, 350) uint16."""
    return tifffile.imread(data / "neubias_xyc_16bit__cell_dna_mts_actin.tif")


# ---- PNG, JPEG, WebP ------------------------------------------------------------------------------------------------


def test_rgb_and_grey(tmp_path: Path, photo: Array) -> None:
    for name in ("a.png", "a.webp"):
        Image.fromarray(photo).save(tmp_path / name, lossless=True)
        check(tmp_path / name, np.moveaxis(photo, 2, 0), "cyx", rgb=True)
    Image.fromarray(photo[..., 1]).save(tmp_path / "g.png")
    check(tmp_path / "g.png", photo[..., 1], "yx")


def test_jpeg_is_what_pillow_decodes(data: Path, tmp_path: Path, photo: Array) -> None:
    Image.fromarray(photo).save(tmp_path / "a.jpg", quality=90)
    check(tmp_path / "a.jpg", np.moveaxis(np.asarray(Image.open(tmp_path / "a.jpg")), 2, 0), "cyx", rgb=True)


def test_jpeg_orientation_is_applied(tmp_path: Path, photo: Array) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown rotated clockwise
    Image.fromarray(photo).save(tmp_path / "a.jpg", exif=exif, quality=95)
    stored = np.asarray(Image.open(tmp_path / "a.jpg"))
    check(tmp_path / "a.jpg", np.moveaxis(np.rot90(stored, -1), 2, 0), "cyx", rgb=True)


@pytest.mark.parametrize("colours", [2, 7, 200])
def test_palette_becomes_rgb(tmp_path: Path, photo: Array, colours: int) -> None:
    image = Image.fromarray(photo).quantize(colours)
    image.save(tmp_path / "p.png")
    check(tmp_path / "p.png", np.moveaxis(np.asarray(image.convert("RGB")), 2, 0), "cyx", rgb=True)


def test_one_bit_becomes_0_and_1(tmp_path: Path, photo: Array) -> None:
    image = Image.fromarray(photo).convert("1")
    image.save(tmp_path / "b.png")
    check(tmp_path / "b.png", np.asarray(image).astype(np.uint8), "yx")


def test_16_bit_png(tmp_path: Path, cells: Array) -> None:
    Image.fromarray(cells[2]).save(tmp_path / "g.png")
    check(tmp_path / "g.png", cells[2], "yx")
    colour = np.ascontiguousarray(np.moveaxis(cells, 0, 2))
    (tmp_path / "c.png").write_bytes(imagecodecs.png_encode(colour))
    check(tmp_path / "c.png", cells, "cyx", rgb=True)


def test_opaque_alpha_is_dropped(tmp_path: Path, photo: Array) -> None:
    full = np.full((*photo.shape[:2], 1), 255, np.uint8)
    Image.fromarray(np.concatenate([photo, full], 2)).save(tmp_path / "a.png")
    check(tmp_path / "a.png", np.moveaxis(photo, 2, 0), "cyx", rgb=True)
    Image.fromarray(np.concatenate([photo[..., :1], full], 2), "LA").save(tmp_path / "g.png")
    check(tmp_path / "g.png", photo[..., 0], "yx")
    deep = np.concatenate([photo * np.uint16(257), full * np.uint16(257)], 2)
    (tmp_path / "d.png").write_bytes(imagecodecs.png_encode(deep))
    check(tmp_path / "d.png", np.moveaxis(deep[..., :3], 2, 0), "cyx", rgb=True)


def test_alpha_that_matters_stays_a_channel(tmp_path: Path, photo: Array) -> None:
    rgba = np.concatenate([photo, photo[..., 1:2]], 2)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    check(tmp_path / "a.png", np.moveaxis(rgba, 2, 0), "cyx")
    with open_source(tmp_path / "a.png") as source:
        assert [one.label for one in source.channels] == ["Red", "Green", "Blue", "Alpha"]
        assert [one.active for one in source.channels] == [True, True, True, False]
    grey = rgba[..., 2:]
    Image.fromarray(grey, "LA").save(tmp_path / "g.png")
    check(tmp_path / "g.png", np.moveaxis(grey, 2, 0), "cyx")


def test_transparent_colour_is_alpha(tmp_path: Path, photo: Array) -> None:
    Image.fromarray(photo).save(tmp_path / "t.png", transparency=tuple(int(v) for v in photo[3, 4]))
    check(tmp_path / "t.png", np.moveaxis(np.asarray(Image.open(tmp_path / "t.png").convert("RGBA")), 2, 0), "cyx")
    palette = Image.fromarray(photo).quantize(16)
    palette.save(tmp_path / "p.png", transparency=3)
    check(tmp_path / "p.png", np.moveaxis(np.asarray(Image.open(tmp_path / "p.png").convert("RGBA")), 2, 0), "cyx")


def test_pictures_that_are_refused(tmp_path: Path, photo: Array) -> None:
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "k.jpg")
    with pytest.raises(SourceError, match=r"k\.jpg: expected a grey, palette or RGB picture, found CMYK"):
        open_source(tmp_path / "k.jpg")
    frames = [Image.fromarray(photo), Image.fromarray(255 - photo)]
    for name in ("m.webp", "m.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(SourceError, match="expected a still picture, found an animation of 2 frames"):
            open_source(tmp_path / name)


def test_a_small_file_that_claims_to_be_huge(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for bits, colour in ((8, 2), (16, 2)):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, bits, colour, 0, 0, 0))
        bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        (tmp_path / "bomb.png").write_bytes(bomb)
        with pytest.raises(
            SourceError, match=r"bomb\.png: a PNG can only be decoded whole; expected at most 2147483648"
        ):
            open_source(tmp_path / "bomb.png")
    tifffile.imwrite(tmp_path / "bomb.tif", np.zeros((16, 16), np.uint8), compression="zlib", rowsperstrip=16)
    with tifffile.TiffFile(tmp_path / "bomb.tif", mode="r+") as tif:
        for name in ("ImageLength", "ImageWidth", "RowsPerStrip"):
            tif.pages.first.tags[name].overwrite(60000)
    with pytest.raises(SourceError, match="a strip or tile of it can only be decoded whole"):
        open_source(tmp_path / "bomb.tif")


# ---- TIFF -----------------------------------------------------------------------------------------------------------

LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {"rowsperstrip": 1000},
    "strips": {"rowsperstrip": 7},
    "strips, big-endian": {"rowsperstrip": 7, "byteorder": ">"},
    "tiles": {"tile": (32, 48)},
    "tiles, big-endian": {"tile": (32, 48), "byteorder": ">"},
    "BigTIFF": {"tile": (16, 16), "bigtiff": True},
    "deflate strip": {"compression": "zlib", "rowsperstrip": 1000},
    "deflate strips": {"compression": "zlib", "rowsperstrip": 10},
    "deflate tiles": {"compression": "zlib", "tile": (32, 48)},
    "deflate tiles, predictor, big-endian": {
        "compression": "zlib", "predictor": True, "tile": (32, 48), "byteorder": ">"},
    "LZW": {"compression": "lzw", "predictor": True, "rowsperstrip": 5},
    "zstd": {"compression": "zstd", "tile": (64, 64)},
    "PackBits": {"compression": "packbits", "rowsperstrip": 3},
}  # fmt: skip


@pytest.mark.parametrize("options", LAYOUTS.values(), ids=LAYOUTS)
def test_tiff_layouts(tmp_path: Path, photo: Array, cells: Array, options: dict[str, Any]) -> None:
    path = tmp_path / "a.tif"
    for grey in (photo[..., 0], cells[2, :99, :131], cells[2, :99, :131].astype(np.int16), photo[..., 0].view(np.int8)):
        tifffile.imwrite(path, grey, photometric="minisblack", metadata=None, **options)
        check(path, grey, "yx")
    tifffile.imwrite(path, photo, photometric="rgb", metadata=None, **options)
    check(path, np.moveaxis(photo, 2, 0), "cyx", rgb=True)
    tifffile.imwrite(
        path, np.moveaxis(photo, 2, 0), photometric="rgb", planarconfig="separate", metadata=None, **options
    )
    check(path, np.moveaxis(photo, 2, 0), "cyx", rgb=True)
    bands = np.concatenate([photo, 255 - photo], 2)
    for planar in ("contig", "separate"):
        stored = bands if planar == "contig" else np.moveaxis(bands, 2, 0)
        tifffile.imwrite(path, stored, photometric="minisblack", planarconfig=planar, metadata=None, **options)
        check(path, np.moveaxis(bands, 2, 0), "cyx")
        with open_source(path) as source:
            assert source.interleaved is (planar == "contig")
    tifffile.imwrite(path, cells, photometric="minisblack", metadata=None, **options)
    check(path, cells, "zyx")  # pages of no stated meaning are a stack


def test_tiff_rgb_of_16_bits_and_alpha(tmp_path: Path, photo: Array) -> None:
    deep = photo * np.uint16(257)
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    check(tmp_path / "a.tif", np.moveaxis(deep, 2, 0), "cyx", rgb=True)
    for compression in (None, "zlib"):
        opaque = np.concatenate([photo, np.full_like(photo[..., :1], 255)], 2)
        tifffile.imwrite(
            tmp_path / "o.tif", opaque, photometric="rgb", extrasamples=["unassalpha"], compression=compression
        )
        check(tmp_path / "o.tif", np.moveaxis(photo, 2, 0), "cyx", rgb=True)
        seen = np.concatenate([photo, photo[..., :1]], 2)
        tifffile.imwrite(
            tmp_path / "s.tif", seen, photometric="rgb", extrasamples=["unassalpha"], compression=compression
        )
        check(tmp_path / "s.tif", np.moveaxis(seen, 2, 0), "cyx")
        with open_source(tmp_path / "s.tif") as source:
            assert [one.label for one in source.channels] == ["Red", "Green", "Blue", "Alpha"]
        grey = seen[..., 2:]
        tifffile.imwrite(
            tmp_path / "g.tif", grey, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"],
            compression=compression,
        )  # fmt: skip
        check(tmp_path / "g.tif", np.moveaxis(grey, 2, 0), "cyx")
    infrared = np.concatenate([photo, photo[..., :1]], 2)
    tifffile.imwrite(tmp_path / "n.tif", infrared, photometric="rgb", extrasamples=["unspecified"])
    check(tmp_path / "n.tif", np.moveaxis(infrared, 2, 0), "cyx")
    with open_source(tmp_path / "n.tif") as source:
        assert [one.label for one in source.channels] == ["Red", "Green", "Blue", "3"]


def test_tiff_jpeg(tmp_path: Path, photo: Array) -> None:
    for options in ({"tile": (32, 32)}, {"rowsperstrip": 16}):
        tifffile.imwrite(
            tmp_path / "a.tif", photo, photometric="ycbcr", compression="jpeg", subsampling=(2, 2), **options
        )
        check(tmp_path / "a.tif", np.moveaxis(tifffile.imread(tmp_path / "a.tif"), 2, 0), "cyx", rgb=True)


def test_tiff_palette_bilevel_and_negative(tmp_path: Path, photo: Array) -> None:
    index = photo[..., 0] >> 2
    colours = np.random.default_rng(7).integers(0, 256, (3, 256), np.uint8)
    tifffile.imwrite(tmp_path / "p.tif", index, photometric="palette", colormap=colours.astype(np.uint16) * 257)
    check(tmp_path / "p.tif", colours[:, index], "cyx", rgb=True)
    deep = np.random.default_rng(8).integers(0, 65536, (3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "p16.tif", index, photometric="palette", colormap=deep)
    check(tmp_path / "p16.tif", deep[:, index], "cyx", rgb=True)
    ink = photo[..., 0] > 100
    tifffile.imwrite(tmp_path / "b.tif", ink, photometric="minisblack")
    check(tmp_path / "b.tif", ink.astype(np.uint8), "yx")
    tifffile.imwrite(tmp_path / "w.tif", ink, photometric="miniswhite")
    check(tmp_path / "w.tif", 1 - ink.astype(np.uint8), "yx")
    for grey in (photo[..., 0], photo[..., 0] * np.uint16(257)):
        tifffile.imwrite(tmp_path / "n.tif", grey, photometric="miniswhite")
        check(tmp_path / "n.tif", np.iinfo(grey.dtype).max - grey, "yx")


def test_sparse_tiles_are_the_nodata_value(tmp_path: Path, cells: Array) -> None:
    image = cells[2, :96, :96]

    def tiles() -> Any:
        for n in range(9):
            y, x = divmod(n, 3)
            yield b"" if n in (2, 7) else zlib.compress(image[y * 32 : y * 32 + 32, x * 32 : x * 32 + 32].tobytes())

    tifffile.imwrite(
        tmp_path / "s.tif", tiles(), shape=(96, 96), dtype=np.uint16, tile=(32, 32), compression="zlib", metadata=None,
        extratags=[(42113, 2, 0, "77", True)],
    )  # fmt: skip
    expected = image.copy()
    expected[:32, 64:] = expected[64:, 32:64] = 77
    check(tmp_path / "s.tif", expected, "yx")


def test_the_largest_image_of_a_pyramid(tmp_path: Path, photo: Array) -> None:
    with tifffile.TiffWriter(tmp_path / "p.tif") as writer:
        writer.write(photo[::4, ::4], photometric="rgb", metadata=None)  # a thumbnail first
        writer.write(photo, photometric="rgb", tile=(32, 32), subifds=1, metadata=None)
        writer.write(photo[::2, ::2], photometric="rgb", tile=(32, 32), subfiletype=1, metadata=None)
    check(tmp_path / "p.tif", np.moveaxis(photo, 2, 0), "cyx", rgb=True)


@pytest.mark.parametrize("order", ["TCZYX", "TZCYX", "ZTCYX", "CZTYX"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (32, 32)}], ids=["raw", "deflate"])
def test_ome_tiff_with_t_z_and_c(tmp_path: Path, cells: Array, order: str, options: dict[str, Any]) -> None:
    sizes = {"T": 2, "C": 3, "Z": 4, "Y": 40, "X": 50}
    block = np.ascontiguousarray(cells.reshape(-1)[: math.prod(sizes.values())])
    image = block.reshape([sizes[axis] for axis in order])
    metadata = {
        "axes": order, "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 250.0,
        "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 1.5, "TimeIncrement": 30.0, "TimeIncrementUnit": "s",
        "Channel": {"Name": ["DAPI", "GFP", "Cy5"], "Color": [0x0000FFFF, 0x00FF00FF, 0xFF0000FF - 2**32]},
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "a.ome.tif", image, photometric="minisblack", metadata=metadata, **options)
    expected = image.transpose([order.index(axis) for axis in "TCZYX"])
    check(tmp_path / "a.ome.tif", expected, "tczyx")
    with open_source(tmp_path / "a.ome.tif") as source:
        assert source.name == "a"
        assert [(one.label, one.color) for one in source.channels] == [
            ("DAPI", "#0000ff"), ("GFP", "#00ff00"), ("Cy5", "#ff0000")]  # fmt: skip
        assert source.pixel_size == {
            "x": (0.25, "micrometer"), "y": (250.0, "nanometer"), "z": (1.5, "micrometer"),
            "t": (30.0, "second")}  # fmt: skip


def test_ome_tiff_in_several_files(tmp_path: Path, cells: Array) -> None:
    ome = tifffile.OmeXml()
    ome.addimage(np.uint16, (2, 350, 350), (2, 1, 1, 350, 350, 1), axes="ZYX")
    text = ome.tostring()
    block = "".join(
        f'<TiffData FirstZ="{n}" IFD="0"><UUID FileName="{n}.ome.tif">urn:uuid:{n:032x}</UUID></TiffData>'
        for n in range(2)
    )

    text = re.sub(r"<TiffData.*?(/>|</TiffData>)", "", text, flags=re.DOTALL).replace("</Pixels>", block + "</Pixels>")
    for n in range(2):
        own = re.sub(r'UUID="[^"]*"', f'UUID="urn:uuid:{n:032x}"', text, count=1)
        tifffile.imwrite(
            tmp_path / f"{n}.ome.tif", cells[n], description=own.encode(), metadata=None, compression="zlib"
        )
    check(tmp_path / "0.ome.tif", cells[:2], "zyx")
    (tmp_path / "1.ome.tif").unlink()
    with pytest.raises(SourceError, match=r"0\.ome\.tif: expected"):
        open_source(tmp_path / "0.ome.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_imagej_hyperstack(tmp_path: Path, cells: Array, compression: str | None) -> None:
    image = np.ascontiguousarray(cells.reshape(-1)[: 2 * 4 * 3 * 40 * 50]).reshape(2, 4, 3, 40, 50)
    red, green = np.zeros((2, 3, 256), np.uint8)
    red[0] = green[1] = range(256)
    blue = red[::-1]
    tifffile.imwrite(
        tmp_path / "h.tif", image, imagej=True, compression=compression, resolution=(4, 5),
        metadata={"axes": "TZCYX", "unit": "um", "spacing": 2.5, "finterval": 0.5, "mode": "composite",
                  "Ranges": (10, 2000, 0, 65535, 5, 700), "LUTs": [red, green, blue]},
    )  # fmt: skip
    check(tmp_path / "h.tif", image.swapaxes(1, 2), "tczyx")
    with open_source(tmp_path / "h.tif") as source:
        assert source.pixel_size == {
            "x": (0.25, "micrometer"), "y": (0.2, "micrometer"), "z": (2.5, "micrometer"),
            "t": (0.5, "second")}  # fmt: skip
        assert [one.color for one in source.channels] == ["#ff0000", "#00ff00", "#0000ff"]
        # 0..65535 is nobody's choice of contrast.
        assert [one.window for one in source.channels] == [(10, 2000), None, (5, 700)]


def test_many_planes_behind_one_page(tmp_path: Path, cells: Array) -> None:
    tifffile.imwrite(tmp_path / "s.tif", cells, photometric="minisblack", metadata={"axes": "CYX"}, truncate=True)
    with tifffile.TiffFile(tmp_path / "s.tif") as tif:
        assert len(tif.pages) == 1
    check(tmp_path / "s.tif", cells, "cyx")


def test_imagej_labels_and_grey_tables(tmp_path: Path, cells: Array) -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
    tifffile.imwrite(
        tmp_path / "c.tif", cells, imagej=True,
        metadata={"axes": "CYX", "Labels": ["DNA", "MTs", "Actin"], "LUTs": [grey] * 3, "mode": "color"},
    )  # fmt: skip
    with open_source(tmp_path / "c.tif") as source:
        assert [(one.label, one.color) for one in source.channels] == [("DNA", None), ("MTs", None), ("Actin", None)]


def test_imagej_palette_stays_one_channel(tmp_path: Path, photo: Array) -> None:
    table = np.zeros((3, 256), np.uint8)
    table[1] = range(256)
    tifffile.imwrite(tmp_path / "p.tif", photo[..., 0], imagej=True, colormap=table.astype(np.uint16) * 257)
    check(tmp_path / "p.tif", photo[..., 0], "yx")


def test_resolution_tags(tmp_path: Path, photo: Array) -> None:
    for resolution, unit, size in (
        ((40000, 20000), "centimeter", {"x": (0.25, "micrometer"), "y": (0.5, "micrometer")}),
        ((25400, 25400), "inch", {"x": (1.0, "micrometer"), "y": (1.0, "micrometer")}),
        ((300, 300), "inch", {}),  # paper
        ((4, 4), "none", {}),
    ):
        tifffile.imwrite(tmp_path / "r.tif", photo, resolution=resolution, resolutionunit=unit, metadata=None)
        with open_source(tmp_path / "r.tif") as source:
            assert source.pixel_size == pytest.approx(size) if not size else source.pixel_size.keys() == size.keys()
            for axis, (value, name) in source.pixel_size.items():
                assert (pytest.approx(value), name) == size[axis]


REAL = {
    "CMU-1-Small-Region.svs": ("cyx", True, {"x": (0.499, "micrometer"), "y": (0.499, "micrometer")}, {}),
    "OS-1-detail.ome.tif": ("cyx", True, {"x": (0.2271, "micrometer"), "y": (0.2271, "micrometer")}, {}),
    "neubias_xyc_16bit__hela-cells.tif": (
        "cyx", False, {"x": (0.0515, "micrometer"), "y": (0.0515, "micrometer")},
        {"colors": ["#ff0000", "#00ff00", "#0000ff"], "windows": [(165.0, 2832.0)] * 3}),
    "neubias_xyc_16bit__cell_dna_mts_actin.tif": (
        "cyx", False, {"x": (0.1325, "micrometer"), "y": (0.1325, "micrometer")},
        {"colors": ["#00ffff", "#ff00ff", "#ffff00"], "windows": [(143.0, 465.0), (110.0, 509.0), (115.0, 5055.0)]}),
    "neubias_xyzc_16bit__dna_conf_wf.tif": (
        "czyx", False,
        {"x": (0.5119, "micrometer"), "y": (0.5119, "micrometer"), "z": (0.4994, "micrometer")},
        {"colors": ["#ff00ff", "#00ff00"], "windows": [None, (624.0, 6281.91015625)]}),
    "neubias_xy_8bit__em_mitochondria_er.tif": ("yx", False, {"x": (8.0, "nanometer"), "y": (8.0, "nanometer")}, {}),
    "L7_ETMs.tif": ("cyx", False, {"x": (28.5, "meter"), "y": (28.5, "meter")}, {}),
    "ct_small.tif": ("yx", False, {}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_files(data: Path, name: str) -> None:
    axes, rgb, size, said = REAL[name]
    with open_source(data / name) as source:
        assert ("".join(source.axes), source.rgb) == (axes, rgb)
        assert source.pixel_size.keys() == size.keys()
        for axis, (value, unit) in source.pixel_size.items():
            assert (value, unit) == (pytest.approx(size[axis][0], rel=1e-3), size[axis][1])
        if "colors" in said:
            assert [one.color for one in source.channels] == said["colors"]
            assert [one.window for one in source.channels] == said["windows"]


def test_real_z_stack(data: Path) -> None:
    path = data / "neubias_xyzc_16bit__dna_conf_wf.tif"
    check(path, tifffile.imread(path).swapaxes(0, 1), "czyx")


def test_tiffs_that_are_refused(tmp_path: Path, photo: Array) -> None:
    path = tmp_path / "x.tif"
    for dtype in ("float32", "uint32", "int32", "float64", "complex64"):
        tifffile.imwrite(path, photo[..., 0].astype(dtype))
        with pytest.raises(
            SourceError, match=rf"x\.tif: expected samples of uint8, int8, uint16, int16, found {dtype}"
        ):
            open_source(path)
    tifffile.imwrite(path, np.dstack([photo, photo[..., :1]]), photometric="separated")
    with pytest.raises(SourceError, match=r"x\.tif: expected a grey, palette or RGB image, found CMYK"):
        open_source(path)
    tifffile.imwrite(path, photo, photometric="ycbcr")
    with pytest.raises(SourceError, match="found other YCbCr"):
        open_source(path)
    tifffile.imwrite(path, np.zeros((2, 3, 16, 16), np.uint8), metadata={"axes": "AZYX"}, photometric="minisblack")
    with pytest.raises(SourceError, match=r"x\.tif: expected axes of T, C, Z, Y, X, found AZYX"):
        open_source(path)


def test_only_the_tiles_under_a_region_are_decoded(
    tmp_path: Path, cells: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "t.tif", cells[2], tile=(32, 32), compression="zlib")
    read: list[int] = []
    original = tiff_module.RawFile.bytes

    def counted(self: tiff_module.RawFile, offset: int, size: int) -> bytes:
        read.append(offset)
        return original(self, offset, size)

    monkeypatch.setattr(tiff_module.RawFile, "bytes", counted)
    with open_source(tmp_path / "t.tif") as source:
        np.testing.assert_array_equal(source.read({}, (64, 96, 64, 32)), cells[2, 64:128, 96:128])
        assert len(read) == 2
        source.read({}, (65, 97, 62, 30))  # these reach out of the region: kept
        assert len(read) == 4
        source.read({}, (65, 97, 62, 30))
        assert len(read) == 4


def test_what_is_kept_is_bounded(tmp_path: Path, cells: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_module, "CACHE_BYTES", 40000)
    tifffile.imwrite(tmp_path / "t.tif", cells[2], rowsperstrip=20, compression="zlib")
    with open_source(tmp_path / "t.tif") as source:
        np.testing.assert_array_equal(everything(source), cells[2])
        kept = [item.result().nbytes for item in source._cache._items.values()]  # type: ignore[attr-defined]
        assert 0 < sum(kept) <= 40000


def test_threads_read_one_source(tmp_path: Path, cells: Array) -> None:
    tifffile.imwrite(tmp_path / "t.tif", np.moveaxis(cells, 0, 2), photometric="minisblack", planarconfig="contig",
                     rowsperstrip=64, compression="zlib")  # fmt: skip
    wrong: list[int] = []
    with open_source(tmp_path / "t.tif") as source:

        def work(c: int) -> None:
            for _ in range(5):
                if not np.array_equal(source.read({"c": c}, (3, 5, 300, 300)), cells[c, 3:303, 5:305]):
                    wrong.append(c)

        threads = [threading.Thread(target=work, args=(n % 3,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


# ---- NumPy ----------------------------------------------------------------------------------------------------------


def test_npy_axes(tmp_path: Path, photo: Array, cells: Array) -> None:
    path = tmp_path / "a.npy"

    def save(array: Array) -> Path:
        np.save(path, array)
        return path

    check(save(cells[0]), cells[0], "yx")
    check(save(cells.astype(">u2")), cells, "zyx")
    check(save(np.asfortranarray(cells)), cells, "zyx")
    check(save(cells.astype(np.int16)), cells.astype(np.int16), "zyx")
    check(save(photo), np.moveaxis(photo, 2, 0), "cyx", rgb=True)
    check(save(np.asfortranarray(photo)), np.moveaxis(photo, 2, 0), "cyx", rgb=True)
    check(save(photo.astype(np.uint16)), np.moveaxis(photo, 2, 0).astype(np.uint16), "cyx", rgb=True)
    signed = photo.astype(np.int16)
    check(save(signed), signed, "zyx")  # not colour: signed
    stack = np.stack([photo, 255 - photo])
    with open_source(save(stack)) as source:
        assert (source.axes, source.shape, source.rgb) == (("c", "z", "y", "x"), (3, 2, 96, 130), True)
        np.testing.assert_array_equal(source.read({"z": 1}, (5, 6, 30, 40)), stack[1, 5:35, 6:46])
    four = cells.reshape(3, 5, 70, 350)
    check(save(four), four, "czyx")
    five = cells.reshape(3, 5, 7, 10, 350)
    check(save(five), five, "tczyx")
    opaque = np.dstack([photo, np.full_like(photo[..., 0], 255)])
    check(save(opaque), np.moveaxis(photo, 2, 0), "cyx", rgb=True)
    seen = np.dstack([photo, photo[..., 0]])
    check(save(seen), np.moveaxis(seen, 2, 0), "cyx")


def test_npy_that_is_refused(tmp_path: Path, photo: Array) -> None:
    path = tmp_path / "a.npy"
    for dtype in ("float32", "float64", "uint32", "int64", "bool", "complex64"):
        np.save(path, photo[..., 0].astype(dtype))
        with pytest.raises(
            SourceError, match=rf"a\.npy: expected samples of uint8, int8, uint16, int16, found {dtype}"
        ):
            open_source(path)
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(SourceError, match="found object"):
        open_source(path)
    for shape in ((7,), (0, 4), (1, 1, 1, 1, 1, 1)):
        np.save(path, np.zeros(shape, np.uint8))
        with pytest.raises(SourceError, match=r"a\.npy: expected an array of 2 to 5 axes"):
            open_source(path)


# ---- damage ---------------------------------------------------------------------------------------------------------


def read_or_refused(path: Path) -> tuple[tuple[str, ...], Array] | None:
    """(axes, samples), or None for a file that is refused in one line that names it."""
    refusal = ""
    try:
        with open_source(path) as source:
            # A flipped byte can make a file claim any size.
            return source.axes, everything(source) if math.prod(source.shape) < 1e6 else np.empty(0)
    except SourceError as error:
        refusal = str(error)
    assert refusal.startswith(f"{path}: ")
    assert "\n" not in refusal
    return None


def _damaged_or_exact(path: Path, whole: bytes, cuts: list[int]) -> None:
    """However a file is cut, it is refused, or every sample is right (only something after the image is missing)."""
    path.write_bytes(whole)
    with open_source(path) as source:
        expected, axes = everything(source), source.axes
    for cut in cuts:
        path.write_bytes(whole[:cut])
        found = read_or_refused(path)
        if found is None:
            continue
        assert found[0] == axes, f"cut at {cut} of {len(whole)}"
        np.testing.assert_array_equal(found[1], expected, err_msg=f"cut at {cut} of {len(whole)}")


def _cuts(size: int) -> list[int]:
    return sorted(
        {*range(0, min(size, 200), 3), *range(200, size, max(1, size // 40)), *range(max(0, size - 12), size)}
    )


def _save(kind: str, **options: Any) -> Callable[[Path, Array], None]:
    return lambda path, photo: Image.fromarray(photo).save(path, kind, **options)


CUT: dict[str, Callable[[Path, Array], None]] = {
    "png": _save("PNG"),
    "jpeg": _save("JPEG"),
    "progressive jpeg": _save("JPEG", progressive=True),
    "webp": _save("WEBP", lossless=True),
    "deep png": lambda path, photo: path.write_bytes(imagecodecs.png_encode(photo * np.uint16(257))) and None,
    "npy": lambda path, photo: path.write_bytes(_npy(photo)) and None,
    "tiff": lambda path, photo: tifffile.imwrite(path, photo, photometric="rgb"),
    "tiff strips": lambda path, photo: tifffile.imwrite(path, photo, compression="zlib", rowsperstrip=10),
    "tiff tiles": lambda path, photo: tifffile.imwrite(path, photo, compression="jpeg", tile=(32, 32)),
    "tiff pages": lambda path, photo: tifffile.imwrite(
        path, np.moveaxis(photo, 2, 0), photometric="minisblack", metadata=None, compression="zlib"),
    "tiff raw pages": lambda path, photo: tifffile.imwrite(
        path, np.moveaxis(photo, 2, 0), photometric="minisblack", metadata=None, contiguous=False),
    "imagej": lambda path, photo: tifffile.imwrite(
        path, np.moveaxis(photo, 2, 0), imagej=True, metadata={"axes": "ZYX"}),
    "imagej pages": lambda path, photo: tifffile.imwrite(
        path, np.moveaxis(photo, 2, 0), imagej=True, metadata={"axes": "CYX"}, compression="zlib"),
    "ome": lambda path, photo: tifffile.imwrite(
        path, np.moveaxis(photo, 2, 0), ome=True, metadata={"axes": "CYX"}, compression="zlib",
        photometric="minisblack"),
}  # fmt: skip


def _npy(array: Array) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("write", CUT.values(), ids=CUT)
def test_cut_files(tmp_path: Path, photo: Array, write: Callable[[Path, Array], None]) -> None:
    path = tmp_path / "a.bin"
    write(path, photo)
    whole = path.read_bytes()
    _damaged_or_exact(path, whole, _cuts(len(whole)))


def test_cut_imagej_stack(data: Path, tmp_path: Path) -> None:
    whole = (data / "neubias_xyzc_16bit__dna_conf_wf.tif").read_bytes()
    path = tmp_path / "z.tif"
    _damaged_or_exact(path, whole, [len(whole) * n // 7 for n in range(7)])


def test_cut_slide_says_what_was_expected(data: Path, tmp_path: Path) -> None:
    whole = (data / "CMU-1-Small-Region.svs").read_bytes()
    (tmp_path / "s.svs").write_bytes(whole[:1_000_000])
    with pytest.raises(SourceError, match=r"s\.svs: expected a"):
        open_source(tmp_path / "s.svs")


def test_flipped_bytes_never_crash(tmp_path: Path, photo: Array) -> None:
    rng = np.random.default_rng(3)
    for name in ("tiff tiles", "tiff strips", "imagej pages", "ome", "png", "jpeg", "deep png", "npy"):
        path = tmp_path / "f.bin"
        CUT[name](path, photo)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            # Headers are where damage hurts.
            places = rng.integers(0, min(len(whole), 600 if rng.random() < 0.7 else len(whole)), 3)
            damaged[places] ^= rng.integers(1, 256, 3).astype(np.uint8)
            path.write_bytes(damaged.tobytes())
            read_or_refused(path)


# ---- what is no image -----------------------------------------------------------------------------------------------


def test_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, words: str) -> None:
        with pytest.raises(SourceError, match=words) as caught:
            open_source(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)

    refused(tmp_path / "none.tif", "no such file")
    refused(tmp_path, "expected an image file, found a directory")
    text = tmp_path / "notes.tif"
    text.write_text("Hello, this is no image at all.\nReally.\n")
    refused(text, "expected an image .*, found text: 'Hello, this is n'")
    text.write_bytes(b"")
    refused(text, "found an empty file")
    text.write_bytes(bytes(range(128, 256)))
    refused(text, "found a file that starts with the bytes 80 81 82")
    text.write_bytes(b"SIMPLE  =                    T")
    refused(text, "found FITS, which is not supported")
    text.write_bytes(b"II*\0\x74\x18\x08\0".ljust(128, b"\0") + b"DICM")
    refused(text, "found DICOM, which is not supported")
    text.write_bytes(b"II*\0 just the first bytes of a TIFF")
    refused(text, "expected a")
    text.chmod(0)
    if os.access(text, os.R_OK):  # root reads everything

        def denied(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(source_module, "open", denied, raising=False)
    refused(text, "can't be read: Permission denied")


def test_content_decides_not_the_name(tmp_path: Path, data: Path, photo: Array) -> None:
    shutil.copy(data / "ct_small.tif", tmp_path / "ct.png")
    with open_source(tmp_path / "ct.png") as source:
        assert source.dtype == np.int16
    Image.fromarray(photo).save(tmp_path / "photo.dat", "PNG")
    with open_source(tmp_path / "photo.dat") as source:
        assert (source.name, source.rgb) == ("photo", True)
