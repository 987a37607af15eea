"""What the projects and examples around a library say: commands of build systems, and which class a sample is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qedge_mcu.boards import Board

COMMANDS: Mapping[str, str] = {
    "arduino": "arduino-cli compile --library . -b {} examples/golden",
    "platformio": "pio ci --lib . -b {} examples/golden",
    "zephyr": "west build -b {} extras/zephyr",
    "esp_idf": "idf.py -C extras/esp_idf set-target {} build",
    "pico_sdk": "cmake -S extras/pico_sdk -B build -DPICO_BOARD={} && cmake --build build",
}
"""What builds an example for a board, by system."""
USUAL: Mapping[str, str] = {"zephyr": "BOARD", "esp_idf": "esp32c3", "pico_sdk": "pico2"}
"""What the projects of a system name where the library is for none of its boards."""
HEADERS: Mapping[str, str] = {"golden": "golden.h", "classify": "classify.h"}

_SKETCH = """\
    for (int k = 0; k < GOLDEN_SAMPLES; ++k) {{
        golden_run(&context, k);
        Serial.print("sample ");
        Serial.print(k);
        Serial.print(": ");
        Serial.println({answer});
    }}
"""


def board_commands(chosen: Board) -> str:
    """Return the lines of the README that build for a board, one a system that has a name for it."""
    rows = [f"`{text.format(chosen.systems[k])}`" for k, text in COMMANDS.items() if k in chosen.systems]
    return f"\nFor {chosen.title}: " + "; ".join(rows) + ".\n" if rows else ""


def project_values(name: str, examples: Sequence[str], app: str, chosen: Board | None) -> dict[str, str]:
    """Return what the templates ask for that depends on the examples that there are, and on the board.

    Args:
        name: of the library.
        examples: the first is the one that projects build without a word.
        app: the text of ``<model>_app.h``: whether the model tells classes apart, and has names for them.
        chosen: the board that the library is built for.
    """
    systems = {**USUAL, **(chosen.systems if chosen else {})}
    labelled, first = f"{name}_label(" in app, examples[0]
    answer, form, value = _answer(name, app)
    rows = [
        f'    {{ "name": "{k}", "base": "examples/{k}", "files": ["{k}.ino", "{HEADERS[k]}"] }},\n'
        for k in examples
        if k in HEADERS
    ]
    run = "golden_run(&context, 0);" if first == "golden" else f"{name}_run(&context);"
    return {
        "board_commands": board_commands(chosen) if chosen else "",
        "class_name": f"{name}_label(best)" if labelled else '"class"',
        "golden_said": f'        SAY("sample %d: {form}\\n", k, {value});\n' if answer else "",
        "golden_said_ino": _SKETCH.format(answer=answer) if answer else "",
        "example_names": "".join(f" {k}" for k in examples),
        "first_example": first,
        "library_examples": "".join(rows),
        "cube_include": f'#include "{HEADERS[first] if first == "golden" else f"{name}.h"}"\n',
        "cube_run": run + (f'\nprintf("{form}\\r\\n", {value});' if answer else ""),
        "zephyr_board": systems["zephyr"],
        "esp_target": systems["esp_idf"],
        "pico_board": systems["pico_sdk"],
    }


def _answer(name: str, app: str) -> tuple[str, str, str]:
    """Return what a run says as an expression, and as format and value of printf; empty where it tells no classes."""
    if f"{name}_top(" not in app:
        return "", "", ""
    best = f"{name}_top(&context, NULL)"
    if f"{name}_label(" in app:
        return f"{name}_label({best})", "%s", f"{name}_label({best})"
    return best, "class %ld", f"(long){best}"
