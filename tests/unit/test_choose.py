"""The encoder's choice of transforms: what the caller says, else what an estimate says."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from firstlight import codecs
from support.images import DATA


def chosen(samples: np.ndarray, **options: str) -> tuple[str, str]:
    index = codecs.Index.parse(codecs.encode(samples, **options))
    return index.colour, index.transform


def photo(data: Path) -> np.ndarray:
    return np.asarray(Image.open(data / "kodim23.png"))[:200, :300]


def test_the_caller_decides(data: Path) -> None:
    samples = photo(data)
    for colour in ("none", "rct", "ycocg-r"):
        for transform in ("5/3", "9/7-m", "s-haar"):
            assert chosen(samples, colour=colour, transform=transform) == (colour, transform)
    assert chosen(samples, colour="none")[0] == "none"
    assert chosen(samples, transform="s-haar")[1] == "s-haar"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "red"}, "colour 'red': expected one of"),
        ({"transform": "dct"}, "transform 'dct': expected one of"),
        ({"colour": "rct"}, "needs 3 components, 1 given"),
    ],
)
def test_what_there_is_not(options: dict[str, str], message: str) -> None:
    with pytest.raises(codecs.InvalidArgument, match=message):
        codecs.encode(np.zeros((40, 40), np.uint8), **options)


def test_photos_take_a_colour_transform(data: Path) -> None:
    assert chosen(photo(data))[0] != "none"


def test_labels_take_s_haar() -> None:
    y, x = np.mgrid[:256, :256]
    labels = ((x // 37) * 7 + (y // 29)).astype(np.uint16)
    assert chosen(labels)[1] == "s-haar"


def test_the_estimate_is_near_the_best() -> None:
    """Within 4 % of the best of all nine (or three)."""
    for name in ("kodim23.png", "ct_small.tif", "neubias_xyc_16bit__cell_dna_mts_actin.tif"):
        path = DATA / name
        samples = np.asarray(Image.open(path)) if path.suffix == ".png" else tifffile.imread(path)
        samples = samples[0] if samples.shape[0] == 3 else samples
        colours = ("none", "rct", "ycocg-r") if samples.ndim == 3 else ("none",)
        sizes = [
            len(codecs.encode(samples, colour=colour, transform=transform))
            for colour in colours
            for transform in ("5/3", "9/7-m", "s-haar")
        ]
        assert len(codecs.encode(samples)) <= 1.04 * min(sizes)
