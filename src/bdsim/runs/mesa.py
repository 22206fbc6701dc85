"""A scenario as a Mesa model: its name and settings in, one member of its ensemble out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bdsim.errors import UsageError, whole_number
from bdsim.model.agents import WorldModel
from bdsim.model.world import World
from bdsim.runs.plan import LARGEST_SEED, MOST_MEMBERS, Settings, plan_run
from bdsim.study import DEFAULT_HORIZON
from bdsim.study.scenario import Scenario

__all__ = ["MigrationModel"]

COARSE = 100  # researchers an agent: every agent is a Python object


class MigrationModel(WorldModel):
    """One member of an ensemble as a Mesa model; a step is a calendar year, and `running` ends at the horizon.

    `world` is a scenario, its name or its file, or a World, which brings its people, horizon and parameters with it.
    Of a scenario, `researchers_per_agent` (default 100), `horizon` (default 2035) and parameters can be given, these
    by name with `__` for the dot: MigrationModel(push=0.5, leave_china__china=-3.1). `seed` and `member` are the luck
    of that member of a run; `rng` is Mesa's own generator, which decides only the order of activation.

    Raises UsageError where the scenario branches, for a setting outside its range and for one that a World has
    already; ParameterError for an unknown parameter or one outside its bounds.
    """

    def __init__(
        self,
        world: World | Scenario | str | Path = "baseline",
        *,
        seed: int | None = 0,
        member: int = 0,
        researchers_per_agent: int | None = None,
        horizon: int | None = None,
        shuffled: bool = False,
        rng: Any = None,
        **kwargs: float,  # parameters; SolaraViz takes a catch-all of another name for one that is missing
    ) -> None:
        seed = whole_number(seed or 0, 0, LARGEST_SEED, "seed")  # mesa.batch_run passes None where nothing was given
        member = whole_number(member, 0, MOST_MEMBERS - 1, "member")
        if not isinstance(world, World):
            k, last = researchers_per_agent, horizon
            settings = Settings(1, seed, COARSE if k is None else k, "mesa", DEFAULT_HORIZON if last is None else last)
            world = _world(world, settings, {name.replace("__", "."): value for name, value in kwargs.items()})
        elif given := [*kwargs, *_given(researchers_per_agent=researchers_per_agent, horizon=horizon)]:
            raise UsageError(f"a World has its own; give a scenario to choose {', '.join(given)}", where=given[0])
        super().__init__(world, seed=seed, member=member, shuffled=shuffled, rng=rng)


def _given(**settings: int | None) -> list[str]:
    return [name for name, value in settings.items() if value is not None]


def _world(scenario: Scenario | str | Path, settings: Settings, parameters: dict[str, float]) -> World:
    """The only branch of a scenario, with parameters replaced."""
    job = plan_run(scenario, settings, parameters)
    if len(job.plans) > 1:
        raise UsageError(
            f"'{job.scenario.name}' branches {len(job.plans)} ways; pass job.world(plan) of one",
            where="world",
        )
    return job.world(job.plans[0])
