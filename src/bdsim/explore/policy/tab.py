"""The part of the page where a policy is put together: sliders, what would follow, and the file that says the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from bdsim.errors import BdsimError, InputError
from bdsim.explore.controls import Html, Knobs, Split, Toolbar
from bdsim.explore.drawing import standalone
from bdsim.explore.policy.chart import answer_table, policy_chart
from bdsim.explore.policy.policies import GROUPS, NAME, SLIDERS, START, Answer, Policies
from bdsim.explore.session import Latest, Session
from bdsim.model.machine_code import is_compiled

__all__ = ["PolicyPart"]

COMPILING = "<p class='small'>Compiling the model; this happens once and takes up to a minute …</p>"
HEAD = (
    "<h2>A policy</h2><p class='small'>On top of the baseline, in which everything stays as it is. <b>|</b> on a track "
    "marks where a slider changes nothing; beside it stands whether the data tell the parameter that carries it.</p>"
)


class PolicyPart:
    """Sliders on the left, what would follow on the right. `hand_over` takes the scenario that the sliders make."""

    def __init__(self, session: Session, hand_over: Callable[[str, bytes], str]) -> None:
        self._session, self._hand_over = session, hand_over
        self.policies = Policies(session.study)
        self.values = dict(START)
        errors = self._from_address(session.asked)
        self._now: Answer | None = None
        self.knobs = Knobs(
            heard=self._turned, errors=errors, values=dict(self.values),
            groups=[{"title": t, "knobs": [self.policies.knob(v) for v in group]} for t, group in GROUPS.items()],
        )  # fmt: skip
        self.actions = Toolbar(heard=self._pressed, label="Values", buttons=_ACTIONS)
        self.onward = Toolbar(heard=self._pressed, label="Onward", buttons=_ONWARD)
        self.said, self.numbers, self.chart, self.file = Html(live=True), Html(), Html(), Html()
        self._latest = Latest(session, self._work_out)
        self.view = Split(objects=[self._left(), self._right()], kind="docked")
        self._show_file()

    def _left(self) -> Any:
        import panel as pn

        return pn.Column(Html(html=HEAD), self.actions, self.knobs, sizing_mode="stretch_width")

    def _right(self) -> Any:
        import panel as pn

        return pn.Column(
            self.said, self.chart, self.numbers, self.onward, self.file, sizing_mode="stretch_width",
        )  # fmt: skip

    # --- the address -------------------------------------------------------------------------------------

    def _from_address(self, asked: Mapping[str, str]) -> dict[str, str]:
        """Values that the address names; what is wrong with them, by name."""
        errors: dict[str, str] = {}
        for name in (n for n in SLIDERS if n in asked):
            try:
                self.values = self._with(self.values, name, asked[name])
            except InputError as error:
                errors[name] = error.problem
        return errors

    def address(self) -> Mapping[str, str]:
        """Values that are not those the page begins with."""
        return {name: f"{value:g}" for name, value in self.values.items() if value != START[name]}

    def shown(self) -> None:
        """The first time: work out what the page begins with."""
        if self._now is None:
            self._latest.ask(dict(self.values))

    # --- what the sliders say ----------------------------------------------------------------------------

    def _with(self, values: Mapping[str, float], name: str, typed: str) -> dict[str, float]:
        """The values with another one. A policy ends after it begins: the other date goes along.

        Raises UsageError.
        """
        found = {**values, name: self.policies.checked(name, typed)}
        if found["until"] <= found["from"]:
            other = "until" if name == "from" else "from"
            found[other] = found[name] + (1.0 if name == "from" else -1.0)
        return found

    def _turned(self, message: Mapping[str, Any]) -> None:
        moved = dict(message.get("live", {})) | dict(message.get("commit", {}))
        values = dict(self.values)
        errors = {n: e for n, e in self.knobs.errors.items() if n not in moved}
        for name, typed in moved.items():
            try:
                values = self._with(values, name, str(typed)) if name in SLIDERS else values
            except InputError as error:
                errors[name] = error.problem
        if "commit" in message:
            self.knobs.errors = errors
            self._go_to(values)
        else:
            self._latest.ask(values)

    def _go_to(self, values: dict[str, float]) -> None:
        self.values = values
        self.knobs.values = dict(values)
        self._latest.ask(dict(values))
        self._show_file()
        self._session.moved()

    def _work_out(self, values: dict[str, float]) -> None:
        """In the background: the newest policy."""
        if not is_compiled(sampled=False):
            self._session.later(lambda: setattr(self.said, "html", COMPILING))
        try:
            now = self.policies.at(values)
            chart, numbers = policy_chart(now, self.policies.observed), answer_table(now)
        except BdsimError as error:
            said = f"<p class='error' role='alert'>{escape(str(error))}</p>"
            self._session.later(lambda: setattr(self.said, "html", said))
            return
        self._session.later(lambda: self._show(now, chart, numbers))

    def _show(self, now: Answer, chart: str, numbers: str) -> None:
        self._now = now
        self.said.html, self.chart.html, self.numbers.html = "", chart, numbers

    def _show_file(self) -> None:
        text = self.policies.text(self.values)
        self.file.html = (
            f"<h3>The same as a scenario file, scenarios/{NAME}.toml</h3><pre>{escape(text)}</pre>"
            f"<button type='button' data-copy='{escape(text, quote=True)}'>Copy the file</button>"
            f"<p class='small'>Saved there, <code>bdsim compare baseline {NAME}</code> runs it with the chance of "
            "single people, and <code>bdsim memo</code> writes a page of it.</p>"
        )

    # --- buttons -----------------------------------------------------------------------------------------

    def _pressed(self, message: Mapping[str, Any]) -> None:
        key = message.get("pressed")
        if key in _VALUES:
            self.knobs.errors = {}
            self._go_to({**_VALUES[key]})
        elif key == "compare":
            problem = self._hand_over(NAME, self.policies.text(self.values).encode())
            self.said.html = f"<p class='error' role='alert'>{escape(problem)}</p>" if problem else ""
        elif key == "svg" and self._now is not None:
            self.onward.save("policy.svg", "image/svg+xml", standalone(self.chart.html).encode())
        elif key == "csv" and self._now is not None:
            self.onward.save("policy.csv", "text/csv", _by_year(self._now).encode())


_VALUES = {"reset": START, "none": {name: slider.unchanged for name, slider in SLIDERS.items()}}
_ACTIONS = [{"key": "reset", "text": "A revival in 2027"}, {"key": "none", "text": "Change nothing"}]
_ONWARD = [
    {"key": "compare", "text": "Run and compare it in full", "main": True},
    {"key": "svg", "text": "Figure (SVG)"},
    {"key": "csv", "text": "Departures (CSV)"},
]


def _by_year(now: Answer) -> str:
    """A row a year: 5%, 50% and 95% without and with the policy."""
    bands = [now.a_year(departures) for departures in (now.reference, now.policy)]
    names = [f"{which}_{q}" for which in ("reference", "policy") for q in ("p05", "median", "p95")]
    rows = (
        f"{year},{','.join(repr(float(x)) for band in bands for x in band[:, i])}" for i, year in enumerate(now.years)
    )
    return "\n".join([",".join(["year", *names]), *rows]) + "\n"
