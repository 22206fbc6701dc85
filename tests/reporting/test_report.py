"""The report says what its tables say, escapes what files say, and opens offline in a real browser."""

import json
import re
import shutil
import warnings
from html.parser import HTMLParser

import pandas as pd
import pytest

import bdsim
from bdsim.cli.main import app
from bdsim.errors import ResultsError, UsageError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUICK = ["-m", "4", "-k", "200", "--horizon", "2030"]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Page(HTMLParser):
    """The text of the answer and of every table cell, and each tag with its attributes."""

    def __init__(self, html):
        super().__init__()
        self.answer, self.cells, self.tags, self._in = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "div":
            self._in.append(dict(attributes).get("id") or "div")
        if tag in ("td", "caption"):
            self.cells.append("")
            self._in.append("cell")

    def handle_endtag(self, tag):
        if tag in ("div", "td", "caption") and self._in:
            self._in.pop()

    def handle_data(self, data):
        if "answer" in self._in:
            self.answer.append(data)
        if self._in and self._in[-1] == "cell":
            self.cells[-1] += data


def run(*arguments):
    app([*arguments], standalone_mode=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    run("report", "baseline", "initiative-revival", "protect-act", *QUICK, "--results", str(folder / "results"),
        "-o", str(folder / "report.html"))  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def page(written):
    return Page((written / "report.html").read_text(encoding="utf-8"))


def test_every_number_of_the_answer_stands_in_a_table(page):
    said = re.findall(r"[-+]?\d[\d,]*(?:\.\d+)?%?", " ".join(page.answer))
    assert len(said) > 15
    written = set(re.findall(r"[-+]?\d[\d,]*(?:\.\d+)?%?", " ".join(page.cells))) | {"90%", "2025", "-2030"}
    assert set(said) <= written, sorted(set(said) - written)
    assert "by the model" in " ".join(page.answer).lower()
    assert "not a causal estimate" in " ".join(page.answer)


def test_every_assumption_has_a_source_or_says_that_it_has_none(written):
    text = (written / "report.html").read_text(encoding="utf-8")
    tables = re.findall(r"<caption>[^<]*what is assumed.*?</table>", text, re.DOTALL)
    found = [row for table in tables for row in re.findall(r"<tr><td.*?</tr>", table, re.DOTALL)]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in found]
    assert len(tables) == 3
    assert len(rows) > 8
    for _, _, _, why, source in rows:
        assert why
        assert ".csv: " in source or source == "none: an assumption"


def test_it_holds_no_script_and_asks_nobody_for_anything(page):
    assert not [tag for tag, _ in page.tags if tag in ("script", "iframe", "link", "img", "object")]
    addresses = [v for _, a in page.tags for k, v in a.items() if k in ("src", "href", "xlink:href") and v]
    assert all(address.startswith("#") for address in addresses)


def test_identifiers_are_unique_and_every_figure_says_what_it_shows(page):
    identifiers = [a["id"] for _, a in page.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    figures = [a for tag, a in page.tags if tag == "svg"]
    assert len(figures) >= 6
    assert all(a["role"] == "img" and a["aria-labelledby"] in identifiers for a in figures)
    targets = [v.removeprefix("#") for _, a in page.tags for k, v in a.items() if k in ("href", "xlink:href") and v]
    assert set(targets) <= set(identifiers)


def test_what_the_data_cannot_identify_is_in_it(written, study):
    text = (written / "report.html").read_text(encoding="utf-8")
    fit = json.loads((study.fitted / "default" / "manifest.json").read_text())
    page = re.sub(r"&#39;", "'", text)
    assert all(sentence in page.replace("&#34;", '"') for sentence in fit["identifiability"])


def test_the_command_in_it_makes_the_same_report(written, capsys):
    text = (written / "report.html").read_text(encoding="utf-8")
    (command,) = re.findall(r"<pre><code>bdsim (report .*?)</code></pre>", text)
    run(*command.split(), "--results", str(written / "results"), "-o", str(written / "again.html"))
    assert (written / "again.html").read_bytes() == (written / "report.html").read_bytes()


def test_texts_of_files_are_shown_and_not_run(here):
    evil = "<script>alert(1)</script>"
    (here / "scenarios" / "evil.toml").write_text(
        f'title = "{evil}"\nquestion = "{evil}"\nextends = "baseline"\n'
        f'[[lever]]\nname = "{evil}"\ntable = "offers"\nyears = [2026, 2030]\nmultiply = 9.0\nwhy = "{evil}"\n'
    )
    run("report", "baseline", "evil", *QUICK, "-o", "out.html")
    text = (here / "out.html").read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4


def test_one_run_is_not_enough(here):
    with pytest.raises(UsageError, match="at least one run to compare"):
        run("report", "baseline", *QUICK)
    assert [p.name for p in (here / "results").iterdir()] == ["README.md"]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("width", [1280, 400])
def test_it_opens_in_a_browser_without_an_error_or_a_request_and_prints(written, width):
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    requests, complaints = [], []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((written / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("svg").first.bounding_box()["height"] > 100
        printed = page.pdf(format="A4")
        browser.close()
    assert requests == [(written / "report.html").as_uri()]
    assert complaints == []
    assert printed.startswith(b"%PDF")


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # pyam's own, of pandas 3.1
def test_iamc_is_read_by_pyam(written, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyam's dependencies warn while they are imported
        try:
            import pyam
        except Exception as error:  # the newest SQLAlchemy broke one of them; the pinned set of constraints.txt works
            pytest.skip(f"pyam cannot be imported with what is installed: {error!r:.120}")
    target = tmp_path / "iamc.csv"
    run("export", "baseline", "initiative-revival", *QUICK, "--results", str(written / "results"), "--format", "iamc",
        "-o", str(target))  # fmt: skip
    frame = pyam.IamDataFrame(str(target))
    assert frame.scenario == ["baseline", "initiative-revival"]
    assert frame.region == ["United States"]
    results = bdsim.load_results(next((written / "results").glob("baseline-*")))
    ours = frame.filter(variable="Departures|Chinese descent|Mean", scenario="baseline").data.set_index("year")["value"]
    summary = results.summary().query("origin == 'china' and destination == 'all'").set_index("year")["mean"]
    assert ours.to_dict() == pytest.approx(summary.to_dict())


@pytest.mark.parametrize(("form", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_tables_are_exported_and_never_replaced_by_accident(written, tmp_path, form, read):
    target = tmp_path / f"out.{form}"
    arguments = [
        "export",
        "baseline",
        *QUICK,
        "--results",
        str(written / "results"),
        "--format",
        form,
        "-o",
        str(target),
    ]
    run(*arguments)
    assert {"year", "origin", "destination", "median", "scenario"} <= set(read(target))
    before = target.read_bytes()
    with pytest.raises(ResultsError, match="exists already; --force"):
        run(*arguments)
    assert target.read_bytes() == before
    run(*arguments, "--force")


def test_an_unknown_format_is_one_line(here):
    with pytest.raises(UsageError, match="did you mean 'parquet'"):
        run("export", "baseline", *QUICK, "--format", "parket", "-o", "x")
    assert not (here / "x").exists()
