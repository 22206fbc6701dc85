"""From the release of a slider to the frame that shows another picture, in a real browser.

    python benchmarks/explore_speed.py --times 30

Prints JSON: milliseconds, and on what machine. Starts `bdsim explore` in a study of its own and opens it in Chromium,
as tests/test_explore.py does. The page computes an expected run at 50 researchers an agent for every position.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine

__all__ = ["releases"]

RELEASE = """async ([value]) => {
  const all = root => [...root.querySelectorAll('*')].flatMap(e => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])])
  const range = all(document).find(e => e.id === 'knob-push')
  const chart = all(document).find(e => e.matches?.('polyline.now-all')).getRootNode()
  const shown = () => chart.querySelector('polyline.now-all').getAttribute('points')
  const before = shown(), started = performance.now()
  range.value = value
  range.dispatchEvent(new Event('input', { bubbles: true }))
  range.dispatchEvent(new Event('change', { bubbles: true }))
  return await new Promise((resolve, reject) => {
    const look = () => shown() !== before ? resolve(performance.now() - started)
      : performance.now() - started > 5000 ? reject(new Error('no other picture')) : requestAnimationFrame(look)
    requestAnimationFrame(look)
  })
}"""


def releases(page: Any, times: int) -> list[float]:
    """Milliseconds from each release of the slider of `push` to the next picture, on an open page."""
    found = []
    for number in range(times):
        found.append(float(page.evaluate(RELEASE, [str(0.2 + 0.1 * (number % 40))])))
        page.wait_for_timeout(250)
    return found


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from playwright.sync_api import sync_playwright

    from bdsim.study.layout import create_study
    from browser import CHROMIUM, FLAGS, served, visited

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        study = create_study(Path(folder) / "study")
        with served(study.root) as (_, address), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            with visited(browser, f"{address}?tab=tune") as visit:
                visit.page.get_by_text("Against the facts").first.wait_for()
                visit.page.wait_for_timeout(3000)  # the band of the posterior is worked out once
                found = releases(visit.page, times)
            browser.close()
    spread = {"median": statistics.median(found), "worst": max(found), "least": min(found)}
    print(json.dumps({"milliseconds": {k: round(v) for k, v in spread.items()}, "times": times, **machine.described()}))


if __name__ == "__main__":
    main()
