"""The demo, from `firstlight demo` to exact pixels in a real browser."""

from pathlib import Path

from support import demo


async def test_demo_is_coarse_first_then_exact(tmp_path: Path) -> None:
    await demo.check(tmp_path)
