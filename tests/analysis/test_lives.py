"""Watching lives: what is explained is what the model does, explaining changes nothing, and pictures are true."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bdsim
from bdsim.analysis.lives import CHOICES, OTHERWISE, TO_CHINA_ALONE, Watch, explain, log_rates_of, network, terms_of
from bdsim.analysis.network import INNERMOST, STATUSES
from bdsim.errors import InvariantError, UsageError
from bdsim.model import rule
from bdsim.model.agents import Researcher
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, GROUPS
from bdsim.model.fates import choice_of, fate_of, year_left
from bdsim.model.rule import CAREER, CHINA, ELSEWHERE, PROGRAMME, STAY, Weights
from bdsim.runs.mesa import MigrationModel
from bdsim.runs.plan import Settings, plan_run

SCALE = 4000
INITIATIVE = 2018  # the first year that differs without it


def model_of(scenario="baseline", scale=SCALE, kind=MigrationModel, **options):
    return kind(scenario, researchers_per_agent=scale, **options)


def watched(scenario="baseline", until=2100, **options):
    watch = Watch(model_of(scenario, **options))
    while not watch.finished and watch.year < until:
        watch.step()
    return watch


def everyone(watch):
    return np.flatnonzero(watch.model.world.population.people.enters)


@pytest.fixture(scope="module")
def baseline():
    return watched()


@pytest.fixture(scope="module")
def lives(baseline):
    return {int(row): baseline.life(row) for row in everyone(baseline)}


def every_moment_and_its_agent(scenario):
    """(agent, moment) of everyone here, in every third year."""
    model = model_of(scenario, 4000)
    while model.running:
        if model.year % 3 == 0:
            yield from ((agent, explain(agent)) for agent in model.agents)
        model.step()


# --- terms ---------------------------------------------------------------------------------------------------

shares = st.floats(0.0, 1.0)
weights = st.builds(  # over all that the bounds of parameters.toml allow
    Weights,
    funding=st.floats(-3.0, 6.0),
    pull_growth=st.floats(-0.3, 0.3),
    ties_weight=st.floats(-2.0, 5.0),
    push=st.floats(0.0, 5.0),
    spill=st.floats(0.0, 2.0),
    standing=st.floats(-2.0, 3.0),
    rooting=st.floats(0.3, 15.0),
    accept=st.floats(-3.0, 3.0),
    stay_us=st.floats(0.0, 4.0),
    wait=st.floats(-1.0, 2.0),
    rho=st.floats(0.0, 0.99),
    fade=st.floats(0.0, 0.99),
    kappa=shares,
    gamma=st.floats(0.0, 2.0),
)
circumstances = st.fixed_dictionaries(
    {
        "leave_china": st.floats(-20.0, 2.0),
        "leave_elsewhere": st.floats(-10.0, 2.0),
        "settled": st.floats(-6.0, 4.0),
        "field_china": st.floats(-6.0, 6.0),
        "log_funding": st.floats(-3.0, 3.0),
        "pull": st.floats(-10.0, 30.0),
        "log_us": st.floats(-3.0, 3.0),
        "roots": st.floats(-2.0, 6.0),
        "career_age": st.integers(0, 37).map(float),
        "green_card_wait": st.floats(-5.0, 10.0),
        "waits": st.sampled_from([0.0, 1.0]),
        "shock_china": st.floats(-0.5, 0.5),
        "shock_elsewhere": st.floats(-0.5, 0.5),
        "fear": shares,
        "ties": shares,
        "prominence": shares,
    }
)


def add_up(terms, rate):
    """To within rounding."""
    return abs(sum(terms.values()) - math.log(rate)) <= 1e-12 * max(1.0, sum(map(abs, terms.values())))


@given(w=weights, inputs=circumstances)
def test_terms_add_up_to_the_log_rates_of_the_rule(w, inputs):
    for terms, log_rate in zip(terms_of(w, **inputs), log_rates_of(w, inputs), strict=True):
        assert add_up(terms, math.exp(log_rate))


@given(w=weights, inputs=circumstances)
def test_every_term_is_the_product_that_its_name_says(w, inputs):
    china, elsewhere, by_offer = terms_of(w, **inputs)
    near = {"rel": 1e-12, "abs": 1e-12}
    assert china["push"] == pytest.approx(w.push * inputs["fear"], **near)
    assert elsewhere["push"] == pytest.approx(w.push * w.spill * inputs["fear"], **near)
    assert china["ties"] == pytest.approx(w.ties_weight * (inputs["ties"] - rule.TYPICAL_TIES), **near)
    assert china["other pull of China"] == pytest.approx(w.pull_growth * inputs["pull"], **near)
    assert by_offer["offer"] == pytest.approx(w.accept, **near)
    assert by_offer["ties"] == pytest.approx(china["ties"], **near)
    assert by_offer["push"] == pytest.approx(china["push"], **near)
    assert china["Chinese funding"] == pytest.approx(w.funding * inputs["log_funding"], **near)
    for terms, usual in ((china, "leave_china"), (elsewhere, "leave_elsewhere")):
        assert terms["usual"] == pytest.approx(inputs[usual], **near)
        assert terms["settled"] == pytest.approx(inputs["settled"], **near)
        grown = 1.0 - math.exp(-inputs["career_age"] / w.rooting)
        assert terms["roots"] == pytest.approx(-inputs["roots"] * grown, **near)
        assert terms["standing"] == pytest.approx(-w.standing * (inputs["prominence"] - 0.5), **near)
        waited = w.wait * inputs["green_card_wait"] * inputs["waits"]
        assert terms["longer wait for a green card"] == pytest.approx(waited, **near)
        assert terms["US funding and soft power"] == pytest.approx(-w.stay_us * inputs["log_us"], **near)


@pytest.mark.parametrize("scenario", ["baseline", "initiative-revival"])
def test_terms_of_real_agents_add_up_to_the_rates_that_they_weigh(scenario):
    pushed = 0
    for agent, moment in every_moment_and_its_agent(scenario):
        rates = agent.weigh(moment.fear, moment.ties)
        told = [moment.china, moment.elsewhere, *([moment.by_offer] if moment.offered else [])]
        for weighing, rate in zip(told, rates, strict=False):
            assert weighing.rate == rate
            assert add_up(weighing.terms, rate)
            assert OTHERWISE not in weighing.terms  # the rule accounts for everything
        for weighing in told[:2]:
            assert ("settled" in weighing.terms) == (agent.route == "settled")
        assert not set(moment.elsewhere.terms) & set(TO_CHINA_ALONE)
        pushed += moment.china.terms["push"] > 0.05
    assert pushed > 0


# --- explanations --------------------------------------------------------------------------------------------


class Open(Researcher):
    """Says by which rates the clocks ran, that of an offer included."""

    rates = None

    def choose(self, china, elsewhere, by_offer):
        self.rates = (china, elsewhere, by_offer)
        return super().choose(china, elsewhere, by_offer)


class OpenModel(MigrationModel):
    researcher_class = Open


@pytest.mark.parametrize("scenario", ["baseline", "initiative-revival"])
def test_what_is_explained_is_what_the_model_then_does_to_the_bit(scenario):
    """Fear, ties, rates, chances and the choice of everyone in every year; and departures add up to the tally."""
    model = model_of(scenario, kind=OpenModel)
    offered = 0
    while model.running:
        rows, year = list(model.agent_of_row), model.year - FIRST_YEAR
        agents = list(model.agent_of_row.values())
        told = [explain(agent) for agent in agents]
        model.step()
        clocks = [(m.china.rate, m.elsewhere.rate, m.by_offer.rate if m.by_offer else 0.0) for m in told]
        assert clocks == [agent.rates for agent in agents]
        d = model.decisions
        assert [m.choice for m in told] == d.choice[rows].tolist()
        assert [m.fear for m in told] == d.fear[rows].tolist()
        assert [m.ties for m in told] == d.ties[rows].tolist()
        assert [m.china.chance for m in told] == d.to_china[rows].tolist()
        assert [m.elsewhere.chance for m in told] == d.to_elsewhere[rows].tolist()
        for to, ways in ((CHINA, (CHINA, PROGRAMME)), (ELSEWHERE, (ELSEWHERE,))):
            assert sum(m.choice in ways for m in told) == model.tally.departures[year, ..., to].sum()
        assert sum(m.choice == PROGRAMME for m in told) == model.tally.programme[year].sum()
        for moment in told:
            assert (moment.by_offer is not None) == moment.offered
            clocks = [moment.china.rings_after, moment.elsewhere.rings_after]
            clocks += [moment.by_offer.rings_after] if moment.by_offer else []
            assert moment.choice == (int(np.argmin(clocks)) if min(clocks) < 1.0 else STAY)
        offered += sum(m.offered for m in told)
    assert offered > 0


def contents(model):
    """Everything that a step reads or writes, as bytes."""
    arrays = itertools.chain(model.state, model.decisions, model.tally, model.block, model.world.population.people)
    return [array.tobytes() for array in arrays] + [model.year, model.running, sorted(model.agent_of_row)]


def test_explaining_changes_nothing_in_the_model(baseline):
    model = model_of("initiative-revival")
    for _ in range(22):
        model.step()
    before, agents = contents(model), list(model.agents)
    for agent in agents:
        explain(agent)
    network(model)
    assert contents(model) == before
    assert list(model.agents) == agents
    assert all(agent.model is model for agent in agents)


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_run_that_is_watched_and_explained_has_the_fates_of_one_that_is_not(shuffled):
    alone = model_of(shuffled=shuffled)
    alone.run_model()
    watch = Watch(model_of(shuffled=shuffled))
    while not watch.finished:
        for agent in list(watch.model.agents)[::60]:
            explain(agent)
            watch.life(agent.row)
        network(watch.model, "life")
        watch.step()
    assert contents(watch.model) == contents(alone)


def test_nothing_is_explained_of_who_is_not_here_or_after_the_horizon():
    model = model_of(horizon=2012)
    gone = dict(model.agent_of_row)
    model.run_model()
    for agent in (next(a for row, a in gone.items() if row not in model.agent_of_row), next(iter(model.agents))):
        with pytest.raises(UsageError, match="decides nothing in 2013"):
            explain(agent)


def test_words_hold_the_numbers(lives):
    moments = [moment for life in lives.values() for moment in life.moments]
    assert {STAY, CHINA, ELSEWHERE} <= {moment.choice for moment in moments} <= set(CHOICES)
    for moment in moments[::5]:
        words = moment.in_words()
        assert words.startswith(f"{moment.year}, ")
        assert words.endswith(f": {moment.chosen}.")
        assert f"({moment.stage})" in words
        assert f"fear {moment.fear:.2f}" in words
        assert "-" not in words and "\n" not in words  # true minus signs, no powers of ten
        for weighing in (moment.china, moment.elsewhere, *([moment.by_offer] if moment.by_offer else [])):
            assert weighing.in_words() in words
            for name, term in weighing.terms.items():
                shown = f"{name} {term:+.2f}".replace("-", "−")  # noqa: RUF001
                assert (shown in weighing.in_words()) == (abs(term) >= 0.005 or name in ("usual", "offer"))
            stated = float(weighing.in_words().split(": ")[1].split(" a year")[0].replace(",", ""))
            assert stated == pytest.approx(weighing.rate, rel=0.051)
        rings = [moment.china.rings_after, moment.elsewhere.rings_after]
        rings += [moment.by_offer.rings_after] if moment.by_offer else []
        after = [float(x.split(" years")[0].replace(",", "")) for x in words.split("after ")[-len(rings) :]]
        assert after == pytest.approx(rings, rel=0.0051)
        assert ("offer (its chance" in words) == (moment.offer_chance > 0.0)


# --- lives ---------------------------------------------------------------------------------------------------


def test_a_life_has_a_moment_for_every_year_here_and_ends_as_the_model_says(baseline, lives):
    fates, end = baseline.model.state.fate, baseline.year
    endings = set()
    for row, life in lives.items():
        years = [moment.year for moment in life.moments]
        assert years == list(range(years[0], years[0] + len(years))) if years else True
        endings.add(life.ending.split(" in ")[0].split(" after ")[0].split(" on ")[0])
        if fates[row]:
            year, choice = int(year_left(fates[row])), int(choice_of(fates[row]))
            assert life.ending == f"{CHOICES[choice]} in {year}"
            assert years[-1] == year and life.moments[-1].choice == choice
        elif row in baseline.model.agent_of_row:
            assert life.ending == f"here on 1 January {end}" and years[-1] == end - 1
        elif years:
            assert life.ending == f"retired after {years[-1]}" and life.moments[-1].career_age == CAREER - 1
        else:
            assert life.ending == f"gone before {FIRST_YEAR}" and life.entry < FIRST_YEAR
        if years:
            assert years[0] == max(life.entry, FIRST_YEAR)
    endings -= {CHOICES[PROGRAMME]}  # few leave so, and perhaps none at this scale
    assert endings == {"left for China", "left for elsewhere", "here", "retired", "gone before 2000"}


def test_a_life_told_early_is_the_beginning_of_the_life_told_late(lives):
    watch = watched(until=2019)
    for row, life in lives.items():
        early = watch.life(row)
        assert early.moments == tuple(moment for moment in life.moments if moment.year < 2019)
        if life.entry > 2019:
            assert early.ending == f"enters in {life.entry}"


def test_a_life_told_afterwards_is_what_was_explained_at_the_time(lives):
    model = model_of()
    while model.running:
        for agent in list(model.agents)[::5]:
            assert explain(agent) in lives[agent.row].moments
        model.step()


def test_fear_and_ties_of_a_life_carry_over_from_year_to_year(lives):
    for life in lives.values():
        for one, next_one in itertools.pairwise(life.moments):
            assert (one.fear, one.ties) == (next_one.fear_before, next_one.ties_before)


def test_the_same_person_lives_the_same_life_until_the_initiative(baseline, lives):
    """Found again by identity; afterwards some lives differ."""
    without = watched("no-initiative")
    differ = 0
    for life in lives.values():
        other = without.life(without.row_of(life.identity))
        before = [[m for m in told.moments if m.year < INITIATIVE] for told in (life, other)]
        assert before[0] == before[1]
        assert (life.origin, life.route, life.field, life.entry, life.prominence) == (
            other.origin, other.route, other.field, other.entry, other.prominence,
        )  # fmt: skip
        differ += life.moments != other.moments
    assert differ > len(lives) / 10


def test_the_words_of_a_life_begin_with_the_person_and_end_with_the_ending(lives):
    for life in list(lives.values())[::20]:
        lines = life.in_words().splitlines()
        assert lines[0].startswith(f"{life.identity}: origin {life.origin}")
        assert lines[1:-1] == [moment.in_words() for moment in life.moments]
        assert lines[-1] == f"Then: {life.ending}."


def test_a_picture_of_a_past_year_is_the_model_of_that_year(baseline):
    model = model_of()
    while model.year < 2020:
        model.step()
    picture = baseline.on_1_january(2020)
    assert picture.year == 2020
    assert picture.mean_fear() == model.mean_fear() and picture.researchers_here() == model.researchers_here()
    for row, agent in model.agent_of_row.items():
        then = picture.agent_of_row[row]
        assert (then.fear, then.ties, then.career_age) == (agent.fear, agent.ties, agent.career_age)
        assert [c.fear for c in then.colleagues] == [c.fear for c in agent.colleagues]
    for told, now in zip(network(picture), network(model), strict=True):
        assert told.equals(now)


def test_who_is_not_there_is_refused_in_one_line_with_the_nearest_choice(baseline):
    rows = len(baseline.model.world.population)
    identities = baseline.model.world.population.people.identity
    for ask, wrong, near in (
        (baseline.life, -1, 0),
        (baseline.life, rows, rows - 1),
        (baseline.row_of, 0, identities.min()),
        (baseline.row_of, 2**70, identities.max()),
        (baseline.row_of, int(identities[5]) + 2**20, None),
    ):
        with pytest.raises(UsageError) as error:
            ask(wrong)
        assert str(wrong) in str(error.value) and "\n" not in str(error.value)
        if near is not None:
            assert str(error.value).endswith(f"the nearest is {near}")
    for ask in (baseline.life, baseline.row_of):
        with pytest.raises(UsageError, match="not a whole number"):
            ask("Ann")


def test_who_never_enters_in_a_scenario_is_refused_and_the_nearest_is_one_who_does(baseline):
    cut = Watch(model_of("student-visa-cut"))
    people = cut.model.world.population.people
    absent = np.flatnonzero(~people.enters)
    assert len(absent) > 0
    for row in absent:
        assert baseline.row_of(people.identity[row]) == row
        for ask, wrong in ((cut.row_of, people.identity[row]), (cut.life, row)):
            with pytest.raises(UsageError, match=f"{wrong}; the nearest is ") as error:
                ask(wrong)
            ask(int(str(error.value).split()[-1]))


def test_a_watch_begins_at_the_beginning_and_alone_steps_its_model():
    model = model_of()
    watch = Watch(model)
    assert (watch.year, watch.finished) == (FIRST_YEAR, False)
    with pytest.raises(UsageError, match="2001 is not among the years 2000 to 2000"):
        watch.on_1_january(2001)
    model.step()
    with pytest.raises(UsageError, match="the model was stepped by itself"):
        watch.life(0)
    with pytest.raises(UsageError, match="the model is in 2001; give one that has not been stepped"):
        Watch(model)


def test_a_finished_watch_stays_finished(baseline):
    assert baseline.finished and baseline.year == 2036
    before = contents(baseline.model)
    baseline.step()
    assert contents(baseline.model) == before


# --- other behaviour -----------------------------------------------------------------------------------------


class Sociable(Researcher):
    """Weighs China more, and feels what the most frightened colleague feels."""

    def feel(self, colleagues_fear):
        return super().feel(max([colleague.fear for colleague in self.colleagues], default=0.0))

    def weigh(self, fear, ties):
        china, elsewhere, by_offer = super().weigh(fear, ties)
        return 1.5 * china, elsewhere, by_offer


class SociableModel(MigrationModel):
    researcher_class = Sociable


def test_another_behaviour_is_explained_as_it_is_at_the_time_and_afterwards():
    watch = Watch(model_of(kind=SociableModel))
    at_the_time = []
    while not watch.finished:
        at_the_time += [(agent.row, explain(agent)) for agent in list(watch.model.agents) if agent.row % 20 == 0]
        watch.step()
    told = {row: watch.life(row).moments for row in {row for row, _ in at_the_time}}
    for row, moment in at_the_time:
        assert moment in told[row]
        assert moment.china.terms[OTHERWISE] == pytest.approx(math.log(1.5))
        assert add_up(moment.china.terms, moment.china.rate)
        assert OTHERWISE not in moment.elsewhere.terms


class Restless(Researcher):
    """Leaves for elsewhere in the third year, of which the model's arrays know nothing."""

    lived = 0

    def step(self):
        super().step()
        self.lived += 1
        if self.lived == 3:
            self.model.decisions.choice[self.row] = ELSEWHERE


class RestlessModel(MigrationModel):
    researcher_class = Restless


def test_an_explanation_that_is_not_what_happened_is_never_given():
    watch = Watch(model_of(kind=RestlessModel))
    gone = dict(watch.model.agent_of_row)
    for _ in range(4):
        watch.step()
    row = next(row for row in gone if watch.model.state.fate[row] == fate_of(2, ELSEWHERE))
    with pytest.raises(InvariantError, match="left for elsewhere in 2002, but explained as"):
        watch.life(row)


# --- network -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[FIRST_YEAR, 2012, 2027, 2036])
def year(request):
    return request.param


@pytest.fixture(scope="module")
def picture(baseline, year):
    return baseline.on_1_january(year)


@pytest.mark.parametrize("field", [None, "engineering_cs", "life"])
@pytest.mark.parametrize("origin", [None, "china"])
def test_links_join_nodes_once_whenever_one_has_the_other_as_a_colleague(picture, field, origin):
    nodes, links = network(picture, field, origin)
    colleagues = picture.world.population.people.colleagues
    there = set(nodes["row"])
    expected = {tuple(sorted((a, int(b)))) for a in there for b in colleagues[a] if int(b) in there}
    assert len(nodes) > 0
    assert list(zip(links["from"], links["to"], strict=True)) == sorted(expected)
    assert (links["from"] < links["to"]).all()


def test_nodes_are_those_here_and_those_whose_fate_is_of_last_year(picture, year):
    nodes, _ = network(picture)
    fate, here = picture.state.fate, picture.state.here[:-1]
    assert nodes["row"].is_unique and set(nodes["status"]) <= set(STATUSES)
    assert set(nodes.loc[nodes["status"] == "here", "row"]) == set(np.flatnonzero(here)) == set(picture.agent_of_row)
    for ways, status in (((CHINA, PROGRAMME), STATUSES[1]), ((ELSEWHERE,), STATUSES[2])):
        last_year = [fate_of(year - 1 - FIRST_YEAR, way) for way in ways]
        gone = np.flatnonzero(np.isin(fate, last_year)) if year > FIRST_YEAR else []
        assert set(nodes.loc[nodes["status"] == status, "row"]) == set(gone)


def of_node(node):
    return node.identity, node.origin, node.route, node.field, node.entry_year, node.stage, node.fear, node.ties


def test_nodes_of_those_here_say_what_their_agents_say(picture):
    nodes, _ = network(picture)
    for node in nodes[nodes["status"] == STATUSES[0]].itertuples():
        a = picture.agent_of_row[node.row]
        assert of_node(node) == (a.identity, a.origin, a.route, a.field, a.entry, a.stage, a.fear, a.ties)


def test_nodes_of_those_just_gone_say_what_their_last_moments_say():
    """In every year: stage, fear and ties are those they left with. Some left in the last year of a stage."""
    watch = watched(scale=1000)
    seen = 0
    for year in range(FIRST_YEAR, watch.year + 1):
        nodes, _ = network(watch.on_1_january(year))
        for node in nodes[nodes["status"] != STATUSES[0]].itertuples():
            life = watch.life(node.row)
            last = life.moments[-1]
            assert last.year == year - 1 and last.chosen.startswith(node.status.removesuffix(" last year"))
            person = (life.identity, life.origin, life.route, life.field, life.entry)
            assert of_node(node) == (*person, last.stage, last.fear, last.ties)
            seen += 1
    assert seen == np.count_nonzero(watch.model.state.fate)


@pytest.mark.parametrize("field", [None, "math_physical"])
def test_positions_are_circles_of_cohorts_within_the_unit_circle(picture, field):
    nodes, _ = network(picture, field)
    radius = np.hypot(nodes["x"], nodes["y"])
    assert np.isfinite(nodes[["x", "y"]].to_numpy()).all()
    assert (radius <= 1.0 + 1e-12).all() and (radius >= INNERMOST - 1e-12).all()
    circles = radius.groupby(nodes["entry_year"]).agg(["min", "max"])
    assert np.allclose(circles["min"], circles["max"])
    assert (circles["min"].diff().dropna() > 0.0).all()
    assert not nodes.duplicated(["x", "y"]).any()


def angle(nodes):
    return np.arctan2(nodes["x"], nodes["y"]) / (2 * np.pi) % 1.0


def test_colleagues_stand_side_by_side_where_none_is_rewired():
    """Of one's own cohort at most two places away on the ring, of other cohorts in the same place."""
    model = model_of(scale=500, rewired=0.0)
    people = model.world.population.people
    nodes, links = network(model, "engineering_cs")
    around, entry = angle(nodes).set_axis(nodes["row"]), nodes.set_index("row")["entry_year"]
    places = np.diff(people.starts[0])[entry - FIRST_ENTRY]
    ends = [entry.index.get_indexer(links[end]) for end in ("from", "to")]
    apart = np.abs(around.to_numpy()[ends[0]] - around.to_numpy()[ends[1]])
    apart = np.minimum(apart, 1.0 - apart) * np.minimum(places[ends[0]], places[ends[1]])
    same = entry.to_numpy()[ends[0]] == entry.to_numpy()[ends[1]]
    assert same.sum() > 300 and (~same).sum() > 300
    assert (apart[same] <= 2.0 + 1e-9).all()
    assert (apart[~same] <= 0.5 + 1e-9).all()


def test_everyone_stands_in_the_same_place_whatever_the_scenario_and_the_luck():
    models = (watched(until=2028, scale=2000).model, watched("initiative-revival", 2028, scale=2000, member=3).model)
    one, other = (network(model, "life")[0].set_index("identity")[["x", "y"]] for model in models)
    both = one.index.intersection(other.index)
    assert len(both) > 30 and len(both) < len(one)
    assert one.loc[both].equals(other.loc[both])


def test_people_beyond_history_stand_among_those_whom_they_hear_and_move_nobody(fresh_study):
    path = fresh_study.scenarios / "more.toml"
    path.write_text(
        'title = "More"\nquestion = "More from India?"\nextends = "baseline"\n'
        '[[lever]]\ntable = "inflow_india"\nyears = [2001, 2012]\nmultiply = 3.0\nwhy = "test"\n'
    )
    pictures = []
    for name in ("baseline", "more"):
        job = plan_run(bdsim.load_scenario(name, fresh_study), Settings(1, 0, 500, "mesa", 2012))
        model = MigrationModel(job.world(job.plans[0]))
        model.run_model()
        pictures.append(network(model, "engineering_cs")[0].set_index("identity"))
    usual, more = pictures
    again = more.loc[more.index.intersection(usual.index)]
    assert np.allclose(again[["x", "y"]], usual.loc[again.index, ["x", "y"]], atol=1e-12)
    beyond = more.loc[more.index.difference(usual.index)]
    assert len(beyond) > 20
    assert (np.hypot(beyond["x"], beyond["y"]) <= 1.0 + 1e-12).all()
    assert angle(beyond).std() > 0.2  # all around


def test_fields_drawn_together_keep_to_sectors_of_their_own(picture):
    nodes, links = network(picture)
    spans = angle(nodes).groupby(nodes["field"]).agg(["min", "max"]).sort_values("min")
    assert (spans["max"] - spans["min"] < 1 / 3).all()
    assert (spans["min"].to_numpy()[1:] > spans["max"].to_numpy()[:-1]).all()
    field = nodes.set_index("row")["field"]
    assert (field[links["from"]].to_numpy() == field[links["to"]].to_numpy()).all()


def test_origins_and_fields_together_are_everyone(picture):
    whole = network(picture)[0]
    for column in ("field", "origin"):
        parts = [set(network(picture, **{column: name})[0]["row"]) for name in whole[column].unique()]
        assert set().union(*parts) == set(whole["row"]) and sum(map(len, parts)) == len(whole)
    assert set(whole["origin"]) == {origin for origin, _ in GROUPS}


def test_one_field_is_drawn_at_once():
    """Within 0.3 s, about fifty times what it takes."""
    model = model_of(scale=500)
    took = []
    for _ in range(3):
        begin = time.perf_counter()
        network(model, field="life")
        took.append(time.perf_counter() - begin)
    assert min(took) < 0.3


def test_an_unknown_field_or_origin_is_refused_with_the_nearest_choice(baseline):
    with pytest.raises(UsageError, match="unknown field 'live'; did you mean 'life'"):
        network(baseline.model, "live")
    with pytest.raises(UsageError, match="unknown origin 'chyna'; did you mean 'china'"):
        network(baseline.model, origin="chyna")


def test_a_life_told_as_of_an_earlier_year_is_what_was_told_then():
    told = {}
    watch = Watch(model_of(scale=4000))
    while not watch.finished:
        watch.step()
        if watch.year in (2005, 2019, 2026):
            told[watch.year] = [watch.life(int(row)) for row in everyone(watch)[::3]]
    for year, lives_then in told.items():
        assert [watch.life(int(row), year) for row in everyone(watch)[::3]] == lives_then
    with pytest.raises(UsageError, match="2037"):
        watch.life(int(everyone(watch)[0]), 2037)
