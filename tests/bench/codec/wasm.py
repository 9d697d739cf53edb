"""Decoding by codecs/js and kernels.wasm in node, beside the native kernels without AVX-512."""

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from importlib.resources import as_file, files
from pathlib import Path

from support.processes import tool
from support.servers import ROOT

from .planes import Samples

SCRIPT = Path(__file__).with_name("wasm_decode.mjs")
NATIVE_SCRIPT = Path(__file__).with_name("avx2_decode.py")


class Wasm:
    """codecs/js, bundled into `folder`, and the native kernels built there for processors up to AVX2."""

    def __init__(self, folder: Path) -> None:
        self._bundle, self._shard, self._native = folder / "codecs.mjs", folder / "shard.fls", folder / "native.so"
        esbuild = ROOT / "web" / "node_modules" / ".bin" / "esbuild"
        entry = ROOT / "codecs" / "js" / "src" / "main.ts"
        options = ["--bundle", "--format=esm", "--platform=node", "--log-level=warning"]
        subprocess.run([str(esbuild), str(entry), *options, f"--outfile={self._bundle}"], check=True)
        kernels = ROOT / "codecs" / "kernels"
        sources = [ROOT / "codecs" / "python" / "_native.c", *sorted(kernels.glob("*.c"))]
        flags = ["-shared", "-fPIC", "-std=c11", "-O3", "-w", "-fvisibility=hidden", "-DPy_LIMITED_API=0x030B0000"]
        includes = [f"-I{kernels}", f"-I{sysconfig.get_paths()['include']}"]
        compiler = os.environ.get("CC", "cc")
        command = [compiler, *flags, "-DFL_NO_AVX512", *includes, *map(str, sources), "-o", str(self._native)]
        subprocess.run(command, check=True)

    def race(self, shard: bytes, samples: Samples, rounds: int) -> tuple[float, float]:
        """Least processor seconds of `rounds` decodings, natively (before and after) and in node.

        Raises ValueError when the samples of one of them are not `samples`.
        """
        self._shard.write_bytes(shard)
        native = [sys.executable, *map(str, (NATIVE_SCRIPT, self._native, self._shard, rounds + 1))]
        before = _run(native, samples)
        with as_file(files("firstlight.codecs") / "kernels.wasm") as kernels:
            # Once more: the first decoding is also compiled.
            wasm = _run([tool("node"), *map(str, (SCRIPT, self._bundle, kernels, self._shard, rounds + 1))], samples)
        return min(before, _run(native, samples)), wasm


def _run(command: list[str], samples: Samples) -> float:
    """Least seconds that a decoding script tells of."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[1]} failed ({done.returncode}): {done.stderr}")
    found = json.loads(done.stdout)
    if found["sha256"] != hashlib.sha256(samples.tobytes()).hexdigest():
        raise ValueError(f"{command[1]} gives other samples")
    return float(min(found["seconds"]))
