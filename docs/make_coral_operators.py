"""Write the Edge TPU support table from the rules themselves: ``python docs/make_coral_operators.py``."""

from __future__ import annotations

from pathlib import Path

from qedge_coral import constraints, rewrite, statuses

PAGE = Path(__file__).with_name("coral_operators.md")

HEAD = """\
# What runs on the Edge TPU

Written by `docs/make_coral_operators.py` from `qedge_coral.constraints`; a test compares the two. It is what qedge
predicts of `edgetpu_compiler` 16, a closed program: the rules come from its documents, from published logs and from
compiled models beside their sources. What the compiler says counts.
"""


def page() -> str:
    """Return the page."""
    everywhere = [r for r in constraints.RULES if not r.ops]
    lines = [HEAD, "## Every operator", ""]
    lines += [f"- {r.text} Otherwise: *{r.status}*." for r in everywhere]
    lines += ["", "## Operators", "", "| operator | runtime | rules |", "|---|---|---|"]
    for op, runtime in sorted(constraints.MIN_RUNTIME.items()):
        own = " ".join(r.text for r in constraints.RULES if op in r.ops) or "none of its own"
        lines.append(f"| `{op}` | {runtime} or newer | {own} |")
    lines += [
        "",
        "## Rewrites of `qedge build`",
        "",
        "They leave the outputs within 1 step of what they were.",
        "",
    ]
    lines += [f"- `{r.name}`: {r.title}" for r in rewrite.REWRITES]
    lines += ["", "## Words of the compiler", "", "| status | what to do |", "|---|---|"]
    lines += [f"| {text} | {hint} |" for text, hint in statuses.HINTS.items()]
    lines += [f"| {text} | {hint} |" for text, hint in statuses.FAILURE_HINTS.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
