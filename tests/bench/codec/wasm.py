"""Decoding by codecs/js and kernels.wasm in node, beside the native kernels."""

import hashlib
import json
import subprocess
from importlib.resources import as_file, files
from pathlib import Path

from support.processes import tool
from support.servers import ROOT

from .peers import FIRSTLIGHT
from .planes import Samples
from .timing import race

SCRIPT = Path(__file__).with_name("wasm_decode.mjs")


class Wasm:
    """codecs/js, bundled into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._bundle, self._shard = folder / "codecs.mjs", folder / "shard.fls"
        esbuild = ROOT / "web" / "node_modules" / ".bin" / "esbuild"
        entry = ROOT / "codecs" / "js" / "src" / "main.ts"
        options = ["--bundle", "--format=esm", "--platform=node", "--log-level=warning"]
        subprocess.run([str(esbuild), str(entry), *options, f"--outfile={self._bundle}"], check=True)

    def race(self, shard: bytes, samples: Samples, rounds: int) -> tuple[float, float]:
        """Least processor seconds of `rounds` decodings, natively (before and after) and in node.

        Raises ValueError when node's samples are not `samples`.
        """
        self._shard.write_bytes(shard)
        before = race({"native": lambda: FIRSTLIGHT.decode(shard)}, rounds)["native"]
        with as_file(files("firstlight.codecs") / "kernels.wasm") as kernels:
            # Once more: the first decoding is also compiled.
            command = [tool("node"), *map(str, (SCRIPT, self._bundle, kernels, self._shard, rounds + 1))]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{SCRIPT.name} failed ({done.returncode}): {done.stderr}")
        found = json.loads(done.stdout)
        if found["sha256"] != hashlib.sha256(samples.tobytes()).hexdigest():
            raise ValueError("kernels.wasm gives other samples than the native kernels")
        after = race({"native": lambda: FIRSTLIGHT.decode(shard)}, rounds)["native"]
        return min(before, after), min(found["seconds"])
