"""Draw every figure anew and write docs/gallery.md: make gallery (some minutes).

Few members and draws: the page shows what figures look like, not what to quote.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from bdsim.study.layout import create_study, find_study

ROOT = find_study(Path(__file__)).root
PICTURES = ROOT / "docs" / "figures" / "gallery"
PAGE = ROOT / "docs" / "gallery.md"
FEW = "--members 24 -k 40"
SMALL = "--draws 8 -k 200"
REVIVAL = "initiative-revival-2027"
COMMANDS = (  # what the page says, and what keeps it quick
    (f"compare baseline {REVIVAL} us-funding-cut", FEW),
    ("run protect-act", FEW),
    (f"attribute {REVIVAL} --of departures:2027-2032", SMALL),
    ("breakeven --lever us_funding --target 'departures:2035<=2500'", SMALL),
    (f"sensitivity {REVIVAL} --excess", "--samples 4 -k 200"),
    (f"regret --policies baseline,us-retention-package,talent-surge --futures baseline,{REVIVAL}", SMALL),
    ("sweep --lever us_funding=0.6..1.2 --policy-scrutiny 0..1.5", f"--steps 5 {SMALL}"),
    ("discover protect-act --above departures:2030=2900", "--members 96 -k 200"),
    ("fit-report --figures", ""),
    ("validate", ""),
    ("backtest --until 2018", ""),
)


def main() -> None:
    """Make the figures in a fresh study, one command after the other, and put them on a page."""
    parts = [
        "# All figures\n\nMade by `make gallery` with few members: how figures look, not numbers to quote. Each comes as PNG, "
        "as SVG whose text is text, and with a CSV of its numbers.\n"
    ]
    with tempfile.TemporaryDirectory() as folder:
        study = create_study(Path(folder) / "study")
        for number, (words, quick) in enumerate(COMMANDS):
            before = set(study.root.rglob("*.png"))
            print(words, flush=True)
            command = [sys.executable, "-m", "bdsim", *shlex.split(f"{words} {quick}")]
            subprocess.run(command, cwd=study.root, check=True, stdout=subprocess.DEVNULL)
            new = sorted(set(study.root.rglob("*.png")) - before, key=lambda path: path.stat().st_mtime)
            for old in PICTURES.glob(f"{number}-*.png"):
                old.unlink()
            parts.append(_section(f"bdsim {words}", new, number))
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _section(heading: str, pictures: list[Path], number: int) -> str:
    """The figures of one command, smaller than they are made, each with what it shows."""
    lines = [f"## `{heading}`\n"]
    for picture in pictures:
        name = f"{number}-{picture.stem}.png"
        _smaller(picture, PICTURES / name)
        lines.append(f"![{_alt(picture)}](figures/gallery/{name})\n")
    return "\n".join(lines)


def _smaller(picture: Path, target: Path) -> None:
    from PIL import Image

    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(picture) as image:
        wide = 900
        image.convert("RGB").resize((wide, round(image.height * wide / image.width))).save(target, optimize=True)


def _alt(picture: Path) -> str:
    """What the figure shows, from the description of its SVG."""
    svg = picture.with_suffix(".svg").read_text(encoding="utf-8")
    found = re.search(r"<dc:description>(.*?)</dc:description>", svg, re.DOTALL)
    return " ".join((found[1] if found else picture.stem).split()).replace("[", "(").replace("]", ")")


if __name__ == "__main__":
    main()
