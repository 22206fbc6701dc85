"""What a scenario says that is allowed, and that its author may not have meant."""

from __future__ import annotations

from itertools import combinations

from bdsim.runs.plan import Job
from bdsim.study.scenario_file import Policy

__all__ = ["remarks"]

MOST_POLICIES = 40  # of a branch whose overlaps are told; nobody reads those of more


def remarks(job: Job) -> list[str]:
    """Sentences about policies that overlap, and about parts that lie after the horizon; each once."""
    found: dict[str, None] = {}
    for plan in job.plans:
        for one, other in combinations(plan.branch.policies[:MOST_POLICIES], 2):
            if overlap := _overlap(one, other):
                found[overlap] = None
        horizon = job.settings.horizon
        late = [("policy", p.name, p.start.year) for p in plan.branch.policies if p.start.year > horizon]
        late += [("lever", v.name or v.table, v.years[0]) for v in plan.branch.levers if v.years[0] > horizon]
        for kind, name, year in late:
            found[f"{kind} '{name}' begins in {year}, after the horizon {horizon}: it changes nothing"] = None
    return list(found)


def _overlap(one: Policy, other: Policy) -> str:
    """That two policies scrutinise the same people at the same time, in words; '' when they do not."""
    start, until = max(one.start, other.start), min(one.until, other.until)
    both = [origin for origin in one.targets if origin in other.targets]
    if start >= until or not both:
        return ""
    total = one.scrutiny + other.scrutiny
    return (
        f"'{one.name}' and '{other.name}' overlap from {start} to {until}: they add up to scrutiny {total:g} "
        f"of {', '.join(both)}"
    )
