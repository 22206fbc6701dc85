"""The part of the page where scenarios are explored."""

from __future__ import annotations

from typing import Any

from bdsim.explore.controls import Html


class ScenariosPart:
    def __init__(self, session: Any) -> None:
        self.view = Html(html="soon")

    def address(self) -> dict[str, str]:
        return {}

    def shown(self) -> None: ...
