"""Help by task: commands in the order in which one needs them, and the options of a few after those of everybody."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["TASKS", "TECHNICAL", "ByTask", "ForMost"]

TASKS = {
    "Start": ("scenarios", "compare", "memo", "new", "init", "explore"),
    "Scenarios": ("check", "diff", "schema"),
    "Run and report": ("run", "report", "export"),
    "Ask": ("attribute", "breakeven", "sensitivity", "discover", "sweep", "outlook", "regret"),
    "Facts and fit": (
        "evidence",
        "parameters",
        "calibrate",
        "fit-report",
        "fit-diff",
        "profile",
        "backtest",
        "validate",
    ),
    "Keep": ("verify", "reproduce", "retry"),
}
OTHERS = "More"
TECHNICAL = {
    "--seed", "--researchers-per-agent", "--engine", "--fit", "--results", "--workers", "--chunk", "--backend",
    "--scheduler", "--samples", "--method", "--over",
}  # fmt: skip


class ByTask(TyperGroup):
    """The list of commands under the headings of TASKS; what no task names comes last."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section a task."""
        left = dict.fromkeys(self.list_commands(ctx))
        told = {task: [name for name in names if name in left] for task, names in TASKS.items()}
        for names in told.values():
            for name in names:
                left.pop(name)
        for task, names in {**told, OTHERS: list(left)}.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, c.get_short_help_str(formatter.width - 24)) for name, c in commands if c and not c.hidden]
            if rows:
                with formatter.section(task):
                    formatter.write_dl(rows, col_max=16)


class ForMost(TyperCommand):
    """A command whose help has the technical options last, under a heading of their own."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, options, technical options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], "Technical options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            if param.param_type_name == "argument":
                sections["Arguments"].append(record)
            else:
                technical = not TECHNICAL.isdisjoint(param.opts)
                sections["Technical options" if technical else "Options"].append(record)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
