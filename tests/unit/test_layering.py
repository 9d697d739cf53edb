"""The dependency arrows of the house (README.md, "Where things are"): every import of every file is checked.

kernels <- codecs <- geometry, layout, plan, session, render <- store, image, write, ingest <- cli, web/server
kernels.wasm <- codecs/js <- viewer/plan <- viewer/data <- viewer/gl <- the rest of the viewer
"""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# ---- Python ---------------------------------------------------------------------------------------------------------

PACKAGES = {
    "firstlight": ROOT / "tiler",
    "firstlight.codecs": ROOT / "codecs" / "python",
    "firstlight.web": ROOT / "web" / "server",
}
PURE_TILER = {"errors", "geometry", "layout", "plan", "render", "selection", "session"}
TOP_TILER = {"cli", "demo", "__main__"}
# Pure modules may compute, nothing else: what they import is listed, so that a new kind of I/O cannot slip in.
PURE_STDLIB = {
    "__future__", "base64", "bisect", "collections", "colorsys", "concurrent", "contextlib", "dataclasses", "enum",
    "functools", "heapq", "io", "itertools", "json", "math", "operator", "re", "struct", "threading", "types", "typing",
    "zlib",
}  # fmt: skip
PURE_THIRD = {"numpy", "scipy", "PIL"}


def layer(module: str) -> int:
    """Rank of a module: it may import its own rank and below."""
    parts = module.split(".")
    if parts[1:2] == ["codecs"]:
        return 0
    if parts[1:2] == ["web"]:
        return 4
    if len(parts) == 1:
        return 3  # the package itself: re-exports the public names, and stays below cli and web
    if parts[1] in TOP_TILER:
        return 5
    return 1 if parts[1] in PURE_TILER else 2


def python_modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            name = ".".join([package, *path.relative_to(folder).with_suffix("").parts]).removesuffix(".__init__")
            found[name] = path
    return found


def imports(module: str, path: Path, known: set[str]) -> set[str]:
    """Every module that a file imports, lazily or not, relative ones resolved."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            submodules = {f"{source}.{alias.name}" for alias in node.names} & known
            plain = any(f"{source}.{alias.name}" not in known for alias in node.names)
            found |= submodules | ({source} if plain else set())
    return found


MODULES = python_modules()


@pytest.mark.parametrize("module", MODULES)
def test_python_arrows(module: str) -> None:
    wrong = []
    for target in imports(module, MODULES[module], set(MODULES)):
        if target.split(".")[0] != "firstlight" or target == module:
            continue
        if layer(target) > layer(module):
            wrong.append(target)
        if target == "firstlight" and layer(module) < 3:
            wrong.append("firstlight (its modules import each other by their own names)")
    assert not wrong, f"{MODULES[module].relative_to(ROOT)} imports {wrong}, which stand above it"


@pytest.mark.parametrize(
    "module",
    [m for m in MODULES if (layer(m) == 0 and m != "firstlight.codecs.zarr") or layer(m) == 1],
)
def test_pure_modules_import_no_io(module: str) -> None:
    allowed = PURE_STDLIB | PURE_THIRD | {"firstlight"} | ({"blosc2", "os"} if layer(module) == 0 else set())
    found = {target.split(".")[0] for target in imports(module, MODULES[module], set(MODULES))}
    assert found <= allowed, f"{MODULES[module].relative_to(ROOT)} is pure, yet imports {sorted(found - allowed)}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith(("firstlight.web", "firstlight.cli"))])
def test_zarr_is_not_needed_to_serve_or_to_view(module: str) -> None:
    """Import time: the server and the command line start without zarr-python (it is loaded where it is used)."""
    tree = ast.parse(MODULES[module].read_text())
    top = {a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names}
    top |= {n.module or "" for n in tree.body if isinstance(n, ast.ImportFrom)}
    assert "zarr" not in {name.split(".")[0] for name in top}


def test_the_standard_library_is_what_we_think() -> None:
    assert set(sys.stdlib_module_names) >= PURE_STDLIB


# ---- C --------------------------------------------------------------------------------------------------------------

FREESTANDING = {"stddef.h", "stdint.h", "string.h", "wasm_simd128.h", "immintrin.h", "arm_neon.h"}
KERNELS = sorted((ROOT / "codecs" / "kernels").glob("*.[ch]"))


@pytest.mark.parametrize("path", KERNELS, ids=lambda p: p.name)
def test_kernels_include_no_libc(path: Path) -> None:
    text = path.read_text()
    system = set(re.findall(r"#\s*include\s*<([^>]+)>", text))
    own = set(re.findall(r'#\s*include\s*"([^"]+)"', text))
    assert system <= FREESTANDING, f"{path.name} includes {sorted(system - FREESTANDING)}"
    assert own <= {p.name for p in KERNELS}, f"{path.name} includes {sorted(own)} from outside codecs/kernels"


# ---- TypeScript -----------------------------------------------------------------------------------------------------

JS = ROOT / "codecs" / "js"
# The one file of the codec that knows pages and Node: how a thread is started, where the kernels' bytes are.
PLATFORM = JS / "src" / "platform.ts"
VIEWER = ROOT / "web" / "viewer" / "src"
RANKS = {"plan": 1, "data": 2, "gl": 3}


def script_rank(path: Path) -> int:
    if path.is_relative_to(JS):
        return 0
    inside = path.relative_to(VIEWER).parts
    return RANKS.get(inside[0], 4) if len(inside) > 1 else 4


def scripts() -> list[Path]:
    found = [p for folder in (JS, VIEWER) for p in sorted(folder.rglob("*.ts"))]
    return [p for p in found if not {"node_modules", "dist"} & set(p.parts)]


@pytest.mark.parametrize("path", scripts(), ids=lambda p: str(p.relative_to(ROOT)))
def test_script_arrows(path: Path) -> None:
    found = re.findall(r"""(?:from|import)\s*\(?\s*["']([^"']+)["']""", path.read_text())
    is_test = path.name.endswith(".test.ts") or "test" in path.relative_to(ROOT).parts
    wrong = []
    for name in found:
        if name.startswith("."):
            target = (path.parent / name).resolve()
            if target.is_relative_to(JS) or target.is_relative_to(VIEWER):
                if script_rank(target) > script_rank(path):
                    wrong.append(name)
            elif not is_test:
                wrong.append(name)
        elif name == "@firstlight/codecs" or (path == PLATFORM and name.startswith("node:")):
            continue
        elif script_rank(path) < 3 and not is_test:
            wrong.append(f"{name} (a package; these sources have none)")
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


# A planner that touches the network or the page cannot be tested from cases: the names themselves are refused.
BROWSER = r"(?<![.\w])(fetch|WebSocket|XMLHttpRequest|localStorage|Worker|setTimeout)\b\s*[.(]"


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in scripts()
        if script_rank(p) <= 1
        and not p.name.endswith(".test.ts")
        and p != PLATFORM
        and p.parent not in (JS / "test", JS / "bench")
    ],
    ids=lambda p: p.name,
)
def test_pure_scripts_do_no_io(path: Path) -> None:
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)
    assert not re.findall(BROWSER, code), f"{path.relative_to(ROOT)} is pure, yet uses {re.findall(BROWSER, code)}"


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 15
    assert len(KERNELS) > 3
    assert len(scripts()) > 8
