"""Figures of a fit: against the series, residuals, posterior, identifiability, profiles, backtest."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bdsim.errors import FitError
from bdsim.fitting import Calibration
from bdsim.parameters import FIELDS, Parameter
from bdsim.plots import COLOURS, NAMES, REFERENCE, Drawing, save_drawing, styled

__all__ = ["draw_backtest", "draw_profile", "fit_drawings", "save_all"]

ROLES = {"fitted": COLOURS[0], "held_out": COLOURS[1], "validation": COLOURS[2]}
SOURCE = "Observed: Xie et al., PNAS 2023 (doi:10.1073/pnas.2216248120); CSET 2022; NCSES."


def fit_drawings(result: Calibration) -> list[Drawing]:
    """Every figure of a calibration."""
    return [draw_series(result), draw_residuals(result), draw_identifiability(result), draw_corner(result)]


def save_all(drawings: Sequence[Drawing], folder: Path) -> None:
    """Write drawings into `folder`, in place of what was there. Raises FitError when it cannot be written."""
    aside = folder.parent / f".{folder.name}.writing"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for drawing in drawings:
            save_drawing(drawing, aside)
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    except OSError as error:
        raise FitError(f"cannot be written: {error.strerror or error}", where=folder) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@styled
def draw_series(result: Calibration) -> Drawing:
    """The fit against the yearly series by field and in total; facts that were held out are hollow."""
    figure = Figure(figsize=(11.0, 3.9), layout="constrained")
    axes = figure.subplots(1, 4)
    table, targets = result.targets, result.problem.targets
    yearly = [i for i, t in enumerate(targets) if t.times is not None and t.first == t.last]
    numbers = []
    for panel, (ax, field) in enumerate(zip(axes, (*FIELDS, "all"), strict=True)):
        chosen = [i for i in yearly if field in ("all", targets[i].field)]
        years = sorted({targets[i].last for i in chosen})
        rows = [[i for i in chosen if targets[i].last == year] for year in years]
        draws = np.column_stack([result.posterior.models[:, r].sum(axis=1) for r in rows])
        low, median, high = np.quantile(draws, (0.05, 0.5, 0.95), axis=0)
        facts = [table["fact"].iloc[r].sum() for r in rows]
        held = [targets[r[0]].role != "fitted" for r in rows]
        ax.fill_between(years, low, high, color=COLOURS[0], alpha=0.25, lw=0, label="Posterior, 90%")
        ax.plot(years, median, color=COLOURS[0], label="Posterior median")
        for is_held, label in ((False, "Observed, fitted"), (True, "Observed, held out")):
            at = [k for k, h in enumerate(held) if h == is_held]
            if at:
                fill = "none" if is_held else "black"
                ax.plot([years[k] for k in at], [facts[k] for k in at], "o", mfc=fill, mec="black", ms=4, label=label)
        ax.set_title("abcd"[panel] + "  " + NAMES.get(field, "Three fields together").replace(" and ", "\nand "))
        ax.set_ylim(bottom=0)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        ax.set_xlabel("Year")
        numbers.append(
            pd.DataFrame({"field": field, "year": years, "fact": facts, "p05": low, "median": median, "p95": high})
        )
    axes[0].set_ylabel("Researchers moving to mainland China per year")
    axes[0].legend(loc="upper left")
    _finish(figure, "Fit against the yearly series", f"Band: parameters only. {SOURCE}")
    return Drawing("series", figure, pd.concat(numbers), "Posterior of departures to China by field against the series")


@styled
def draw_residuals(result: Calibration) -> Drawing:
    """Residuals of every target in standard errors of the fact."""
    table = result.targets
    groups = list(dict.fromkeys(table["target"]))
    figure = Figure(figsize=(8.2, 4.2), layout="constrained")
    ax = figure.subplots()
    for position, group in enumerate(reversed(groups)):
        part = table[table["target"] == group]
        offset = np.linspace(-0.28, 0.28, len(part)) if len(part) > 1 else np.zeros(1)
        ax.plot(part["residual"], position + offset, "o", ms=3.5, color=ROLES[part["role"].iloc[0]], alpha=0.8)
    for role, colour in ROLES.items():
        ax.plot([], [], "o", color=colour, label=role.replace("_", " "))
    ax.axvline(0, color=REFERENCE, lw=1)
    ax.axvspan(-2, 2, color="#eeeeee", zorder=0)
    ax.set_yticks(range(len(groups)), list(reversed(groups)))
    ax.set_xlabel("Residual at the mode, (model - fact) / standard error of the fact")
    ax.grid(axis="x")
    ax.legend(loc="lower right")
    _finish(figure, "Residuals by target", f"Grey: two standard errors. {SOURCE}")
    return Drawing("residuals", figure, table, "Standardised residuals of every target, by group")


@styled
def draw_identifiability(result: Calibration) -> Drawing:
    """How far the data shrink each parameter's standard deviation; what is carried from the prior is said so."""
    table = result.parameters.sort_values("shrinkage").reset_index(drop=True)
    figure = Figure(figsize=(8.2, 5.0), layout="constrained")
    ax = figure.subplots()
    colour = {"told by the data": COLOURS[0], "partly": COLOURS[4], "prior": REFERENCE}
    ax.barh(table.index, table["shrinkage"].clip(lower=0), color=[colour[v] for v in table["verdict"]], height=0.62)
    for i, row in table.iterrows():
        text = f"{row['median']:.2f} [{row['p05']:.2f}, {row['p95']:.2f}]"
        ax.text(1.02, i, text, va="center", fontsize=7.5, transform=ax.get_yaxis_transform())
    labels = {"told by the data": "Told by the data", "partly": "Partly told", "prior": "Carried from the prior"}
    for verdict, c in colour.items():
        ax.barh([0], [0], color=c, label=labels[verdict])
    ax.set_yticks(table.index, table["parameter"])
    ax.set_xlim(0, 1)
    ax.grid(axis="x")
    ax.grid(False, axis="y")
    ax.set_xlabel("Shrinkage of the standard deviation from prior to posterior")
    ax.legend(loc="lower right")
    _finish(
        figure,
        "What 2010-2021 can tell",
        "Right: posterior median and 90% interval. rho after the Initiative's end is prior.",
    )
    return Drawing("identifiability", figure, table, "Shrinkage from prior to posterior by parameter")


@styled
def draw_corner(result: Calibration) -> Drawing:
    """Pairs of the parameters that the data tell at least partly, as points of the posterior, with prior spread."""
    table = result.parameters
    names = table.loc[table["verdict"] != "prior", "parameter"].tolist()
    draws = pd.DataFrame(result.posterior.draws, columns=list(result.problem.free))[names]
    n = len(names)
    figure = Figure(figsize=(1.05 * n + 1.2, 1.05 * n + 1.0), layout="constrained")
    axes = figure.subplots(n, n, squeeze=False)
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            ax = axes[i, j]
            ax.grid(False)
            ax.tick_params(labelsize=5.5, length=2)
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.yaxis.set_major_locator(MaxNLocator(3))
            if j > i:
                ax.set_visible(False)
            elif i == j:
                ax.hist(draws[row], bins=18, color=COLOURS[0], alpha=0.8)
                ax.set_yticks([])
            else:
                ax.plot(draws[column], draws[row], ".", ms=1.3, color=COLOURS[0], alpha=0.5)
            if i < n - 1:
                ax.set_xticklabels([])
            else:
                ax.set_xlabel(column.replace(".", ".\n"), fontsize=6.5)
            if j > 0 or i == 0:
                ax.set_yticklabels([])
            if j == 0 and i > 0:
                ax.set_ylabel(row.replace(".", ".\n"), fontsize=6.5)
    _finish(
        figure,
        "Posterior of the parameters that the data tell",
        f"{len(draws)} draws; parameters carried from the prior are left out.",
    )
    return Drawing("posterior", figure, draws, "Pairwise posterior draws")


@styled
def draw_profile(table: pd.DataFrame, parameter: Parameter) -> Drawing:
    """The least cost at values of one parameter, of facts and prior together and of the facts alone."""
    name = str(table["parameter"].iloc[0])
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    ax = figure.subplots()
    ax.plot(table["value"], table["cost"] - table["cost"].min(), "o-", color=COLOURS[0], ms=4, label="Facts and priors")
    ax.plot(table["value"], table["facts"] - table["facts"].min(), "s--", color=COLOURS[1], ms=4, label="Facts alone")
    ax.axhline(1.35, color=REFERENCE, lw=0.9, ls=":")
    ax.text(table["value"].max(), 1.45, "90% interval", ha="right", fontsize=7.5, color=REFERENCE)
    ax.set_ylim(0, max(4.0, min(20.0, float((table["cost"] - table["cost"].min()).max()) * 1.05)))
    ax.set_xlabel(f"{name} ({parameter.unit})")
    ax.set_ylabel("Cost above the least (half chi square)")
    ax.legend(loc="upper center")
    _finish(
        figure,
        f"Profile of {name}",
        "All other parameters fitted anew at each value. A flat line: the data cannot tell.",
    )
    return Drawing(f"profile-{name}", figure, table, f"Profile likelihood of {name}")


@styled
def draw_backtest(table: pd.DataFrame) -> Drawing:
    """Forecasts of years not seen, beside three naive rules, one panel a last year seen."""
    cuts = sorted(set(table["until"]))
    figure = Figure(figsize=(max(4.6, 2.9 * len(cuts)), 4.0), layout="constrained")
    axes = figure.subplots(1, len(cuts), squeeze=False, sharey=True)[0]
    every = table[table["field"] == "all"]
    for ax, cut in zip(axes, cuts, strict=True):
        part = every[every["until"] == cut]
        middle = part["median"].to_numpy()
        spread = np.vstack([middle - part["p05"], part["p95"] - middle])
        ax.errorbar(part["year"], middle, spread, fmt="o", color=COLOURS[0], capsize=3, ms=5, label="Model, 90%")
        for (rule, label), colour in zip(
            {"last": "Last value", "linear": "Linear trend", "loglinear": "Log-linear trend"}.items(),
            COLOURS[1:],
            strict=False,
        ):
            ax.plot(part["year"], part[f"median_{rule}"], "--", color=colour, lw=1.3, label=label)
        ax.plot(part["year"], part["fact"], "o", mfc="none", mec="black", ms=7, label="Observed, not seen")
        ax.set_title(f"Seen until {cut}")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        ax.set_xlabel("Year")
    axes[0].set_ylabel("Researchers moving to mainland China")
    axes[0].set_ylim(bottom=0)
    axes[0].legend(loc="lower right", fontsize=7)
    _finish(figure, "Backtest", f"Given the later funding, inflow and scrutiny, not the later departures. {SOURCE}")
    return Drawing("backtest", figure, table, "Forecasts of held-out years beside naive rules")


def _finish(figure: Figure, title: str, line: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(line, x=0.01, ha="left", fontsize=6.5, color="#555555")
