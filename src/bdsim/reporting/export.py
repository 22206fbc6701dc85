"""Results for other tools: one tidy table as CSV or Parquet, a workbook, or the long form of the IAMC (pyam)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bdsim.analysis.comparison import distinct
from bdsim.errors import ResultsError, UsageError, did_you_mean
from bdsim.model.counts import AXES
from bdsim.reporting.names import NAMES
from bdsim.runs.store.tables import COLUMNS

if TYPE_CHECKING:
    from bdsim.model.categories import Floats
    from bdsim.runs.results import Results

__all__ = ["FORMATS", "export", "iamc"]

FORMATS = {"csv": ".csv", "parquet": ".parquet", "iamc": ".csv", "xlsx": ".xlsx"}
STATISTICS = {"Mean": None, "Median": 0.5, "5th Percentile": 0.05, "95th Percentile": 0.95}
REGION, UNIT = "United States", "researchers/yr"


def iamc(runs: list[Results]) -> pd.DataFrame:
    """model, scenario, region, variable, unit, year, value: a variable for each statistic over members.

    Names follow the IAMC template (https://docs.ece.iiasa.ac.at): parts from the general to the special with '|'
    between, e.g. 'Departures|Chinese descent|To China and Hong Kong|Median'.
    """
    parts = []
    for results in distinct(runs):
        version = results.manifest["versions"].get("bdsim-migration", "unknown")
        for axes in ((), ("destination",), ("field",), ("stage",)):
            values, _ = results.by(*axes)
            if not axes:
                parts.append(_variable(results, version, "", values))
            for i, label in enumerate(AXES[axes[0]] if axes else ()):
                parts.append(_variable(results, version, f"|{NAMES[label]}", values[..., i]))
    return pd.concat(parts, ignore_index=True)


def _variable(results: Results, version: str, name: str, values: Floats) -> pd.DataFrame:
    tables = []
    for statistic, level in STATISTICS.items():
        line = results.mean(values) if level is None else results.band(values, (level,))[0]
        tables.append(
            pd.DataFrame(
                {
                    "model": f"bdsim {version}" + (", float32" if results.manifest["engine"] == "float32" else ""),
                    "scenario": results.name,
                    "region": REGION,
                    "variable": f"Departures|Chinese descent{name}|{statistic}",
                    "unit": UNIT,
                    "year": list(results.years),
                    "value": line.round(3),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def check_format(form: str) -> None:
    """Raises UsageError for an unknown form."""
    if form not in FORMATS:
        raise UsageError(f"unknown format '{form}'{did_you_mean(form, FORMATS)}", where="--format")


def export(runs: list[Results], form: str, target: Path, *, force: bool = False) -> Path:
    """Write runs into one file: 'csv' and 'parquet' hold every run's summary table, 'iamc' the long form.

    'xlsx' is a workbook: summary, members (their weights and parameters), what the columns mean, and the runs. Runs
    that share a name are told apart. Raises UsageError for an unknown form, ResultsError for a file that is there
    already without `force`, and StorageError when the disk refuses.
    """
    from bdsim.files.durable import publish

    check_format(form)
    runs = distinct(runs)
    if target.exists() and not force:
        raise ResultsError("exists already; --force replaces it", where=target)
    if form == "xlsx":
        content = workbook(runs)
    elif form == "iamc":
        content = iamc(runs).to_csv(index=False).encode()
    else:
        table = _summaries(runs)
        content = table.to_parquet(index=False) if form == "parquet" else table.to_csv(index=False).encode()
    publish(target, content)
    return target


def workbook(runs: list[Results]) -> bytes:
    """A workbook of Excel with a sheet a table, the first row frozen. No text is taken for a formula."""
    sheets = {
        "summary": _summaries(runs),
        "members": pd.concat([r.members.assign(scenario=r.name) for r in runs], ignore_index=True),
        "columns": pd.DataFrame({"column": list(COLUMNS), "meaning": list(COLUMNS.values())}),
        "runs": pd.DataFrame(
            {
                "scenario": [r.name for r in runs], "title": [r.title for r in runs],
                "question": [r.manifest["scenario"]["question"] for r in runs],
                "fingerprint": [r.fingerprint for r in runs], "seed": [r.manifest["seed"] for r in runs],
                **{name: [r.manifest[name] for r in runs] for name in ("members", "researchers_per_agent", "engine")},
                "parameters": [r.manifest["parameters"]["note"] for r in runs],
                "version": [r.manifest["versions"].get("bdsim-migration", "unknown") for r in runs],
            }
        ),
    }  # fmt: skip
    file = io.BytesIO()
    with pd.ExcelWriter(file, engine="openpyxl") as writer:
        for name, table in sheets.items():
            table.to_excel(writer, sheet_name=name, index=False, freeze_panes=(1, 0))
            for row in writer.sheets[name].iter_rows():
                for cell in row:
                    if cell.data_type == "f":
                        cell.data_type = "s"
    return file.getvalue()


def _summaries(runs: list[Results]) -> pd.DataFrame:
    tables = [r.summary().assign(scenario=r.name, engine=r.manifest["engine"]) for r in runs]
    return pd.concat(tables, ignore_index=True)
