"""Labels have one home: whatever names an origin, field or destination elsewhere names those of model/categories."""

from __future__ import annotations

from typing import get_args

import pytest

from bdsim.calibration.target_file import Entry
from bdsim.model.categories import DESTINATIONS, FIELDS, ORIGINS
from bdsim.model.world import TABLES
from bdsim.reporting.names import NAMES
from bdsim.study import facts, scenario_file
from bdsim.study.history import FIELD_OF

pytestmark = pytest.mark.one_python


def named(annotation: object) -> set[str]:
    """The values of a Literal, or of the Literal in a union with None."""
    parts = get_args(annotation)
    return {value for part in parts for value in (get_args(part) or (part,)) if isinstance(value, str)}


def test_types_name_the_labels_of_the_model_and_what_facts_add() -> None:
    assert get_args(scenario_file.Origin) == ORIGINS
    assert get_args(facts.Origin) == (*ORIGINS, "all")
    assert set(get_args(facts.Position)) == {*FIELDS, "social"}
    assert set(get_args(facts.AnyField)) == {*FIELDS, "social", "all"}
    assert get_args(facts.Destination) == (*DESTINATIONS, "all")
    assert set(FIELD_OF.values()) == set(FIELDS)


def test_targets_name_the_labels_of_the_model() -> None:
    kinds = {name: field.annotation for name, field in Entry.model_fields.items()}
    assert named(kinds["origin"]) == {*ORIGINS, "all"}
    assert named(kinds["field"]) == set(FIELDS)
    assert named(kinds["destination"]) == set(DESTINATIONS)


def test_limits_of_levers_are_of_tables_that_exist() -> None:
    assert set(scenario_file.MOST) <= set(TABLES)


def test_every_field_and_destination_has_a_plain_name() -> None:
    assert {*FIELDS, *DESTINATIONS} <= set(NAMES)
