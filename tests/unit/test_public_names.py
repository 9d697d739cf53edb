"""The public names: a change here is a change of the API, and belongs in CHANGELOG.md."""

import importlib
import subprocess
import sys
from importlib.metadata import version

import firstlight
from firstlight import codecs


def test_firstlight() -> None:
    assert sorted(firstlight.__all__) == ["Image", "Picture", "__version__", "errors", "ingest", "open"]
    assert all(hasattr(firstlight, name) for name in firstlight.__all__)


def test_ingest_stays_a_function() -> None:
    """Importing the package `firstlight.ingest` must not put the module in the function's place."""
    importlib.import_module("firstlight.ingest")
    assert callable(firstlight.ingest)


def test_version_is_the_distribution_s() -> None:
    assert firstlight.__version__ == version("firstlight")


def test_errors() -> None:
    assert sorted(firstlight.errors.__all__) == [
        "CodecError",
        "CorruptData",
        "FirstlightError",
        "InsufficientData",
        "InvalidArgument",
        "NotFound",
        "ObjectReplaced",
        "StoreError",
        "TargetError",
        "UnsupportedFormat",
    ]


def test_codecs() -> None:
    assert sorted(codecs.__all__) == [
        "CodecError",
        "CorruptData",
        "Decoder",
        "Index",
        "InsufficientData",
        "InvalidArgument",
        "Level",
        "Region",
        "SegmentId",
        "TileRect",
        "UnsupportedFormat",
        "bound",
        "choose_for_mse",
        "choose_layers",
        "decode",
        "encode",
        "exact_bound",
        "head_size",
        "merge_ranges",
        "mse",
        "segments_for",
        "within_budget",
    ]
    assert all(hasattr(codecs, name) for name in codecs.__all__)


def test_import_is_light() -> None:
    """Opening an image loads neither zarr nor aiohttp nor the readers of image files: a preview starts in a moment."""
    heavy = "{'zarr', 'aiohttp', 'tifffile', 'imagecodecs', 'scipy'}"
    code = f"import sys, firstlight; firstlight.open; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
