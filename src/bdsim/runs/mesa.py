"""A scenario as a Mesa model: its name and settings in, one member of its ensemble out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bdsim.errors import UsageError
from bdsim.model.agents import WorldModel
from bdsim.model.world import World
from bdsim.runs.plan import DEFAULT_HORIZON, Settings, plan_run
from bdsim.study.scenario import load_scenario

__all__ = ["MigrationModel"]


class MigrationModel(WorldModel):
    """One member of an ensemble as a Mesa model; a step is a calendar year, and `running` ends at the horizon.

    `world` is a scenario's name or file, or a World. `parameters` are replaced by name, with `__` for the dot:
    MigrationModel(push=0.5, leave_china__china=-3.1). Raises UsageError where the scenario branches.
    """

    def __init__(
        self,
        world: World | str | Path = "baseline",
        *,
        seed: int | None = 0,
        member: int = 0,
        researchers_per_agent: int = 100,
        horizon: int = DEFAULT_HORIZON,
        shuffled: bool = False,
        rng: Any = None,
        **parameters: float,
    ) -> None:
        seed = seed or 0  # mesa.batch_run passes None where it was given nothing
        if not isinstance(world, World):
            world = _world(world, Settings(1, seed, researchers_per_agent, "mesa", horizon), parameters)
        super().__init__(world, seed=seed, member=member, shuffled=shuffled, rng=rng)


def _world(scenario: str | Path, settings: Settings, parameters: dict[str, float]) -> World:
    """The first branch of a scenario, with parameters replaced."""
    job = plan_run(
        load_scenario(scenario),
        settings,
        {name.replace("__", "."): value for name, value in parameters.items()},
    )
    if len(job.plans) > 1:
        raise UsageError(
            f"'{job.scenario.name}' branches {len(job.plans)} ways; pass job.world(plan) of one",
            where="world",
        )
    return job.world(job.plans[0])
