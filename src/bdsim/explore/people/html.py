"""How the part on people looks: numbers, legends, a life as a table, terms as bars, the network as a drawing."""

from __future__ import annotations

import io
from collections.abc import Mapping
from html import escape

import matplotlib as mpl
import pandas as pd

from bdsim.analysis.lives import MINUS, Life, Moment, Weighing, when
from bdsim.analysis.network import STATUSES
from bdsim.explore.drawing import FONT, text
from bdsim.explore.people.watching import Look, Scene, Twin
from bdsim.model.categories import FIRST_YEAR
from bdsim.model.rule import CHINA, ELSEWHERE, STAY
from bdsim.reporting.names import NAMES
from bdsim.reporting.style import COLOURS

__all__ = [
    "colour_of", "legend", "life_csv", "life_heading", "life_table", "network_svg", "numbers", "picture", "terms_chart",
]  # fmt: skip

MAP = mpl.colormaps["magma_r"]  # even in lightness, and so for every kind of colour vision
DARKEST = 0.88  # of the map: black is for outlines
HERE, TO_CHINA, TO_ELSEWHERE = "#bdbdbd", COLOURS[1], COLOURS[0]
GONE = dict(zip(STATUSES, (HERE, TO_CHINA, TO_ELSEWHERE), strict=True))
SHAPES = dict(zip(STATUSES, ("circle", "triangle", "diamond"), strict=True))
ORIGIN_WORDS = {"china": "Chinese", "india": "Indian", "other": "other"}
NOBODY = (
    "These are people of the model, drawn from chance; none of them is anybody real, and what is weighed is how the "
    "model computes, not why anyone goes: no causal claim."
)
MEANING = (
    "Each circle is a year of entry: entrants on the rim, the oldest innermost; everyone moves inwards by one circle a "
    "year. The angle is the place on the ring of the field: people of one institution stand on one ray, neighbours on "
    "neighbouring rays. A line joins colleagues. On the picture, \N{LEFTWARDS ARROW} and \N{RIGHTWARDS ARROW} walk "
    "along a circle, \N{UPWARDS ARROW} and \N{DOWNWARDS ARROW} from circle to circle, Enter chooses."
)
NONE = "\N{EN DASH}"
UNDECIDED = "this year, not decided yet"


def colour_of(fear: float) -> str:
    """Of a fear in [0, 1]."""
    return mpl.colors.to_hex(MAP(DARKEST * min(max(fear, 0.0), 1.0)))


def numbers(scene: Scene) -> str:
    """The year and a few numbers of it."""
    year = scene.look.year
    rows = [
        ("Researchers in the US", f"{scene.here:,.0f}"),
        ("Mean fear, those of Chinese descent", f"{scene.fear:.2f}"),
    ]
    if scene.departed is not None:
        rows += [
            (f"Departures to China in {year - 1}", f"{scene.departed[CHINA]:,.0f}"),
            (f"Departures elsewhere in {year - 1}", f"{scene.departed[ELSEWHERE]:,.0f}"),
        ]
    else:
        rows.append((f"Departures before {FIRST_YEAR}", "not counted"))
    if scene.scrutiny is None:
        rows.append(("Scrutiny in force", "the horizon is reached"))
    else:
        said = [f"{ORIGIN_WORDS[o]} {s:.2f}" for o, s in scene.scrutiny.items() if s]
        rows.append((f"Scrutiny in force in {year}, by origin", ", ".join(said) or "none"))
    body = "".join(
        f"<tr><th scope='row'>{escape(label)}</th><td class='number'>{escape(value)}</td></tr>" for label, value in rows
    )
    head = f"{scene.title}. One agent stands for about {scene.look.world.researchers_per_agent:,} researchers."
    return f"<h2>1 January {year}</h2><p>{escape(head)}</p><table style='margin-bottom: 12px'>{body}</table>"


# --- the network -------------------------------------------------------------------------------------------


def picture(scene: Scene) -> dict[str, object]:
    """What network.js draws."""
    nodes = scene.nodes.to_dict("records")
    place = {int(row): i for i, row in enumerate(scene.nodes["row"])}
    links = scene.links.to_numpy()
    life = scene.mine.life if scene.mine is not None else None
    drawn = [
        {
            "row": int(n["row"]), "x": round(float(n["x"]), 4), "y": round(float(n["y"]), 4),
            "circle": int(n["entry_year"]), "colour": _fill(scene.look, n), "status": str(n["status"]),
            "shape": SHAPES[str(n["status"])], "title": title_of(n),
        }
        for n in nodes
    ]  # fmt: skip
    return {
        "nodes": drawn,
        "links": [[place[int(a)], place[int(b)]] for a, b in links],
        "words": words_of(scene),
        "chosen": life.row if life is not None else None,
    }


def title_of(node: Mapping[object, object]) -> str:
    """'123: china, mid, entered 2004, fear 0.31, ties 0.42, here'."""
    return (
        f"{node['identity']}: {node['origin']}, {node['stage']}, entered {node['entry_year']}, fear {node['fear']:.2f},"
        f" ties {node['ties']:.2f}, {node['status']}"
    )


def words_of(scene: Scene) -> str:
    """What the picture shows, for those who cannot see it."""
    count = scene.nodes["status"].value_counts()
    said = ", ".join(f"{int(count.get(status, 0)):,} {status}" for status in STATUSES)
    who = f"of {ORIGIN_WORDS[scene.look.origin]} origin " if scene.look.origin else ""
    coloured = "fear" if scene.look.colour == "fear" else "who left"
    return (
        f"Network of colleagues {who}in {NAMES[scene.look.field].lower()} on 1 January {scene.look.year}, coloured by "
        f"{coloured}: {said}; {len(scene.links):,} pairs of colleagues. Arrow keys walk from person to person, Enter "
        "chooses."
    )


def _fill(look: Look, node: Mapping[object, object]) -> str:
    return colour_of(float(str(node["fear"]))) if look.colour == "fear" else GONE[str(node["status"])]


def _mark(shape: str, x: float, y: float, size: float, more: str) -> str:
    """A mark of a drawing, as network.js draws it."""
    if shape == "circle":
        return f'<circle cx="{x:.4f}" cy="{y:.4f}" r="{size:.4f}" {more}/>'
    s = size * 1.45
    corners = (
        [(0.0, -s), (s, s * 0.8), (-s, s * 0.8)] if shape == "triangle" else [(0.0, -s), (s, 0), (0.0, s), (-s, 0)]
    )
    return f'<polygon points="{" ".join(f"{x + a:.4f},{y + b:.4f}" for a, b in corners)}" {more}/>'


def legend(look: Look) -> str:
    """What shapes, colours, circles and angles mean."""
    marks, height = _legend_marks(look)
    words = "Legend: " + "; ".join(f"{shape} {_status_words(status)}" for status, shape in SHAPES.items())
    words += "; the darker, the more fear, from 0 to 1" if look.colour == "fear" else ""
    return (
        f'<h3>Legend</h3><svg viewBox="0 0 380 {height}" style="width:380px" role="img" aria-label="{escape(words)}" '
        f'{FONT} font-size="12.5">{marks}</svg><p class="small" style="margin: 8px 0 12px">{MEANING}</p>'
    )


def _legend_marks(look: Look) -> tuple[str, int]:
    """The marks of the legend, 380 wide, and how high they are."""
    marks = []
    for i, (status, shape) in enumerate(SHAPES.items()):
        fill = GONE[status] if look.colour == "left" else "#fff"
        edge = 'stroke="#555" stroke-width="1"' if shape == "circle" else 'stroke="#000" stroke-width="1.5"'
        at = 12 + 21 * i
        marks.append(_mark(shape, 10, at, 6, f'fill="{fill}" {edge}') + text(26, at + 4.5, _status_words(status)))
    if look.colour == "fear":
        return "".join(marks + _scale(96)), 132
    return "".join(marks), 64


def _status_words(status: str) -> str:
    return "in the US" if status == "here" else status


def _scale(top: float) -> list[str]:
    """The scale of fear, with numbers."""
    width, steps = 320.0, 32
    cells = [
        f'<rect x="{10 + width * i / steps:.1f}" y="{top}" width="{width / steps + 0.5:.1f}" height="12" '
        f'fill="{colour_of((i + 0.5) / steps)}"/>'
        for i in range(steps)
    ]
    cells.append(f'<rect x="10" y="{top}" width="{width}" height="12" fill="none" stroke="#555"/>')
    for i in range(6):
        at, said = 10 + width * i / 5, f"{i / 5:.1f}" if i % 5 else str(i // 5)
        cells.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top + 12}" y2="{top + 16}" stroke="#555"/>')
        cells.append(text(at, top + 29, said, 'text-anchor="middle"'))
    return [text(10, top - 6, "Fear of scrutiny", 'font-weight="600"'), *cells]


def network_svg(scene: Scene) -> str:
    """The picture as a drawing of its own, to be saved."""
    drawn = picture(scene)
    # `picture` above made them: the dictionary of a control holds values of any kind.
    nodes: list[dict[str, object]] = drawn["nodes"]  # type: ignore[assignment]  # of a mapping of both kinds
    links: list[list[int]] = drawn["links"]  # type: ignore[assignment]  # same
    lines = "".join(
        f"M{nodes[a]['x']},{-float(str(nodes[a]['y'])):.4f}L{nodes[b]['x']},{-float(str(nodes[b]['y'])):.4f}"
        for a, b in links
    )
    marks = []
    for n in nodes:
        here, mine = n["shape"] == "circle", n["row"] == drawn["chosen"]
        stroke, width = ("#000", 0.008) if mine else ("#555", 0.002) if here else ("#000", 0.004)
        edge = f'stroke="{stroke}" stroke-width="{width}"'
        size = 0.024 if mine else 0.0125
        marks.append(
            _mark(str(n["shape"]), float(str(n["x"])), -float(str(n["y"])), size, f'fill="{n["colour"]}" {edge}')
        )
    look = scene.look
    words = escape(f"{scene.title}. {drawn['words']}")
    title = text(0, 0, f"{scene.title}, {NAMES[look.field].lower()}, 1 January {look.year}", 'font-weight="600"')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1.06 -1.2 2.12 2.66" width="800" height="1004" role="img" '
        f'{FONT}><title>{words}</title><rect x="-1.06" y="-1.2" width="2.12" height="2.66" fill="#fff"/>'
        f'<g transform="translate(-1,-1.1) scale(0.003)" font-size="16">{title}</g>'
        f'<path d="{lines}" fill="none" stroke="#b9c2ca" stroke-width="0.0016" stroke-opacity="0.55"/>{"".join(marks)}'
        f'<g transform="translate(-1,1.08) scale(0.0027)" font-size="13">{_legend_marks(look)[0]}</g></svg>\n'
    )


# --- one life ------------------------------------------------------------------------------------------------


def life_heading(twin: Twin) -> str:
    """Who it is, and how it ended so far."""
    life = twin.life
    if life is None:
        return ""
    first = life.in_words().split("\n", 1)[0]
    return f"<h2>One life</h2><p><b>{escape(first)}</b> Then: {escape(life.ending)}.</p>"


def life_table(scene: Scene, chosen: int | None) -> str:
    """A year a row. The year whose bars are drawn is marked; the last may be undecided."""
    twin, other = scene.mine, scene.other
    if twin is None or twin.life is None:
        return ""
    there = {m.year: m for m in other.life.moments} if other is not None and other.life is not None else {}
    heads = ["Year", "Stage", "Fear", "Ties", "Colleagues here", "Offer", "Weighed for China", "Its clock",
             "Weighed for elsewhere", "Its clock", "Choice"]  # fmt: skip
    if there:
        heads.append(f"In {scene.look.other}")
    rows = [_row(m, True, chosen, there) for m in twin.life.moments]
    rows += [_row(twin.now, False, chosen, there)] if twin.now is not None else []
    head = "".join(f"<th scope='col'>{escape(h)}</th>" for h in heads)
    return (
        "<div class='wide' id='life' tabindex='0' role='region' aria-label='The life, year by year'>"
        f"<table class='life'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(m: Moment, decided: bool, chosen: int | None, there: Mapping[int, Moment]) -> str:
    """A year; of one that is not decided yet, neither clocks nor choice."""
    button = (
        f"<button type='button' data-say='{{\"moment\": {m.year}}}' aria-label='Bars of {m.year}' "
        f"aria-pressed='{str(m.year == chosen).lower()}'>"
    )
    cells = [
        m.stage, f"{m.fear:.2f}", f"{m.ties:.2f}", f"{m.colleagues_here}, fear {m.colleagues_fear:.2f}",
        offer(m, decided), m.china.in_words(), clock(m.china) if decided else NONE,
        m.elsewhere.in_words(), clock(m.elsewhere) if decided else NONE, m.chosen if decided else UNDECIDED,
    ]  # fmt: skip
    if there:
        cells.append(beside(there[m.year]) if decided and m.year in there else NONE)
    kind = " class='now'" if not decided else " class='went'" if m.choice != STAY else ""
    body = "".join(f"<td>{escape(c)}</td>" for c in cells)
    return f"<tr{kind}><th scope='row'>{button}{m.year}</button></th>{body}</tr>"


def clock(weighing: Weighing) -> str:
    """'would ring after 12.3 years'."""
    return f"would ring {when(weighing.rings_after)}"


def offer(m: Moment, decided: bool) -> str:
    """'no offer', or what the third clock runs by and when it would ring."""
    if m.by_offer is None:
        return "no offer"
    return f"{m.by_offer.in_words()}, {clock(m.by_offer)}" if decided else m.by_offer.in_words()


def beside(m: Moment) -> str:
    """The same year in the other world, briefly."""
    return f"fear {m.fear:.2f}; {m.chosen}"


def terms_chart(m: Moment, decided: bool) -> str:
    """What weighs for China in a year and what against: a bar each, to the right and to the left of 0."""
    terms = [(name, x) for name, x in m.china.terms.items() if name == "usual" or abs(x) >= 0.005]
    total = sum(m.china.terms.values())
    ends = [0.0, total, *(x for _, x in terms)]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0
    left, right = 232.0, 640.0  # room for a number on either side

    def at(x: float) -> float:
        return left + (right - left) * (x - low) / span

    marks = []
    for i, (name, x) in enumerate([*terms, ("together", total)]):
        y, colour = 8 + 22.0 * i, "#5a5a5a" if name == "together" else COLOURS[1] if x > 0 else COLOURS[0]
        a, b = sorted((at(0.0), at(x)))
        weight = 'font-weight="600"' if name == "together" else ""
        marks.append(text(176, y + 12, name, f'text-anchor="end" {weight}'))
        marks.append(f'<rect x="{a:.1f}" y="{y}" width="{max(b - a, 1):.1f}" height="15" fill="{colour}"/>')
        where = f'x="{b + 5:.1f}"' if x >= 0 else f'x="{a - 5:.1f}" text-anchor="end"'
        marks.append(f'<text {where} y="{y + 12}">{_signed(x)}</text>')
    bottom = 8 + 22.0 * (len(terms) + 1)
    zero = at(0.0)
    marks.append(f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="2" y2="{bottom}" stroke="#222"/>')
    marks.append(text(zero, bottom + 15, "0", 'text-anchor="middle"'))
    state = "" if decided else f" ({UNDECIDED})"
    words = f"{m.year}, weighed for China: {m.china.in_words()}; together {_signed(total)}."
    return (
        f"<h3>What weighed for China in {m.year}{state}</h3>"
        f'<svg viewBox="0 0 700 {bottom + 22:.0f}" style="width:700px" role="img" aria-label="{escape(words)}" {FONT} '
        f"font-size='12.5'>{''.join(marks)}</svg><p class='small'>Logarithms of the rate a year: right of 0 more "
        "likely to leave for China, left of 0 less; they add up. What weighs less than 0.005 is left out.</p>"
    )


def _signed(x: float) -> str:
    return f"{x:+.2f}".replace("-", MINUS)


def life_csv(life: Life) -> bytes:
    """A year a row, all numbers in full."""
    rows = []
    for m in life.moments:
        row: dict[str, object] = {"identity": life.identity}
        row |= {k: v for k, v in vars(m).items() if k not in ("china", "elsewhere", "by_offer", "choice")}
        ways = {"china": m.china, "elsewhere": m.elsewhere} | ({"by offer": m.by_offer} if m.by_offer else {})
        for name, weighing in ways.items():
            row |= {f"{name}: {term}": x for term, x in weighing.terms.items()}
            row |= {f"{name}: {k}": getattr(weighing, k) for k in ("rate", "chance", "rings_after")}
        rows.append(row | {"choice": m.chosen})
    file = io.StringIO()
    pd.DataFrame(rows).to_csv(file, index=False)
    return file.getvalue().encode()
