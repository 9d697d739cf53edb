"""The repository as a whole: the link tree is fresh, and no file speaks of one person's machine."""

import re
import subprocess
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"firstlight": "tiler", "firstlight.codecs": "codecs/python", "firstlight.web": "web/server"}
MODULES = sorted(
    ".".join([package, *path.relative_to(ROOT / folder).with_suffix("").parts]).removesuffix(".__init__")
    for package, folder in PACKAGES.items()
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "__main__.py"
)


@pytest.mark.parametrize("module", MODULES)
def test_module_is_importable(module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("firstlight"):
            pytest.fail(f"{error.name} is not in the link tree of the editable install: run `make install`")
        raise


@pytest.mark.parametrize("name", ["viewer.js", "worker.js", "kernels.wasm", "index.html"])
def test_bundle_is_package_data(name: str) -> None:
    assert files("firstlight.web").joinpath("dist", name).is_file(), f"dist/{name} is missing: run `make install`"


def test_kernels_are_package_data() -> None:
    assert files("firstlight.codecs").joinpath("kernels.wasm").is_file(), "run `make install`"


# Written as expressions that do not match themselves.
FORBIDDEN = {
    "an absolute path of one machine": r"(?<![\w.:/-])/(?:home|root|Users|work)/[A-Za-z.]",
    "the host of a package registry": r"registry\.npm(?:js)|py(?:pi)\.org|pythonhosted\.(?:org)|deb\.(?:debian)\.org",
}


def text_files() -> list[Path]:
    """What is or would be committed; all files when this is not a git checkout (a source archive)."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.splitlines()]
    else:
        built = {"node_modules", ".venv", "build", "dist", ".git"}
        paths = [p for p in ROOT.rglob("*") if not built & set(p.relative_to(ROOT).parts)]
    return [p for p in paths if p.is_file() and b"\0" not in p.read_bytes()[:4096]]


def test_no_machine_in_the_repository() -> None:
    wrong = []
    for path in text_files():
        text = path.read_text(errors="replace")
        for what, pattern in FORBIDDEN.items():
            for match in re.finditer(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {what}: {match.group()}")
    assert not wrong, "\n".join(wrong[:20])
