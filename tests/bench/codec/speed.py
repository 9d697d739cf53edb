"""Speed of the whole path, samples -> bytes and bytes -> samples, one thread, taking turns with the two JPEG 2000s."""

from .peers import FIRSTLIGHT, OPENJPEG, OPENJPH
from .planes import Plane
from .timing import race
from .wasm import Wasm

# The middle of larger planes: enough for steady figures.
SIDE = 1536
LEAST_MPIXEL = 0.25


def measure(plane: Plane, rounds: int, wasm: Wasm) -> dict[str, object]:
    """Best of `rounds` rounds, in millions of samples a second of processor time, and the ratios that matter."""
    cropped = plane.crop(SIDE)
    samples = cropped.samples
    peers = (FIRSTLIGHT, OPENJPEG, OPENJPH)
    data = {peer: peer.encode(samples) for peer in peers}
    encode = race({peer.name: lambda peer=peer: peer.encode(samples) for peer in peers}, rounds)  # type: ignore[misc]
    decode = race({peer.name: lambda peer=peer: peer.decode(data[peer]) for peer in peers}, rounds)  # type: ignore[misc]
    native, in_wasm = wasm.race(data[FIRSTLIGHT], samples, rounds)
    million = samples.size / 1e6
    row: dict[str, object] = {**cropped.row(), "rounds": rounds}
    for name, seconds in (("encode", encode), ("decode", decode)):
        row |= {f"{name} {peer}": million / best for peer, best in seconds.items()}
        for peer in (OPENJPEG.name, OPENJPH.name):
            row[f"{name} / {peer}"] = seconds[peer] / seconds[FIRSTLIGHT.name]
    return row | {"decode wasm": million / in_wasm, "wasm / native": native / in_wasm}
