"""The part of the page where parameters are tuned: sliders, the facts they must meet, and a fit from here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from html import escape
from typing import Any

import numpy as np

from bdsim.calibration.fitting import Calibration
from bdsim.errors import BdsimError, FitError, InputError
from bdsim.explore.controls import Form, Html, Job, Knobs, Split, Toolbar
from bdsim.explore.drawing import standalone
from bdsim.explore.session import Cancelled, Latest, Session
from bdsim.explore.tune.charts import departures_chart, residuals_chart
from bdsim.explore.tune.tuning import Tuned, Tuner

__all__ = ["TunePart"]

FIRST_FREE = ("push", "funding")
LATEST = 3  # last years of the series whose sum is shown
CAVEAT = (
    "Whatever the sliders say, these are values of the model, not causal estimates. What is marked “told by data: "
    "none” follows from its prior: the facts cannot tell it."
)


class TunePart:
    """Sliders on the left, what follows from them on the right."""

    def __init__(self, session: Session) -> None:
        self._session = session
        asked = session.asked
        scale = int(asked["k"]) if asked.get("k", "").isdigit() and 1 <= int(asked["k"]) <= 1000 else 50
        self.tuner, problem = _tuner_of(session, asked.get("fit"), scale)
        self.values: dict[str, float] = dict(self.tuner.start.values)
        errors = self._from_address(asked)
        self._undo: list[dict[str, float]] = []
        self._redo: list[dict[str, float]] = []
        self._band: Any = None
        self._calling_off = False
        self._found: Calibration | None = None
        self._now: Tuned | None = None
        self._latest = Latest(session, self._work_out)
        free = [n for n in asked.get("free", ",".join(FIRST_FREE)).split(",") if n in self.tuner.start.entries]
        self.knobs = Knobs(
            heard=self._turned,
            groups=[
                {"title": title, "knobs": [self.tuner.knob(name) for name in names]}
                for title, names in self.tuner.groups()
            ],
            values=dict(self.values), errors=errors, free=free,
        )  # fmt: skip
        self.actions = Toolbar(heard=self._pressed, label="Values")
        self.exports = Toolbar(heard=self._pressed, label="Share", buttons=_EXPORTS)
        self.numbers, self.chart, self.residuals, self.said = Html(), Html(), Html(), Html(live=True, html=problem)
        self.command, self.fitted = Html(), Html(live=True)
        self.job = Job(heard=self._job, label="Fit from here")
        self.naming = Form(heard=self._named, groups=[_naming("")])
        self.keep = Toolbar(heard=self._pressed, label="Keep the fit")
        self._name = "tuned"
        self._begun = False
        self.view = Split(objects=[self._left(), self._right()], kind="docked")
        self._show_buttons()

    def _left(self) -> Any:
        import panel as pn

        head = (
            "<h2>Parameters</h2><p class='small'>On each track: <span style='color:#6d6d6d'>▬</span> prior ± 1 sd, "
            "<span style='color:#0072b2'>▬</span> 90% of the fit’s posterior, <b>|</b> where the fit is.</p>"
        )
        return pn.Column(Html(html=head), self.actions, self.knobs, sizing_mode="stretch_width")

    def _right(self) -> Any:
        import panel as pn

        fit = Html(html="<h2>Fit from here</h2><p class='small'>Frees what is ticked, holds the rest where it is.</p>")
        return pn.Column(
            self.said, self.numbers, self.chart, self.residuals, self.exports, self.command, fit, self.job, self.fitted,
            self.naming, self.keep, sizing_mode="stretch_width",
        )  # fmt: skip

    # --- the address -------------------------------------------------------------------------------------

    def _from_address(self, asked: Mapping[str, str]) -> dict[str, str]:
        """Values that the address names; what is wrong with them, by name."""
        errors = {}
        for name in self.tuner.start:
            if name in asked:
                try:
                    self.values[name] = self.tuner.checked(name, asked[name])
                except InputError as error:
                    errors[name] = error.problem
        return errors

    def address(self) -> Mapping[str, str]:
        """Values that are not the fit's, the fit and scale that are not the usual ones, what is ticked."""
        words = {name: repr(value) for name, value in self.tuner.changed(self.values).items()}
        if self.tuner.name != "default":
            words["fit"] = self.tuner.name
        if self.tuner.scale != 50:
            words["k"] = str(self.tuner.scale)
        if tuple(self.knobs.free) != FIRST_FREE:
            words["free"] = ",".join(self.knobs.free)
        return words

    def shown(self) -> None:
        """The first time: work out what the page begins with, and the band."""
        if not self._begun:
            self._begun = True
            self._latest.ask((dict(self.values), False))
            self._session.begin(self._work_out_band)

    @cached_property
    def _fitted(self) -> Tuned:
        return self.tuner.at({})

    # --- what the sliders say ----------------------------------------------------------------------------

    def _turned(self, message: Mapping[str, Any]) -> None:
        if "live" in message:
            moved = {n: float(v) for n, v in message["live"].items() if n in self.values}
            self._latest.ask(({**self.values, **moved}, False))
        if "commit" in message:
            self._settle({n: str(v) for n, v in message["commit"].items() if n in self.values})
        if "free" in message:
            self.knobs.free = [n for n in message["free"] if n in self.values]
            self._session.moved()

    def _settle(self, typed: Mapping[str, str]) -> None:
        """Values that somebody has let go of or typed: taken over, or told what is wrong with them."""
        errors = {n: e for n, e in self.knobs.errors.items() if n not in typed}
        values = dict(self.values)
        for name, words in typed.items():
            try:
                values[name] = self.tuner.checked(name, words)
            except InputError as error:
                errors[name] = error.problem
        try:
            self.tuner.start.with_values(values)
        except InputError as error:  # a rule over several values
            errors |= dict.fromkeys(typed, error.problem)
            values = dict(self.values)
        self.knobs.errors = errors
        if values != self.values:
            self._undo.append(dict(self.values))
            self._redo.clear()
            self._go_to(values)

    def _go_to(self, values: dict[str, float]) -> None:
        self.values = values
        self.knobs.values = dict(values)
        self._show_buttons()
        self._latest.ask((dict(values), True))
        self._session.moved()

    def _work_out(self, question: tuple[dict[str, float], bool]) -> None:
        """In the background: the newest values against the facts; said aloud once a slider has been let go."""
        values, settled = question
        try:
            now = self.tuner.at(values)
        except BdsimError as error:
            said = f"<p class='error'>{escape(str(error))}</p>"
            self._session.later(lambda: setattr(self.said, "html", said))
            return
        chart, residuals = departures_chart(now, self._fitted, self._band), residuals_chart(now)
        self._session.later(lambda: self._show(now, chart, residuals))
        if settled:
            last = now.observed.known.departures.last
            total = float(now.departures[last - now.years[0]].sum())
            aloud = f"<p class='small'>Cost {now.cost:.2f}; departures {last}: {total:,.0f}.</p>"
            self._session.later(lambda: setattr(self.said, "html", aloud))

    def _show(self, now: Tuned, chart: str, residuals: str) -> None:
        self._now = now
        self.chart.html, self.numbers.html, self.residuals.html = chart, _numbers(now, self._fitted), residuals
        command = self.tuner.command(now.values)
        self.command.html = (
            "<h3>The same on the command line</h3>"
            f"<pre>{escape(command)}</pre><button type='button' data-copy='{escape(command, quote=True)}'>Copy</button>"
        )

    def _work_out_band(self) -> None:
        self._band = self.tuner.band()
        self._latest.ask((dict(self.values), False))

    # --- buttons -----------------------------------------------------------------------------------------

    def _show_buttons(self) -> None:
        changed = bool(self.tuner.changed(self.values))
        self.actions.buttons = [
            {"key": "undo", "text": "Undo", "disabled": not self._undo},
            {"key": "redo", "text": "Redo", "disabled": not self._redo},
            {"key": "reset", "text": f"Reset to fitted/{self.tuner.name}", "disabled": not changed},
        ]
        self.keep.buttons = [
            {"key": "save", "text": "Save the fit", "disabled": self._found is None, "main": True},
            {"key": "use", "text": "Set the sliders to it", "disabled": self._found is None},
        ]

    def _pressed(self, message: Mapping[str, Any]) -> None:
        key = message.get("pressed")
        if key in ("undo", "redo"):
            back, forth = (self._undo, self._redo) if key == "undo" else (self._redo, self._undo)
            if back:
                forth.append(dict(self.values))
                self._go_to(back.pop())
        elif key == "reset" and self.tuner.changed(self.values):
            self._undo.append(dict(self.values))
            self.knobs.errors = {}
            self._go_to(dict(self.tuner.start.values))
        elif key == "svg":
            self.exports.save("departures.svg", "image/svg+xml", standalone(self.chart.html).encode())
        elif key == "csv" and self._now is not None:
            self.exports.save("targets.csv", "text/csv", self._now.table.to_csv(index=False).encode())
        elif key == "years" and self._now is not None:
            self.exports.save("departures.csv", "text/csv", _by_year(self._now).encode())
        elif key == "use" and self._found is not None:
            free = self._found.problem.free
            modes = dict(zip(free, map(float, self._found.optimum.x), strict=True))
            self._settle({n: repr(v) for n, v in modes.items()})
        elif key == "save":
            self._save()

    # --- a fit from here ---------------------------------------------------------------------------------

    def _job(self, message: Mapping[str, Any]) -> None:
        if message.get("cancel"):
            self._calling_off = True
            self.job.said = "stopping …"
        elif message.get("start") and not self.job.running:
            self._calling_off, self._found = False, None
            values, free = dict(self.values), list(self.knobs.free)
            self.job.param.update(running=True, done=0, total=1, said="starting …")
            self._show_buttons()
            self._session.begin(lambda: self._fit(values, free))

    def _fit(self, values: dict[str, float], free: list[str]) -> None:
        """In the background. Every report is a chance to call it off."""

        def report(stage: str, done: int, total: int) -> None:
            if self._calling_off or self._session.closed.is_set():
                raise Cancelled
            self._session.later(
                lambda: self.job.param.update(done=done, total=total, said=f"{stage}: {done} of {total}")
            )

        try:
            if not free:
                raise FitError("no parameter is free; tick some", where="--free")
            found = self.tuner.fit_from(values, free, report)
        except Cancelled:
            self._session.later(lambda: self._fit_ended(None, "cancelled; nothing was kept", ""))
        except BdsimError as error:
            problem = str(error)
            self._session.later(
                lambda: self._fit_ended(None, "", f"<p class='error' role='alert'>{escape(problem)}</p>")
            )
        else:
            text = _fit_in_words(found, self.tuner.fit_command(values, free, self._name))
            self._session.later(lambda: self._fit_ended(found, "done", text))

    def _fit_ended(self, found: Calibration | None, said: str, text: str) -> None:
        self._found = found
        try:
            self.fitted.html = text
            self._show_buttons()
        finally:  # last: whoever waits for it looks at the rest then
            self.job.param.update(running=False, said=said)

    def _named(self, message: Mapping[str, Any]) -> None:
        for words in message.get("set", {}).values():
            self._name = str(words).strip()
            self.naming.groups = [_naming(_wrong_name(self._name), self._name)]

    def _save(self) -> None:
        problem = _wrong_name(self._name)
        if self._found is None or problem:
            self.naming.groups = [_naming(problem, self._name)]
            return
        try:
            self._found.save(self._session.study, self._name)
        except BdsimError as error:
            self.job.said = str(error)
        else:
            use = "scenarios run on it" if self._name == "default" else f"scenarios run on it with --fit {self._name}"
            self.job.said = f"kept as calibration/fitted/{self._name}; {use}"


def _tuner_of(session: Session, fit: str | None, scale: int) -> tuple[Tuner, str]:
    """The tuner of the fit that the address names, or of the usual one with a word on what is wrong."""
    try:
        return Tuner(session.study, fit, scale), ""
    except FitError as error:
        return Tuner(session.study, None, scale), f"<p class='error' role='alert'>{escape(str(error))}</p>"


_EXPORTS = [
    {"key": "svg", "text": "Figure (SVG)"},
    {"key": "years", "text": "Departures (CSV)"},
    {"key": "csv", "text": "Targets (CSV)"},
]


def _naming(problem: str, name: str = "tuned") -> dict[str, Any]:
    field = {"place": "name", "label": "Name of the fit, calibration/fitted/NAME", "type": "text", "value": name}
    return {"title": "", "fields": [{**field, "error": problem}], "key": "name"}


def _wrong_name(name: str) -> str:
    """In the words of `bdsim calibrate --name`."""
    from bdsim.calibration.fitting import checked_name

    try:
        checked_name(name)
    except InputError as error:
        return error.problem
    return ""


def _numbers(now: Tuned, fitted: Tuned) -> str:
    """The numbers that one looks at first, beside the facts and the fit."""
    first = now.years[0]

    def total(tuned: Tuned, a: int, b: int) -> float:
        return float(tuned.departures[a - first : b - first + 1].sum())

    def share(tuned: Tuned, year: int) -> float:
        row = tuned.departures[year - first]
        return float(row[0] / max(row.sum(), 1e-300))

    facts = dict(zip(*now.observed.everywhere, strict=True))
    shares = dict(zip(*now.observed.share_china, strict=True))
    rows = [
        (
            f"Departures {year}",
            f"{facts[year]:,.0f}",
            f"{total(now, year, year):,.0f}",
            f"{total(fitted, year, year):,.0f}",
        )
        for year in sorted(facts)
    ]
    rows += [
        (f"Share to China {year}", f"{shares[year]:.0%}", f"{share(now, year):.0%}", f"{share(fitted, year):.0%}")
        for year in sorted(shares)
    ]
    last = now.observed.known.departures.last
    since = last - LATEST + 1
    latest, then = total(now, since, last), total(fitted, since, last)
    rows.append((f"Departures {since}–{last}", "", f"{latest:,.0f}", f"{then:,.0f}"))
    rows.append(("Cost (half χ² of facts and priors)", "", f"{now.cost:.2f}", f"{fitted.cost:.2f}"))
    body = "".join(
        f"<tr><th scope='row'>{escape(label)}</th>"
        + "".join(f"<td class='number'>{escape(x)}</td>" for x in cells)
        + "</tr>"
        for label, *cells in rows
    )
    return (
        "<h2>Against the facts</h2><table><thead><tr><td></td><th class='number'>published</th>"
        f"<th class='number'>these values</th><th class='number'>the fit</th></tr></thead><tbody>{body}</tbody></table>"
        f"<p class='small'>{escape(CAVEAT)}</p>"
    )


def _fit_in_words(found: Calibration, command: str) -> str:
    """Values with intervals, what the data cannot tell, and the command that makes the same fit."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(r['parameter'])}</th><td class='number'>{r['mode']:.3f}</td><td class='number'>"
        f"{r['median']:.3f} [{r['p05']:.3f}, {r['p95']:.3f}]</td><td>{escape(r['verdict'])}</td></tr>"
        for r in found.parameters.to_dict("records")
    )
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in [*found.said, *found.warnings])
    return (
        f"<table><caption>The fit: cost {found.optimum.cost:.2f}, effective sample size "
        f"{found.posterior.effective:.0f}</caption><thead><tr><th>parameter</th><th class='number'>most probable</th>"
        f"<th class='number'>median [90%]</th><th>verdict</th></tr></thead><tbody>{rows}</tbody></table>"
        f"<ul>{said}</ul><pre>{escape(command)}</pre>"
        f"<button type='button' data-copy='{escape(command, quote=True)}'>Copy</button>"
    )


def _by_year(now: Tuned) -> str:
    lines = [f"{y},{float(a)!r},{float(b)!r}" for y, (a, b) in zip(now.years, np.asarray(now.departures), strict=True)]
    return "\n".join(["year,to_china,elsewhere", *lines]) + "\n"
