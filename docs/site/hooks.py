"""What `make docs` adds to the pages: references made from the code, the tutorial, an index of decisions.

MkDocs calls on_files before it reads pages and on_page_markdown for each of them.
"""

from __future__ import annotations

import inspect
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, not written."""
    made = {
        "reference/commands.md": commands(), "reference/scenarios.md": scenario_files(),
        "reference/parameters.md": parameters(), "reference/python.md": python(), "tutorial.md": tutorial(),
        "decisions/index.md": decisions(),
    }  # fmt: skip
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    notebook = files.get_file_from_path("tutorial.ipynb")
    if notebook is not None:
        files.remove(notebook)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A link to a file of the program becomes its path: the site does not hold the program."""

    def plain(found: re.Match[str]) -> str:
        target = (DOCS / page.file.src_path).parent / found[2]
        if found[2].startswith(("http", "#")) or DOCS in target.resolve().parents:
            return found[0]
        if not target.exists():
            raise FileNotFoundError(f"{page.file.src_path}: {found[2]}")
        return f"{found[1]} (`{target.resolve().relative_to(ROOT)}`)" if "`" not in found[1] else found[1]

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)\)", plain, markdown)


def commands() -> str:
    """Every command with its help, by task."""
    import typer.main

    from bdsim.cli.main import app
    from bdsim.cli.options import TASKS

    group: Any = typer.main.get_command(app)
    parts = ["# Commands\n\nMade from the program. Each command says the same under `--help`.\n"]
    for task, names in TASKS.items():
        parts.append(f"## {task}\n")
        for name in names:
            command = group.commands[name]
            context = command.make_context(
                name, [], resilient_parsing=True, parent=group.context_class(group, info_name="bdsim")
            )
            parts.append(f"### bdsim {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def scenario_files() -> str:
    """Every table and key of a scenario file, and the yearly tables that it may change."""
    from bdsim.model.world import TABLES
    from bdsim.study.scenario_file import ScenarioFile

    schema = ScenarioFile.model_json_schema(by_alias=True)
    parts = [
        "# Scenario files\n\nMade from the program. `bdsim schema` prints the same for your editor. "
        "How to write one: [Write a scenario](../scenario.md).\n"
    ]
    tables = {"the file": schema, **{f"`{n}`": d for n, d in schema["$defs"].items() if "properties" in d}}
    for name, table in tables.items():
        title = "The file" if name == "the file" else name
        parts.append(f"## {title}\n\n{_line(table.get('description', ''))}\n\n| key | what | needed |\n|---|---|---|")
        for key, entry in table["properties"].items():
            needed = "yes" if key in table.get("required", []) else "no"
            parts.append(f"| `{key}` | {_line(entry.get('description') or _kind(entry))} | {needed} |")
        parts.append("")
    parts.append("## Yearly tables\n\n| table | what it is | unit |\n|---|---|---|")
    parts += [f"| `{name}` | {_line(t.meaning)} | {_line(t.unit)} |" for name, t in TABLES.items()]
    return "\n".join(parts) + "\n"


def _kind(entry: dict[str, Any]) -> str:
    """What type a key of the schema has, in a word."""
    named = [e for e in (entry, *entry.get("anyOf", [])) if "type" in e or "$ref" in e]
    kinds = [e.get("type", e.get("$ref", "").split("/")[-1]) for e in named]
    return " or ".join(dict.fromkeys(k for k in kinds if k != "null")) or "any"


def parameters() -> str:
    """The table of parameters.toml."""
    from bdsim.study.parameters import as_markdown, load_parameters

    table = as_markdown(load_parameters(ROOT / "calibration" / "parameters.toml"))
    return f"# Parameters\n\nMade from `calibration/parameters.toml`.\n\n{table}\n"


def python() -> str:
    """Every public name of bdsim with its signature and what it says of itself."""
    import bdsim

    parts = [
        "# Python\n\nMade from the program: what `import bdsim` offers. How to use it: [Use Python](../python.md). "
        "Arrays have their shapes in brackets.\n"
    ]
    for name in sorted(bdsim.__all__):
        thing = (
            getattr(import_module(f"bdsim.{bdsim.HOMES[name]}"), name) if name in bdsim.HOMES else getattr(bdsim, name)
        )
        parts.append(f"## {name}\n\n{_described(name, thing)}")
        if inspect.isclass(thing) and not issubclass(thing, BaseException):
            for member, value in vars(thing).items():
                if not member.startswith("_") and (text := inspect.getdoc(value)) and not isinstance(value, type):
                    target = getattr(value, "func", getattr(value, "fget", value))
                    call = _call(member, target) if inspect.isfunction(value) else member
                    parts.append(f"### {name}.{member}\n\n```text\n{call}\n```\n\n{_prose(text)}\n")
    return "\n".join(parts)


def _described(name: str, thing: Any) -> str:
    return f"```text\n{_call(name, thing)}\n```\n\n{_prose(inspect.getdoc(thing) or '')}\n"


def _call(name: str, thing: Any) -> str:
    try:
        plain = re.sub(r"(: |-> )'([^']+)'", r"\1\2", str(inspect.signature(thing)))  # annotations are kept as text
        return f"{name}{plain}"
    except (TypeError, ValueError):
        return name


def _prose(text: str) -> str:
    """A docstring as Markdown: indented parts stay as they are, signs of HTML are text."""
    return text.replace("<", "&lt;")


def tutorial() -> str:
    """The notebook as a page, with what it printed."""
    notebook = json.loads((DOCS / "tutorial.ipynb").read_text(encoding="utf-8"))
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                coded = "".join(data["image/png"]).strip()
                parts.append(f'<img alt="Figure of the cell above" src="data:image/png;base64,{coded}">')
            elif text := "".join(output.get("text", data.get("text/plain", []))):
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def decisions() -> str:
    """A line for every decision, the latest first."""
    rows = []
    for file in sorted((DOCS / "decisions").glob("0*.md"), reverse=True):
        title = re.search(r"^# (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        rows.append(f"- [{title[1] if title else file.stem}]({file.name})")
    return "# Decisions\n\nWhy things are as they are, each when it was decided.\n\n" + "\n".join(rows) + "\n"


def _line(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
