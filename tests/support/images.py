"""The real images of tests/data, ingested once per test run. Origins and licences: tests/data/README.md."""

from pathlib import Path

import firstlight

from .servers import ROOT

DATA = ROOT / "tests" / "data"
# name of the image -> its source: an RGB slide, an RGB photo (uneven sides), 16-bit channels, a 16-bit stack, signed CT
SOURCES = {
    "slide": "CMU-1-Small-Region.svs",
    "photo": "kodim23.png",
    "cells": "neubias_xyc_16bit__cell_dna_mts_actin.tif",
    "stack": "neubias_xyzc_16bit__dna_conf_wf.tif",
    "ct": "ct_small.tif",
}


def ingest_all(folder: Path) -> Path:
    """Ingest every source as `folder/<name>.zarr`."""
    for name, source in SOURCES.items():
        firstlight.ingest(DATA / source, folder / f"{name}.zarr")
    return folder
