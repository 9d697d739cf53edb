"""Builds the C kernels twice from the same files: as a CPython extension and as WebAssembly."""

import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = sorted(str(path) for path in Path("codecs/kernels").glob("*.c"))
HEADERS = sorted(str(path) for path in Path("codecs/kernels").glob("*.h"))
WASM = "firstlight.codecs.kernels"  # installed as firstlight/codecs/kernels.wasm
# Warnings are errors in `make check-c`, not on the machine of somebody with another compiler.
C_FLAGS = ["-std=c11", "-O3", "-Wall", "-Wextra", "-Wno-psabi", "-fvisibility=hidden"]
# What a reader calls; the linker leaves out the rest. WebAssembly decodes only.
WASM_EXPORTS = [
    "__heap_base",
    "fl_info_size",
    "fl_head_parse",
    "fl_head_index",
    "fl_head_values",
    "fl_wavelet_tile_size",
    "fl_wavelet_decode_scratch",
    "fl_wavelet_tile_decode",
    "fl_wavelet_region_workspace",
    "fl_wavelet_region",
]
WASM_LINK = [
    "-nostdlib",
    "-Wl,--no-entry",
    *(f"-Wl,--export={name}" for name in WASM_EXPORTS),
    "-Wl,--strip-all",
    "-Wl,-z,stack-size=262144",
]


class BuildKernels(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        # setuptools also asks with the bare last component, to name an in-place copy.
        if fullname.rpartition(".")[2] == "kernels":
            return fullname.replace(".", "/") + ".wasm"
        return super().get_ext_filename(fullname)

    def build_extension(self, ext: Extension) -> None:
        if ext.name != WASM:
            return super().build_extension(ext)
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-msimd128"]
        subprocess.run([*zig, *C_FLAGS, *WASM_LINK, "-o", str(target), *ext.sources], check=True)
        return None


setup(
    ext_modules=[
        Extension(
            "firstlight.codecs._native",
            ["codecs/python/_native.c", *KERNELS],
            include_dirs=["codecs/kernels"],
            depends=HEADERS,
            py_limited_api=True,
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=C_FLAGS,
        ),
        Extension(WASM, KERNELS, depends=HEADERS),
    ],
    cmdclass={"build_ext": BuildKernels},
    # "strict" lays a tree of links under build/: the one editable mode that type checkers can follow.
    options={"editable_wheel": {"mode": "strict"}, "bdist_wheel": {"py_limited_api": "cp311"}},
)
