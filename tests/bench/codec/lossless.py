"""Lossless sizes, each verified by decoding, with the time that a single run took."""

import numpy as np

from .peers import FIRSTLIGHT, PEERS
from .planes import Plane
from .stored import Stored
from .timing import timed


def measure(plane: Plane, stored: Stored) -> list[dict[str, object]]:
    """One row for each peer that can hold the plane.

    firstlight's bytes are those of the whole image: all its shards with their heads, and the overview arrays. Its
    speed is that of one shard of the whole plane.
    """
    rows: list[dict[str, object]] = []
    for peer in PEERS:
        samples = peer.given(plane.samples)
        if samples is None:
            continue
        data, encode_s = timed(lambda peer=peer, samples=samples: peer.encode(samples))  # type: ignore[misc]
        decoded, decode_s = timed(lambda peer=peer, data=data: peer.decode(data))  # type: ignore[misc]
        if np.asarray(decoded).tobytes() != samples.tobytes():
            raise ValueError(f"{plane.name}: {peer.name} gives back other samples")
        size = stored.size if peer is FIRSTLIGHT else len(data)
        rows.append(
            {
                **plane.row(),
                "peer": peer.name,
                "bytes": size,
                "bpp": 8 * size / (plane.mpixel * 1e6),
                "encode_s": encode_s,
                "decode_s": decode_s,
                "encode_Msamples_s": plane.samples.size / 1e6 / max(encode_s, 1e-6),
                "decode_Msamples_s": plane.samples.size / 1e6 / max(decode_s, 1e-6),
            }
        )
    return rows
