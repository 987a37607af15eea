"""Draw the voice app at work from what it prints: ``python docs/make_voice_picture.py`` writes pictures/voice.svg.

The app hears three of the digit spotter's clips in a terminal; every drawing that it makes is one step of the picture.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from html import escape
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PICTURE = Path(__file__).with_name("pictures") / "voice.svg"
WORDS = ("six", "three", "seven")
STEP_S, PAUSE_S = 0.1, 1.5  # of sound between two drawings of the app; before the picture starts again
CELL, LINE, EDGE, BAR = 8.4, 19, 22, 34  # pixels: a letter's width, a line, the border, the window's title
BLOCKS = {"░": 0.0, **{block: (eighths + 1) / 8 for eighths, block in enumerate("▁▂▃▄▅▆▇█")}}
STYLE = """\
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #dfe4e8; }
.bold { font-weight: 700; fill: #fff; } .title { text-anchor: middle; fill: #8b959e; }
.ground { fill: #14171b; } .block { fill: #5ed3b5; } .shade { fill: #2a3037; }
"""


def drawings() -> list[list[str]]:
    """Return what the app draws, as lines, in the order of time."""
    clips = [sorted((PROJECT / "examples" / "digits" / "clips" / word).glob("*.wav"))[0] for word in WORDS]
    command = [sys.executable, str(PROJECT / "sample_apps" / "voice"), *map(str, clips)]
    terminal, end = pty.openpty()
    with subprocess.Popen(command, stdout=end, stderr=subprocess.DEVNULL) as app:
        os.close(end)
        shown = b""
        try:
            while piece := os.read(terminal, 65536):
                shown += piece
        except OSError:  # how Linux ends a terminal
            pass
        os.close(terminal)
    if app.returncode:
        raise SystemExit(f"the app ended with exit code {app.returncode}")
    steps = re.split(r"\x1b\[\d+A", shown.decode().replace("\x1b[?25h", "").replace("\x1b[?25l", ""))
    return [step.replace("\x1b[2K", "").rstrip().splitlines() for step in steps]


def line(text: str) -> str:
    """Return one line at y = 0 to LINE: blocks as rectangles, words as text that keeps its columns."""
    out, column, style = [], 0, ""
    for part in re.split(r"(\x1b\[\d*m)", text):
        if part.startswith("\x1b"):
            style = ' class="bold"' if part == "\x1b[1m" else ""
            continue
        for run in re.finditer(r"([░▁-█])\1*|[^\s░▁-█]+(?: [^\s░▁-█]+)*", part):
            x, width = (column + run.start()) * CELL, len(run[0]) * CELL
            if run[1]:
                high = BLOCKS[run[1]] * (LINE - 3) or LINE - 3
                kind = "block" if BLOCKS[run[1]] else "shade"
                out.append(
                    f'<rect x="{x:.1f}" y="{LINE - high:.1f}" width="{width:.1f}" height="{high:.1f}" class="{kind}"/>'
                )
            else:
                out.append(
                    f'<text x="{x:.1f}" y="15" textLength="{width:.1f}"{style}>{escape(run[0])}</text>'
                )
        column += len(part)
    return "".join(out)


def picture(steps: list[list[str]]) -> str:
    """Return an animated SVG; a reader that does not animate sees the last word being heard."""
    plain = [[re.sub(r"\x1b\[\d*m", "", text) for text in step] for step in steps]
    columns = max(len(text) for step in plain for text in step)
    rows = max(map(len, steps))
    width, height = round(columns * CELL) + 2 * EDGE, round(rows * LINE + BAR + 1.5 * EDGE)
    last = next(i for i, step in enumerate(plain) if step[-1].split()[1:] == list(WORDS))
    known: dict[str, int] = {}  # every different line is stored once
    frames = []
    for number, step in enumerate(steps):
        uses = "".join(
            f'<use href="#l{known.setdefault(text, len(known))}" y="{row * LINE}"/>'
            for row, text in enumerate(step)
            if text.strip()
        )
        frames.append(f'<g transform="translate({number * width})">{uses}</g>')
    lines = "\n".join(f'<g id="l{number}">{line(text)}</g>' for text, number in known.items())
    seconds = len(steps) * STEP_S
    share = 100 * seconds / (seconds + PAUSE_S)
    end = f"transform: translateX({-(len(steps) - 1) * width}px)"
    motion = (
        f"#film {{ transform: translateX({-last * width}px); }}\n"
        f"@keyframes play {{ from {{ animation-timing-function: steps({len(steps)}, jump-none); "
        f"transform: translateX(0) }} {share:.1f}% {{ {end} }} to {{ {end} }} }}\n"
        "@media (prefers-reduced-motion: no-preference) "
        f"{{ #film {{ animation: play {seconds + PAUSE_S:.1f}s infinite; }} }}\n"
    )
    dots = "".join(
        f'<circle cx="{EDGE + 18 * i}" cy="{BAR / 2 + 3}" r="5.5" class="shade"/>' for i in range(3)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">\n'
        f"<title>The voice app hears {', '.join(WORDS)}</title>\n<style>\n{STYLE}{motion}</style>\n"
        f"<defs>\n{lines}\n</defs>\n"
        f'<rect class="ground" width="{width}" height="{height}" rx="10"/>{dots}\n'
        f'<text class="title" x="{width / 2:.0f}" y="{BAR / 2 + 8}">python sample_apps/voice</text>\n'
        f'<svg x="{EDGE}" y="{BAR + EDGE / 2}" width="{width - 2 * EDGE}" height="{rows * LINE}">'
        f'<g id="film">\n{chr(10).join(frames)}\n</g></svg>\n</svg>\n'
    )


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(drawings()), encoding="utf-8")
    print(f"wrote {PICTURE}, {PICTURE.stat().st_size} bytes")
