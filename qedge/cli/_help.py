"""How ``--help`` shows many options: in groups, each with its title."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

MODEL = "The model"
QUANTISATION = "Quantisation"
PROCESSING = "Samples and answers"
OUTPUT = "Output"


def of_targets(names: tuple[str, ...]) -> str:
    """Return the title of the options that targets declare.

    >>> of_targets(("coral",)), of_targets(("ethosu", "mcu"))
    ('Target coral', 'Targets ethosu and mcu')
    """
    return f"Target{'s' * (len(names) > 1)} {' and '.join(names)}"


class Grouped(TyperCommand):
    """A command whose help has a section for every ``rich_help_panel`` of its options, in the order they come in."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, options of no group, then each group."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                argument = param.param_type_name == "argument"
                title = "Arguments" if argument else getattr(param, "rich_help_panel", None) or "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
