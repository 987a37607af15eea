"""Listen for keywords: ``python voice [BUNDLE]`` hears a microphone, ``a.wav b.wav`` or ``-`` after it that sound."""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":
    # Packages take a moment to load. Until main() takes over nothing is open: who stops us then is obeyed at once.
    for early in (signal.SIGINT, signal.SIGTERM):
        signal.signal(early, lambda *_: os._exit(0))

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from sources import NoMicrophone, Pcm, files, microphone, standard_input
from spotter import Settings, Spotter
from view import Lines, Screen

import qedge
from qedge.errors import UsageError
from qedge.processing.wav import write_wav

BUNDLE = Path(__file__).parent / "bundle"
EXIT_NO_DEVICE = 8
WORDS = 20  # that are compared with the calibration together


class Stop(Exception):
    """Somebody asked us to stop."""


def parse() -> argparse.Namespace:
    name = Path(__file__).resolve().parent.name
    parser = argparse.ArgumentParser(prog=f"python {name}", description="Listen for keywords.")
    parser.add_argument(
        "bundle", nargs="?", help="a keyword spotter of yours: build/digits/rpi (default: bundle/)"
    )
    parser.add_argument("sound", nargs="*", help="WAV files, or - for raw 16-bit mono; none: microphone")
    parser.add_argument("--device", help="microphone: number or part of the name (python -m sounddevice)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for every word")
    parser.add_argument("--plain", action="store_true", help="one line for every word, no drawing")
    parser.add_argument("--threshold", type=float, default=Settings.threshold, help="score from 0 to 1")
    parser.add_argument("--smooth", type=int, default=Settings.smooth, help="runs to average over")
    parser.add_argument("--refractory-ms", type=int, default=Settings.refractory_ms)
    parser.add_argument("--record", type=Path, metavar="DIR", help="keep the sound of every word there")
    parser.add_argument("--realtime", action="store_true", help="play files no faster than they sound")
    options = parser.parse_intermixed_args()
    if options.bundle is None or is_sound(options.bundle):
        options.sound[:0] = [options.bundle] if options.bundle else []
        options.bundle = BUNDLE
    return options


def is_sound(argument: str) -> bool:
    return argument == "-" or argument.lower().endswith(".wav")


def source(options: argparse.Namespace, model: qedge.Model) -> Iterator[Pcm]:
    rate = model.preprocess.sample_rate
    if not options.sound:
        return microphone(rate, options.device)
    if options.sound == ["-"]:
        return standard_input(rate)
    return files([Path(p) for p in options.sound], model.preprocess.load, rate, realtime=options.realtime)


def keep(folder: Path, spotter: Spotter, label: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{spotter.seconds:010.2f}_{label}.wav"
    write_wav(path, spotter.recent, spotter.sample_rate)
    return str(path)


def watch_drift(model: qedge.Model) -> qedge.drift.Monitor | None:
    """Return what compares the words with the model's calibration; None where its bundle does not say that."""
    try:
        return qedge.monitor(model, window=WORDS, every_s=None)
    except UsageError:
        return None


def listen(options: argparse.Namespace) -> None:
    settings = Settings(
        threshold=options.threshold, smooth=options.smooth, refractory_ms=options.refractory_ms
    )
    with qedge.load(options.bundle) as model:
        spotter = Spotter(model, settings)
        drift = watch_drift(model)
        drawing = sys.stdout.isatty() and not (options.json or options.plain)
        view = Screen() if drawing else Lines(options.json)
        try:
            for pcm in source(options, model):
                for word in spotter.push(pcm):
                    if drift is not None and spotter.last is not None:
                        drift.add(spotter.last[:1], spotter.last[1:])
                    kept = keep(options.record, spotter, word.label) if options.record else None
                    view.heard(word, kept, drift.changed if drift is not None and drift.windows else None)
                view.update(spotter)
        finally:
            view.close()


def main() -> int:
    def stop(number: int, frame: object) -> None:
        raise Stop

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        listen(parse())
    except Stop:
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except NoMicrophone as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_NO_DEVICE
    except qedge.QedgeError as error:
        print(f"error: {error}" + (f"\nhint: {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
