"""Figures of a fit: against the series, residuals, posterior, identifiability, profiles."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bdsim.calibration.posterior import STRONG
from bdsim.calibration.targets import yearly_to_china
from bdsim.errors import TargetError
from bdsim.files.text import read_toml
from bdsim.model.categories import FIELDS, FIRST_YEAR
from bdsim.reporting.figures.canvas import WIDTH, canvas
from bdsim.reporting.names import NAMES
from bdsim.reporting.style import COLOURS, REFERENCE, VERDICTS, Drawing, caption, styled, year_axis
from bdsim.runs.identity import versions
from bdsim.study.evidence import coverage_of, load_evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bdsim.calibration.fitting import Calibration
    from bdsim.calibration.problem import Problem
    from bdsim.model.categories import Floats
    from bdsim.study.parameters import Parameter, Prior

__all__ = ["draw_profile", "facts_of", "fit_drawings"]

# Colour and mark: either alone tells them apart.
ROLES = {"fitted": (COLOURS[0], "o"), "held_out": (COLOURS[1], "s"), "validation": (COLOURS[2], "^")}
MOST = 8  # parameters in the figure of pairs: more could not be read in print
NORMAL_90 = 1.645  # standard errors on either side of a 90% interval
PUSH, GROWTH = "push", "pull_growth"
PROFILE_TOP = 8.0  # half chi squares: four standard deviations


def fit_drawings(result: Calibration) -> list[Drawing]:
    """Every figure of a calibration; the series only where the targets have it."""
    series = [draw_series(result)] if yearly_to_china(result.problem.targets) else []
    both = [draw_trade_off(result)] if {PUSH, GROWTH} <= set(result.problem.free) else []
    return [*series, draw_residuals(result), draw_identifiability(result), draw_corner(result), *both]


@styled
def draw_series(result: Calibration) -> Drawing:
    """The fit against the yearly series by field and in total; facts that were held out are hollow."""
    index = yearly_to_china(result.problem.targets)
    fields = [f for f in FIELDS if any(field == f for _, field in index)]
    panels = [(f, [f]) for f in fields] + ([("all", fields)] if len(fields) > 1 else [])
    rows = 2 if len(panels) > 2 else 1
    board = canvas(min(2, len(panels)), rows=rows, height=5.6 if rows == 2 else 3.6)
    numbers = []
    for letter, ax, (name, parts) in zip("abcd", board.axes, panels, strict=False):
        table = _series_table(result, parts).assign(field=name)
        _series_panel(ax, table)
        title = NAMES.get(name, f"All {len(parts)} fields together")
        ax.set_title(f"{letter}  {title}")
        numbers.append(table)
    for ax in board.axes[:: min(2, len(panels))]:
        ax.set_ylabel("Moves to mainland China per year")
    for ax in board.axes[len(panels) :]:
        ax.axis("off")
    board.legend()
    both = "Bars: 90% of the error that the targets state. Band: 90% of the posterior with its shocks, without chance."
    caption(
        board.figure,
        "The fit against the yearly series",
        f"{both} {facts_of(result.problem, 'departures_to_china')} {_made_by(result)}",
    )
    alt = "Posterior of departures to China by field against the observed series"
    return Drawing("series", board.figure, pd.concat(numbers), alt)


def _series_table(result: Calibration, fields: Sequence[str]) -> pd.DataFrame:
    """By year: fact and its standard error, held out or not, and the posterior, summed over fields."""
    targets, index = result.problem.targets, yearly_to_china(result.problem.targets)
    rows = []
    for year in sorted({year for year, _ in index if all((year, f) in index for f in fields)}):
        chosen = [index[year, f] for f in fields]
        low, median, high = np.quantile(result.posterior.shocked[:, chosen].sum(axis=1), (0.05, 0.5, 0.95))
        sd = [targets[i].error * (targets[i].fact if targets[i].is_log else 1.0) for i in chosen]
        held = any(targets[i].role != "fitted" for i in chosen)
        fact = sum(targets[i].fact for i in chosen)
        row = {"year": year, "fact": fact, "error": float(np.hypot.reduce(sd)), "held_out": held}
        rows.append({**row, "p05": low, "median": median, "p95": high})
    return pd.DataFrame(rows)


def _series_panel(ax: Axes, table: pd.DataFrame) -> None:
    ax.fill_between(
        table["year"], table["p05"], table["p95"], color=COLOURS[0], alpha=0.25, lw=0, label="Posterior, 90%"
    )
    ax.plot(table["year"], table["median"], color=COLOURS[0], label="Posterior median")
    for held, label in ((False, "Observed, fitted"), (True, "Observed, held out")):
        part = table[table["held_out"] == held]
        if len(part):
            fill = "white" if held else "black"
            spread = NORMAL_90 * part["error"]
            ax.errorbar(
                part["year"], part["fact"], spread, fmt="o", color="black", mfc=fill, ms=4, mew=0.8, elinewidth=0.7,
                label=label, zorder=5,
            )  # fmt: skip
    ax.set_ylim(bottom=0)
    year_axis(ax)


@styled
def draw_residuals(result: Calibration) -> Drawing:
    """Residuals of every target in standard errors of the fact."""
    table = result.targets
    groups = list(dict.fromkeys(table["target"]))
    figure = Figure(figsize=(WIDTH, 1.5 + 0.27 * len(groups)), layout="constrained")
    inner = figure.add_subfigure(figure.add_gridspec(1, 1)[0])
    ax = inner.subplots()
    for position, group in enumerate(reversed(groups)):
        part = table[table["target"] == group]
        offset = np.linspace(-0.28, 0.28, len(part)) if len(part) > 1 else np.zeros(1)
        colour, mark = ROLES[part["role"].iloc[0]]
        ax.plot(part["residual"], position + offset, mark, ms=3.5, color=colour, alpha=0.8)
    for role, (colour, mark) in ROLES.items():
        ax.plot([], [], mark, ms=4.5, color=colour, label=role.replace("_", " ").capitalize())
    ax.axvline(0, color=REFERENCE, lw=1)
    ax.axvspan(-2, 2, color="#eeeeee", zorder=0)
    far = max(3.0, float(table["residual"].abs().max()) * 1.08)
    ax.set_xlim(-far, far)
    ax.set_yticks(range(len(groups)), [g[:1].upper() + g[1:] for g in reversed(groups)])
    ax.set_xlabel("Residual at the mode, (model - fact) / standard error of the fact")
    ax.grid(axis="x")
    inner.legend(loc="outside upper left", ncols=3)
    caption(figure, "Residuals by target", f"Grey: two standard errors. {facts_of(result.problem)} {_made_by(result)}")
    return Drawing("residuals", figure, table, "Standardised residuals of every target, by group")


@styled
def draw_identifiability(result: Calibration) -> Drawing:
    """How far the data shrink each parameter's standard deviation; what is carried from the prior is said so."""
    table = result.parameters.sort_values("shrinkage").reset_index(drop=True)
    figure = Figure(figsize=(WIDTH, 1.6 + 0.21 * len(table)), layout="constrained")
    inner = figure.add_subfigure(figure.add_gridspec(1, 1)[0])
    ax = inner.subplots()
    shrinkage = table["shrinkage"].clip(lower=0)
    ax.barh(table.index, shrinkage, color=[VERDICTS[v][1] for v in table["verdict"]], height=0.62)
    beside = ax.get_yaxis_transform()
    for i, row in table.iterrows():
        text = f"{row['median']:.2f} [{row['p05']:.2f}, {row['p95']:.2f}]"
        ax.text(1.02, i, text, va="center", fontsize=7, transform=beside)
    ax.text(1.02, len(table) - 0.35, "Median [90%]", va="bottom", fontsize=7, fontweight="bold", transform=beside)
    for verdict in dict.fromkeys(reversed(table["verdict"].tolist())):
        label, colour = VERDICTS[verdict]
        ax.barh([0], [0], color=colour, label=label)
    ax.set_yticks(table.index, [result.problem.parameters.label(name) for name in table["parameter"]], fontsize=7)
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlim(0, 1)
    ax.grid(axis="x")
    ax.grid(False, axis="y")
    ax.set_xlabel("Shrinkage of the standard deviation from prior to posterior")
    inner.legend(loc="outside upper left", ncols=3)
    years = result.problem.shock_years
    said = [*_fading(result.problem), facts_of(result.problem), _made_by(result)]
    title = f"What {years[0]}-{years[-1]} can tell" if years else "What the facts can tell"
    caption(figure, title, " ".join(said))
    told = table.loc[table["verdict"] == "prior", "parameter"].tolist()
    return Drawing(
        "identifiability", figure, table, f"Shrinkage by parameter; carried from the prior: {', '.join(told)}"
    )


@styled
def draw_corner(result: Calibration) -> Drawing:
    """Pairs of the parameters that the data tell at least partly (all, where they tell none), of many those that move
    together most: draws of the posterior below the diagonal, correlations above it, the prior beside the posterior on
    it. The numbers have the draws of all."""
    table, free = result.parameters, list(result.problem.free)
    told = table.loc[table["verdict"] != "prior", "parameter"].tolist()
    every = pd.DataFrame(result.posterior.draws, columns=free)[told or free]
    names = _most_tied(every)
    draws = every[names]
    correlation = draws.corr().to_numpy()
    n = len(names)
    side = min(0.95, (WIDTH - 0.8) / n)
    figure = Figure(figsize=(WIDTH, max(side * n + 1.5, 3.6)), layout="constrained")
    axes = figure.subplots(n, n, squeeze=False)
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            ax = axes[i, j]
            if j > i:
                weight = "bold" if abs(correlation[i, j]) >= STRONG else "normal"
                ax.text(0.5, 0.5, f"{correlation[i, j]:+.2f}", ha="center", va="center", fontsize=8, fontweight=weight)
                ax.set_axis_off()
                continue
            if i == j:
                _marginal(ax, draws[row].to_numpy(), result.problem.parameters.entries[row])
            else:
                ax.plot(draws[column], draws[row], ".", ms=1.3, color=COLOURS[0], alpha=0.5)
            labels = [_broken(result.problem.parameters.label(name), side) for name in (row, column)]
            _corner_labels(ax, *labels, last=i == n - 1, first=j == 0, diagonal=i == j)
    text = f"{len(draws)} draws. Grey line: the prior. Above the diagonal: correlations, bold from {STRONG} on."
    left_out = " Parameters carried from the prior are left out." if len(every.columns) < len(free) else ""
    if len(names) < len(every.columns):
        left_out += f" Of {len(every.columns)} the {len(names)} that move together most; all are in the numbers."
    title = (
        "Posterior of the parameters that the data inform"
        if told
        else "Posterior: the prior, since the data add nothing"
    )
    caption(figure, title, f"{text}{left_out} {_made_by(result)}")
    return Drawing("posterior", figure, every, "Pairwise posterior draws, with prior and correlations")


def _most_tied(draws: pd.DataFrame) -> list[str]:
    """The columns whose correlation with another is greatest, at most MOST, in their order."""
    tied = np.abs(np.nan_to_num(draws.corr().to_numpy()))
    np.fill_diagonal(tied, 0.0)
    chosen = np.sort(np.argsort(-tied.max(axis=0), kind="stable")[:MOST])
    return [str(draws.columns[i]) for i in chosen]


def _marginal(ax: Axes, draws: Floats, parameter: Parameter) -> None:
    """A histogram of the posterior and the density of the prior, on one scale."""
    ax.hist(draws, bins=18, color=COLOURS[0], alpha=0.8, density=True)
    if parameter.prior is not None:
        low, high = np.clip(ax.get_xlim(), *parameter.bounds)
        at = np.linspace(low, high, 100)
        ax.plot(at, _normal(at, parameter.prior), color=REFERENCE, lw=1.2)


def _normal(at: Floats, prior: Prior) -> Floats:
    return np.asarray(np.exp(-0.5 * ((at - prior.mean) / prior.sd) ** 2) / (prior.sd * np.sqrt(2 * np.pi)))


def _corner_labels(ax: Axes, row: str, column: str, *, last: bool, first: bool, diagonal: bool) -> None:
    """Ticks and names at the outer edge only."""
    ax.grid(False)
    ax.tick_params(labelsize=5.5, length=2)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.yaxis.set_major_locator(MaxNLocator(3))
    if diagonal:
        ax.set_yticks([])
    if last:
        ax.set_xlabel(column, fontsize=5.5)
    else:
        ax.tick_params(labelbottom=False)
    if first:
        ax.set_ylabel(row, fontsize=5.5)
    else:
        ax.tick_params(labelleft=False)


def _broken(name: str, inches: float) -> str:
    """A name in lines as wide as a panel."""
    return textwrap.fill(name, max(8, int(inches / 0.045)), break_long_words=False)


@styled
def draw_profile(table: pd.DataFrame, parameter: Parameter, fit: str, facts: str = "") -> Drawing:
    """The least cost at values of one parameter, of facts and priors together and the part of the facts in it.

    `facts`: who published what was fitted, for the caption (facts_of).
    """
    name = str(table["parameter"].iloc[0])
    board = canvas(height=3.7)
    (ax,) = board.axes
    cost, facts = table["cost"] - table["cost"].min(), table["facts"] - table["facts"].min()
    ax.plot(table["value"], cost, "o-", color=COLOURS[0], ms=4, label="Facts and priors")
    ax.plot(table["value"], facts, "s--", color=COLOURS[1], ms=4, label="Of which facts")
    ax.axhline(0.5 * NORMAL_90**2, color=REFERENCE, lw=1.0, ls=":", label="Edge of a 90% interval")
    ax.set_ylim(0, max(4.0, min(PROFILE_TOP, float(cost.max()) * 1.05)))
    ax.set_xlabel(f"{parameter.label} ({parameter.unit})")
    ax.set_ylabel("Cost above the least (half chi square)")
    board.legend()
    flat = "All other parameters fitted anew at each value. A flat line: the data cannot tell."
    caption(
        board.figure,
        f"How well the data inform: {parameter.label}",
        f"{flat} {facts} Model: {_version()}, around fitted/{fit}.".replace("  ", " "),
    )
    return Drawing(f"profile-{name}", board.figure, table, f"Profile likelihood of {name}")


@styled
def draw_trade_off(result: Calibration) -> Drawing:
    """What growth that nobody explains and push leave open between them: draws of both, and the prior."""
    draws = pd.DataFrame(result.posterior.draws, columns=list(result.problem.free))[[GROWTH, PUSH]]
    entries = result.problem.parameters.entries
    board = canvas(height=3.9)
    ax = board.axes[0]
    ax.plot(draws[GROWTH], draws[PUSH], "o", ms=2.4, color=COLOURS[0], alpha=0.45, label="Draw of the posterior")
    growth, push = entries[GROWTH].prior, entries[PUSH].prior
    if growth is not None and push is not None:
        turn = np.linspace(0.0, 2.0 * np.pi, 200)
        radius = np.sqrt(2.0 * np.log(10.0))  # 90% of two independent normals
        x, y = growth.mean + radius * growth.sd * np.cos(turn), push.mean + radius * push.sd * np.sin(turn)
        inside = y >= entries[PUSH].bounds[0]
        ax.plot(np.where(inside, x, np.nan), np.where(inside, y, np.nan), color=REFERENCE, lw=1.2, label="Prior, 90%")
    ax.set_xlabel(f"{entries[GROWTH].label} ({entries[GROWTH].unit})")
    ax.set_ylabel(f"{entries[PUSH].label} ({entries[PUSH].unit})")
    ax.set_ylim(bottom=0.0)
    board.legend()
    r = float(np.corrcoef(draws.T)[0, 1])
    rise = f"one rise{_since_scrutiny(result.problem)}"
    said = f"Correlation {r:+.2f}. What rose anyway and what scrutiny added share {rise}."
    caption(
        board.figure,
        "Growth or push: what the series leaves open",
        f"{said} {facts_of(result.problem)} {_made_by(result)}",
    )
    return Drawing("push-and-growth", board.figure, draws, "Joint posterior of push and pull_growth, with the prior")


def _since_scrutiny(problem: Problem) -> str:
    """', of 2019-2021': the years of the departure series after scrutiny began; '' where there are none."""
    scrutiny, counted = problem.job.scenario.years_of_scrutiny(), problem.shock_years
    first = scrutiny[0] + 1 if scrutiny else counted.stop
    return f", of {first}-{counted.stop - 1}" if first < counted.stop else ""


def _version() -> str:
    return f"bdsim {versions()['bdsim-migration']}"


def facts_of(problem: Problem, *files: str) -> str:
    """'Facts: Xie et al., PNAS 2023 (doi:...); CSET 2022; NCSES.', of what the problem was fitted to, or of `files`."""
    known = coverage_of(load_evidence(problem.job.scenario.study))
    path = problem.targets_file or problem.job.scenario.study.targets
    used = files or tuple(dict.fromkeys(t["facts"]["file"] for t in read_toml(path, TargetError)["target"]))
    return f"Facts: {known.credits(*(f for f in used if f in known.series))}."


def _fading(problem: Problem) -> list[str]:
    """That the series ends before a policy does, where that is so: nobody has seen fear fade then."""
    last = problem.shock_years[-1] if problem.shock_years else FIRST_YEAR
    unseen = [p.name for p in problem.job.scenario.policies if p.start.year <= last < p.until.year]
    name = f"the {unseen[0]}" if unseen else ""
    return [f"How fast fear fades after {name} is not in the data: the series ends before it does."] if unseen else []


def _made_by(result: Calibration) -> str:
    return f"Model: {_version()}, fit {result.fingerprint}."
