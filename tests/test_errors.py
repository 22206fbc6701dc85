"""The tree of errors is the one that errors.py draws, and every message is one line."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdsim import errors
from bdsim.errors import BdsimError, InputError, InvariantError, did_you_mean, shown

CLASSES = {
    name: member
    for name, member in vars(errors).items()
    if inspect.isclass(member) and member.__module__ == errors.__name__
}


def drawn_tree() -> dict[str, str]:
    """Class by class the parent that the module's docstring draws: indentation is ancestry."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        bare = line.lstrip("│├└─ ")
        name = bare.split(" ")[0]
        if not (name.endswith("Error") and (line[:1] in "│├└ " or bare == line == name)):
            continue
        depth = len(line) - len(bare)
        while above and above[-1][0] >= depth:
            above.pop()
        parents[name] = above[-1][1] if above else "Exception"
        above.append((depth, name))
    return parents


def test_the_classes_form_the_tree_that_the_docstring_draws() -> None:
    assert drawn_tree() == {name: member.__bases__[0].__name__ for name, member in CLASSES.items()}
    assert all(len(member.__bases__) == 1 for member in CLASSES.values())


def test_all_names_everything_public_and_nothing_else() -> None:
    public = {
        name
        for name, member in vars(errors).items()
        if not name.startswith("_") and getattr(member, "__module__", None) == errors.__name__
    }
    assert set(errors.__all__) == public
    assert len(errors.__all__) == len(set(errors.__all__))
    assert list(errors.__all__) == sorted(errors.__all__)


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_says_what_it_is_for(name: str) -> None:
    assert (CLASSES[name].__doc__ or "").strip()
    assert issubclass(CLASSES[name], BdsimError)


def test_a_broken_promise_of_the_program_is_no_mistake_of_the_person() -> None:
    assert not issubclass(InvariantError, InputError)


@pytest.mark.parametrize(
    ("where", "place", "expected"),
    [
        (None, "", "is wrong"),
        ("--set", "", "--set: is wrong"),
        ("--set", "push", "--set: push: is wrong"),
        (None, "push", "push: is wrong"),
        (Path("/elsewhere/x.toml"), "lever[0]", "/elsewhere/x.toml: lever[0]: is wrong"),
    ],
)
def test_a_message_is_file_place_problem(where: Path | str | None, place: str, expected: str) -> None:
    assert str(InputError("is wrong", where=where, place=place)) == expected


def test_a_file_below_where_one_stands_is_shown_as_one_would_type_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scenarios").mkdir()
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "scenarios" / "x.toml") == "scenarios/x.toml"
    assert shown(Path("scenarios/x.toml")) == "scenarios/x.toml"
    assert shown(Path("../x.toml")) == "../x.toml"
    assert shown("any text") == "any text"


@given(problem=st.text(), where=st.text(), place=st.text())
def test_a_message_is_one_line_whatever_it_quotes(problem: str, where: str, place: str) -> None:
    assert len(str(InputError(problem, where=where, place=place)).splitlines()) <= 1


@given(name=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_message_is_one_line_whatever_the_file_is_called(name: str) -> None:
    error = InputError("is wrong", where=Path("/tmp") / name.replace("\0", ""))
    assert len(str(error).splitlines()) == 1
    str(error).encode("utf-8")


def test_a_file_name_that_is_not_text_can_still_be_shown() -> None:
    assert "\\udcff" in shown(Path("/nowhere/\udcff.toml"))


@pytest.mark.parametrize(
    ("name", "choices", "expected"),
    [
        ("scruntiny", ["scrutiny", "targets"], "; did you mean 'scrutiny'?"),
        ("tabel", ["years", "table", "set"], "; did you mean 'table'?"),
        ("zzz", ["china", "india"], "; choose from china, india"),
        ("zzz", ["india", "china"], "; choose from china, india"),
        ("zzz", [], ""),
        (5, ["a", "b"], "; choose from a, b"),
        (["chin"], ["china"], "; did you mean 'china'?"),
    ],
)
def test_the_nearest_choice_is_offered_or_all_of_them(name: object, choices: list[str], expected: str) -> None:
    assert did_you_mean(name, choices) == expected
    assert did_you_mean(name, iter(choices)) == expected
    assert did_you_mean(name, dict.fromkeys(choices)) == expected


def test_a_long_list_of_choices_is_cut() -> None:
    hint = did_you_mean("zzz", [f"name{i:02}" for i in range(40)])
    assert hint.endswith("name13, ...") and "name14" not in hint


@given(
    choices=st.lists(st.text(st.characters(categories=["Ll"]), min_size=1), min_size=1, max_size=8, unique=True),
    data=st.data(),
)
def test_a_name_that_is_nearly_a_choice_is_never_answered_with_nothing(choices: list[str], data: st.DataObject) -> None:
    assert did_you_mean(data.draw(st.sampled_from(choices)), choices)


def test_errors_can_be_caught_by_their_root() -> None:
    with pytest.raises(BdsimError):
        raise InputError("is wrong")
