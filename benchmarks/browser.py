"""Age of frames and motion to photon in a browser: a publisher with a relay, and a headless Chromium with the page.

    python benchmarks/browser.py                              # 256 and 512 pixels a side, raw, lz4 and jpeg, 8 s each
    python benchmarks/browser.py --sizes 512 --variants raw --seconds 20

The publisher runs at 60 fps and draws nothing. The page draws every frame it gets and sends a control with each of its
animation frames. Chromium draws on the processor here (SwiftShader), so this is an upper bound. Prints a table, then
one JSON line. Times are milliseconds, from publishing, or from sending a control, to the end of the page's drawing.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine_bridge.web import WebRelay
from tests.chromium import Chromium
from tests.end_to_end.web_peers import Producer

MOVE = """
(() => {
  const { client } = window.bunraku;
  let turn = 0;
  const move = () => { client.set({ controls: { jawOpen: (turn++ % 100) / 100 } }); requestAnimationFrame(move); };
  move();
})()
"""
FORGET = """
(() => {
  const { client } = window.bunraku;
  for (const recent of [client.ages, client.motionToPhoton]) { recent.kept = 100000; recent.values.length = 0; }
  client.counts.shown = 0;
})()
"""
READ = """
(() => {
  const { client } = window.bunraku;
  const both = (recent) => [recent.percentile(50), recent.percentile(99)];
  return { shown: client.counts.shown, age: both(client.ages), motion: both(client.motionToPhoton) };
})()
"""


def moving_picture(side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A soft picture with a disc of alpha, about as hard to compress as a character."""
    y, x = np.mgrid[0:side, 0:side] / side
    alpha = np.clip(255 * (1.5 - 4 * np.hypot(x - 0.5, y - 0.5)), 0, 255)
    return np.stack([255 * x, 255 * y, 127 + 127 * np.sin(12 * x * y), alpha], axis=-1).astype(np.uint8)


def measure(chromium: Chromium, side: int, variant: str, seconds: float) -> dict[str, Any]:
    """Measurements of one size and variant."""
    with (
        Producer(moving_picture(side)) as producer,
        WebRelay("127.0.0.1:0", frames_endpoint=producer.publisher.endpoint) as relay,
    ):
        tab = chromium.open(f"{relay.url}?ui=0&enc={variant}", width=side, height=side)
        tab.wait_for("window.bunraku.client.counts.shown > 0 && window.bunraku.client.info !== null")
        tab.evaluate(MOVE)
        time.sleep(1.0)
        tab.evaluate(FORGET)
        time.sleep(seconds)
        figures: dict[str, Any] = tab.evaluate(READ)
        tab.close()
    return {"side": side, "variant": variant, "fps": round(figures["shown"] / seconds, 1)} | {
        f"{name}_ms_{percent}": None if value is None else round(value, 2)
        for name, key in (("age", "age"), ("motion_to_photon", "motion"))
        for percent, value in zip(("p50", "p99"), figures[key], strict=True)
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--variants", nargs="+", default=["raw", "lz4", "jpeg"])
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, Chromium(Path(profile)) as chromium:
        print(f"{'side':>5} {'variant':>8} {'fps':>6} {'age p50':>8} {'p99':>8} {'motion p50':>11} {'p99':>8}")
        for side in given.sizes:
            for variant in given.variants:
                row = measure(chromium, side, variant, given.seconds)
                rows.append(row)
                print(
                    f"{side:>5} {variant:>8} {row['fps']:>6} {row['age_ms_p50']:>8} {row['age_ms_p99']:>8} "
                    f"{row['motion_to_photon_ms_p50']:>11} {row['motion_to_photon_ms_p99']:>8}"
                )
    print(json.dumps({"rows": rows, "seconds": given.seconds, "machine": platform.processor() or platform.machine()}))


if __name__ == "__main__":
    main()
