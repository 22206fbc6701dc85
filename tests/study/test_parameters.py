"""Parameters are data: every one described, bounded and sourced; anything else is refused in one line."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdsim.errors import InputError, ParameterError
from bdsim.model.categories import FIELDS, ORIGINS, ROUTES
from bdsim.model.rule import Weights
from bdsim.study.layout import Study
from bdsim.study.parameters import Parameters, load_parameters, parse_setting, required_names

pytestmark = pytest.mark.one_python

PRIORS = {  # of the model's second edition
    "leave_china.china": (-3, 2),
    "leave_elsewhere.china": (-3, 2),
    "leave_elsewhere.india": (-3, 2),
    "leave_elsewhere.other": (-3, 2),
    "field_china.engineering_cs": (0, 1),
    "field_china.math_physical": (0, 1),
    "funding": (1, 1),
    "push": (0, 0.5),
    "pull_growth": (0.03, 0.03),
    "roots.doctorate": (1.5, 1),
    "roots.settled": (0.8, 0.6),
    "rooting": (3, 1.5),
    "accept": (0.27, 0.3),
    "counted": (0.6, 0.15),
    "standing": (0.3, 0.3),
    "fade": (0.8, 0.12),
    "stay_us": (0.25, 0.15),
    "wait": (0.16, 0.08),
    "settled": (-1, 0.5),
    "settled_per_doctorate": (math.log(2), 0.5),
    "mainland_stem": (0.885, 0.02),
    "productivity": (1.6, 0.3),
}
UNIDENTIFIED = ("rho", "fade", "kappa", "gamma", "spill", "standing", "ties_weight", "stay_us", "wait")


@pytest.fixture(scope="module")
def parameters(study: Study) -> Parameters:
    return load_parameters(study.parameters)


# --- what ships --------------------------------------------------------------------------------------------


def test_the_shipped_file_gives_every_parameter_and_no_other(parameters: Parameters) -> None:
    assert sorted(parameters) == sorted(required_names())
    assert parameters.held == ()


@pytest.mark.parametrize("name", required_names())
def test_every_parameter_says_what_it_means_and_where_it_comes_from(parameters: Parameters, name: str) -> None:
    entry = parameters.entries[name]
    assert len(entry.meaning) > 10 and len(entry.source) > 5 and entry.unit
    low, high = entry.bounds
    assert low <= entry.value <= high
    if entry.prior is not None:
        assert low <= entry.prior.mean <= high


def test_the_priors_are_those_of_the_models_description(parameters: Parameters) -> None:
    for name, (mean, sd) in PRIORS.items():
        prior = parameters.entries[name].prior
        assert prior is not None, name
        assert (prior.mean, prior.sd) == pytest.approx((mean, sd), abs=1e-6), name
    for name in ("leave_china.india", "leave_china.other"):
        assert parameters.entries[name].prior is None, "fixed"
    assert parameters.entries["push"].bounds[0] == 0.0


def test_what_2010_to_2021_cannot_tell_is_marked_so_and_carries_a_prior(parameters: Parameters) -> None:
    for name in UNIDENTIFIED:
        assert parameters.entries[name].identified == "none"
        assert parameters.entries[name].prior is not None
    for name in ("settled", "settled_per_doctorate", "push"):
        assert parameters.entries[name].identified == "weak"


def test_a_provisional_file_says_so_in_words(parameters: Parameters) -> None:
    assert parameters.status and parameters.note


def test_the_engine_reads_the_same_numbers(parameters: Parameters) -> None:
    behaviour = parameters.behaviour()
    for name, labels in (("leave_china", ORIGINS), ("leave_elsewhere", ORIGINS), ("roots", ROUTES)):
        assert getattr(behaviour, name).tolist() == [parameters[f"{name}.{label}"] for label in labels]
    assert behaviour.field_china.tolist() == [*(parameters[f"field_china.{f}"] for f in FIELDS[:-1]), 0.0]
    assert (behaviour.settled, behaviour.counted) == (parameters["settled"], parameters["counted"])
    assert behaviour.weights._asdict() == {name: parameters[name] for name in Weights._fields}
    assert parameters.settled_per_doctorate() == math.exp(parameters["settled_per_doctorate"])


def test_the_field_shares_add_up_to_1(parameters: Parameters) -> None:
    shares = parameters.field_shares()
    assert len(shares) == len(FIELDS)
    assert shares.sum() == pytest.approx(1.0, abs=1e-15) and shares.min() > 0
    np.testing.assert_allclose(shares, [0.45, 0.25, 0.30])


# --- changing values ---------------------------------------------------------------------------------------


def one_line(error: InputError) -> str:
    text = str(error)
    assert len(text.splitlines()) == 1, repr(text)
    return text


def test_a_changed_value_is_named_as_changed_and_the_original_stays(parameters: Parameters) -> None:
    changed = parameters.with_values({"push": 0.5}).with_values({"kappa": 0.0})
    assert (changed["push"], changed["kappa"]) == (0.5, 0.0)
    assert changed.held == ("kappa", "push")
    assert parameters["push"] == 0.3 and parameters.held == ()
    assert changed.values == {**parameters.values, "push": 0.5, "kappa": 0.0}


@pytest.mark.parametrize("name", required_names())
def test_the_bounds_themselves_are_allowed_and_what_lies_outside_is_not(parameters: Parameters, name: str) -> None:
    for bound, way in zip(parameters.entries[name].bounds, (-math.inf, math.inf), strict=True):
        if not name.startswith("field_share"):  # these are bounded together, too
            assert parameters.with_values({name: bound})[name] == bound
        with pytest.raises(ParameterError) as caught:
            parameters.with_values({name: math.nextafter(bound, way)}, where="--set")
        assert one_line(caught.value).startswith(f"--set: {name}: ")
        assert "is outside its bounds" in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused(parameters: Parameters, value: float) -> None:
    with pytest.raises(ParameterError) as caught:
        parameters.with_values({"push": value}, where="--set")
    assert "outside its bounds" in one_line(caught.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("pusch", "push"),
        ("leave_china.chnia", "leave_china.china"),
        ("leave_elsewhere.inida", "leave_elsewhere.india"),
        ("Push", "push"),
        ("setled", "settled"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(parameters: Parameters, name: str, nearest: str) -> None:
    for attempt in (lambda: parameters[name], lambda: parameters.with_values({name: 0.1})):
        with pytest.raises(ParameterError) as caught:
            attempt()
        assert f"unknown parameter '{name}'; did you mean '{nearest}'?" in one_line(caught.value)


def test_field_shares_that_leave_nothing_for_life_are_refused(parameters: Parameters) -> None:
    for first, second in ((0.6, 0.4), (0.9, 0.9), (0.5, 0.5)):
        shares = {"field_share.engineering_cs": first, "field_share.math_physical": second}
        with pytest.raises(ParameterError, match="leave nothing for the life sciences") as caught:
            parameters.with_values(shares)
        one_line(caught.value)


@given(values=st.dictionaries(st.sampled_from(required_names()), st.floats(), max_size=4))
def test_any_values_are_taken_within_bounds_or_refused(parameters: Parameters, values: dict[str, float]) -> None:
    try:
        changed = parameters.with_values(values)
    except ParameterError as error:
        one_line(error)
    else:
        for name in changed:
            low, high = changed.entries[name].bounds
            assert low <= changed[name] <= high
        assert changed.field_shares().min() > 0


# --- settings from the command line ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("push=0.5", ("push", 0.5)),
        (" push = 0.5 ", ("push", 0.5)),
        ("leave_china.china=-3", ("leave_china.china", -3.0)),
        ("push=1e-3", ("push", 0.001)),
    ],
)
def test_a_setting_is_a_name_and_a_number(text: str, setting: tuple[str, float]) -> None:
    assert parse_setting(text) == setting


@pytest.mark.parametrize("text", ["push", "push=", "push=much", "", "=", "push==1", "push=0,5", "push:1", "a\nb=c\nd"])
def test_a_setting_of_another_form_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_setting(text)
    assert one_line(caught.value).startswith("--set: ")
    assert "is not of the form name=number" in str(caught.value)


@pytest.mark.parametrize("text", ["push=nan", "push=inf", "=1", "a\nb=1"])
def test_a_setting_that_parses_is_still_checked_in_one_line(parameters: Parameters, text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parameters.with_values(dict([parse_setting(text)]), where="--set")
    one_line(caught.value)


# --- malformed files ---------------------------------------------------------------------------------------

PUSH = """[behaviour.push]
label = "Push of scrutiny"
value = 0.3
unit = "log rate per unit of fear"
bounds = [0.0, 5.0]
prior = { mean = 0.0, sd = 0.5 }
identified = "weak"
"""


def refused(study: Study, change: Callable[[str], str], *words: str) -> None:
    before = study.parameters.read_text(encoding="utf-8")
    after = change(before)
    assert after != before, "the test changed nothing"
    study.parameters.write_text(after, encoding="utf-8")
    with pytest.raises(ParameterError) as caught:
        load_parameters(study.parameters)
    text = one_line(caught.value)
    assert "parameters.toml" in text
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("value = 0.3", "value = 5.5", ("behaviour.push", "value 5.5 is outside its bounds 0 to 5")),
        ("value = 0.3", "value = -0.1", ("behaviour.push", "value -0.1 is outside its bounds 0 to 5")),
        ("value = 0.3", "value = nan", ("behaviour.push.value", "finite")),
        ("value = 0.3", "value = inf", ("behaviour.push.value", "finite")),
        ("value = 0.3", 'value = "0.3"', ("behaviour.push.value", "valid number")),
        ("value = 0.3", "value = true", ("behaviour.push.value", "valid number")),
        ("value = 0.3\n", "", ("behaviour.push.value",)),
        ("bounds = [0.0, 5.0]", "bounds = [5.0, 0.0]", ("behaviour.push", "bounds 5, 0 are not in order")),
        ("bounds = [0.0, 5.0]", "bounds = [0.3, 0.3]", ("behaviour.push", "not in order")),
        ("bounds = [0.0, 5.0]", "bounds = [0.0, inf]", ("behaviour.push.bounds", "finite")),
        ("bounds = [0.0, 5.0]", "bounds = [0.0]", ("behaviour.push.bounds",)),
        ("bounds = [0.0, 5.0]", "bounds = [0.0, 1.0, 2.0]", ("behaviour.push.bounds",)),
        ("sd = 0.5", "sd = 0.0", ("behaviour.push.prior.sd", "greater than 0")),
        ("sd = 0.5", "sd = -1.0", ("behaviour.push.prior.sd", "greater than 0")),
        ("mean = 0.0, ", "", ("behaviour.push.prior.mean",)),
        ('identified = "weak"', 'identified = "perhaps"', ("behaviour.push.identified",)),
        ("unit = ", "unti = ", ("behaviour.push.unit",)),
        ('identified = "weak"', 'identified = "weak"\nsorce = "x"', ("sorce", "did you mean 'source'?")),
        ("[behaviour.push]", "[behaviour.pusch]", ("pusch", "did you mean 'push'?")),
        ("[behaviour.push]", "[behavior.push]", ("behavior", "did you mean 'behaviour'?")),
    ],
)
def test_a_malformed_parameter_is_refused_in_one_line(
    fresh_study: Study, old: str, new: str, words: tuple[str, ...]
) -> None:
    def change(text: str) -> str:
        assert PUSH in text
        return text.replace(PUSH, PUSH.replace(old, new))

    refused(fresh_study, change, *words)


@pytest.mark.parametrize(
    ("name", "bounds", "allowed"),
    [
        ("push", "[0.0, 2000.0]", "-100 to 100"),
        ("settled_per_doctorate", "[0.0, 1000.0]", "-10 to 10"),
        ("funding_lag", "[-2.0, 5.0]", "0 to 30"),
        ("past_growth", "[-2.0, 0.2]", "-0.5 to 1"),
        ("field_share.engineering_cs", "[-0.5, 0.98]", "0 to 1"),
        ("rewired", "[0.0, 1.5]", "0 to 1"),
        ("mainland_stem", "[0.0, 1.0]", "0.01 to 1"),
    ],
)
def test_bounds_beyond_which_the_model_has_no_meaning_are_refused(
    fresh_study: Study, name: str, bounds: str, allowed: str
) -> None:
    def change(text: str) -> str:
        start = text.index("bounds = ", text.index(f".{name}]\n"))
        return text[:start] + f"bounds = {bounds}" + text[text.index("\n", start) :]

    refused(fresh_study, change, f"{name}.bounds", "are wider than", allowed)


@pytest.mark.parametrize("key", ["meaning", "source"])
def test_a_parameter_without_meaning_or_source_is_refused(fresh_study: Study, key: str) -> None:
    def change(text: str) -> str:
        lines = text.splitlines(True)
        start = lines.index("[behaviour.push]\n")
        i = next(i for i in range(start, len(lines)) if lines[i].startswith(f"{key} = "))
        return "".join([*lines[:i], *lines[i + 1 :]])

    refused(fresh_study, change, f"behaviour.push.{key}")


@pytest.mark.parametrize("name", ["behaviour.push", "behaviour.leave_china.china", "population.rewired"])
def test_a_missing_parameter_is_refused_and_named(fresh_study: Study, name: str) -> None:
    def change(text: str) -> str:
        before, _, after = text.partition(f"[{name}]\n")
        return before + after[after.index("\n[") + 1 :]

    refused(fresh_study, change, f"parameter '{name.partition('.')[2]}' is missing")


def test_field_shares_of_the_file_that_leave_nothing_for_life_are_refused(fresh_study: Study) -> None:
    refused(fresh_study, lambda text: text.replace("value = 0.45", "value = 0.75"), "field_share", "life")


def test_a_parameter_given_in_two_sections_is_refused(fresh_study: Study) -> None:
    """One of the two would win in silence."""

    def change(text: str) -> str:
        start = text.index(PUSH)
        table = text[start : text.index("\n[", start) + 1]
        return text + "\n" + table.replace("behaviour.push", "population.push").replace("value = 0.3", "value = 0.99")

    refused(fresh_study, change, "push")


@pytest.mark.parametrize("content", ["x = ", "[behaviour", "x = 1", "x = " + "[" * 5000, "x = " + "1" * 5000])
def test_a_file_that_cannot_be_understood_is_refused(fresh_study: Study, content: str) -> None:
    refused(fresh_study, lambda text: content)


def test_an_empty_file_is_refused(fresh_study: Study) -> None:
    refused(fresh_study, lambda text: "", "is missing")


def test_a_file_that_is_not_utf_8_is_refused(fresh_study: Study) -> None:
    path = fresh_study.parameters
    path.write_bytes(path.read_bytes() + b"# na\xefve\n")
    with pytest.raises(ParameterError, match=r"parameters\.toml: cannot be read"):
        load_parameters(path)


def test_a_missing_file_is_refused(fresh_study: Study) -> None:
    fresh_study.parameters.unlink()
    with pytest.raises(ParameterError, match=r"parameters\.toml: this file is missing"):
        load_parameters(fresh_study.parameters)


def test_windows_line_ends_change_nothing(fresh_study: Study, parameters: Parameters) -> None:
    path = fresh_study.parameters
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_parameters(path).values == parameters.values


@pytest.mark.parametrize("value", [0.5, 1.6, 2.0000001])
def test_a_number_of_years_is_whole_and_never_rounded(parameters: Parameters, value: float) -> None:
    with pytest.raises(ParameterError, match=r"--set: funding_lag: .* is not a whole number"):
        parameters.with_values({"funding_lag": value}, where="--set")
    assert parameters.with_values({"funding_lag": 2.0}).funding_lag() == 2


def test_a_number_of_years_that_is_not_whole_in_the_file_is_refused(fresh_study: Study) -> None:
    text = fresh_study.parameters.read_text(encoding="utf-8")
    start = text.index("[population.funding_lag]")
    changed = text[:start] + text[start:].replace("value = 1.0", "value = 1.5", 1)
    fresh_study.parameters.write_text(changed, encoding="utf-8")
    with pytest.raises(ParameterError, match=r"funding_lag.value: 1.5 is not a whole number"):
        load_parameters(fresh_study.parameters)
