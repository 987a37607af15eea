"""The application: commands found in this folder, errors turned into one cause, one hint and an exit code."""

from __future__ import annotations

import faulthandler
import importlib
import itertools
import os
import pkgutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from qedge._version import __version__
from qedge.cli import _interrupt
from qedge.cli._console import Ui, print_error
from qedge.cli._help import Grouped
from qedge.cli._options import assemble
from qedge.errors import QedgeError, nearest

HELP = "Put a trained model on an edge device; `qedge targets` lists which."
EPILOG = (
    "Exit codes: 0 ok, 1 bug in qedge or in a plug-in that is named, 2 usage, 3 model or data invalid,"
    " 4 unsupported operator, 5 does not fit, 6 accuracy budget missed, 7 verification mismatch,"
    " 8 tool or device missing, 9 bundle damaged."
)
# The order in which a person meets them; a command that is not named here follows, sorted.
ORDER = (
    "init",
    "build",
    "check",
    "run",
    "evaluate",
    "bench",
    "verify",
    "inspect",
    "sign",
    "new",
    "targets",
    "doctor",
)


# Flags that may stand alone, and what they then mean; click has no such thing.
ALONE = {"--tune": ("on", ("on", "auto", "off"))}
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def command_names() -> list[str]:
    """Return the names of all commands: the modules of this package without a leading underscore."""
    found = [m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if not m.name.startswith("_")]
    return sorted(found, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n))


def _version(value: bool) -> None:
    if value:
        print(f"qedge {__version__}")
        raise typer.Exit()


def build_app(only: str | None = None) -> typer.Typer:
    """Return the typer application with one command a module, or with the one that is called: that is the faster."""
    app = typer.Typer(
        help=HELP,
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def top(
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ) -> None:
        pass

    for name in command_names() if only is None else [only]:
        module = importlib.import_module(f"qedge.cli.{name}")
        if hasattr(module, "COMMANDS"):
            group = typer.Typer(help=module.HELP, rich_markup_mode=None)
            for word, function in module.COMMANDS.items():
                group.command(word, cls=Grouped)(assemble(f"{name} {word}", function))
            app.add_typer(group, name=name)
        else:
            app.command(name.replace("_", "-"), cls=Grouped)(assemble(name, module.command))
    return app


def run(arguments: list[str], begin: Callable[[], None] = lambda: None) -> int:
    """Run one command line; return the exit code. Never lets an exception through.

    Args:
        begin: called when everything is imported, before the command does anything.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if _names_a_shell(arguments):
        os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
    ui = Ui(as_json="--json" in arguments)
    if "--debug" in arguments:
        return _run(ui, arguments, begin)
    with _native_messages_aside():
        return _run(ui, arguments, begin)


def completed(arguments: list[str]) -> list[str]:
    """Return the arguments with the value of each flag that stands alone.

    >>> completed(["build", "--tune", "m.tflite"])
    ['build', '--tune', 'on', 'm.tflite']
    """
    found: list[str] = []
    for word, after in itertools.zip_longest(arguments, arguments[1:]):
        found.append(word)
        if word in ALONE and after not in ALONE[word][1]:
            found.append(ALONE[word][0])
    return found


def _names_a_shell(arguments: list[str]) -> bool:
    """Whether a shell is named after --show-completion or --install-completion.

    typer takes the name only where it does not look for the shell itself, which under make or cron finds none.
    """
    pairs = itertools.pairwise(arguments)
    return any(
        flag in ("--show-completion", "--install-completion") and name in SHELLS for flag, name in pairs
    )


def _command_of(arguments: list[str]) -> str | None:
    """Return the command's module where its name comes first; None where all must be known (help, completion)."""
    return {n.replace("_", "-"): n for n in command_names()}.get(arguments[0]) if arguments else None


def _run(ui: Ui, arguments: list[str], begin: Callable[[], None]) -> int:
    try:
        app = build_app(_command_of(arguments))
        begin()
        code = app(args=completed(arguments), standalone_mode=False, prog_name="qedge")
        sys.stdout.flush()
        if _interrupt.came:  # typer made a code of it
            return _interrupted()
        return code if isinstance(code, int) else 0
    except QedgeError as error:
        return _interrupted() if _interrupt.came else _fail(ui, error, arguments)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if _interrupt.came:
            return _interrupted()
        if hasattr(error, "format_message"):  # click's usage errors, in typer or beside it
            return _usage(ui, error, arguments)
        if "--debug" in arguments:
            traceback.print_exc()
        found = f"{type(error).__name__}: {error}"
        ui.error_json("InternalError", found, "this is a bug in qedge", 1, [])
        print_error(
            f"internal error: {found}", "this is a bug; run again with --debug and report the traceback"
        )
        return 1


def _interrupted() -> int:
    print_error("interrupted", None)
    return 130


@contextmanager
def _native_messages_aside() -> Iterator[None]:
    """Keep what native libraries write to stderr off the screen; ``sys.stderr`` goes there as before."""
    python, native = sys.stderr, os.dup(2)
    with (
        tempfile.TemporaryFile() as aside,
        os.fdopen(os.dup(2), "w", buffering=1, errors="replace") as screen,
    ):
        os.dup2(aside.fileno(), 2)
        sys.stderr = screen
        faulthandler.enable(screen)
        try:
            yield
        finally:
            sys.stderr.flush()
            faulthandler.disable()
            sys.stderr = python
            os.dup2(native, 2)
            os.close(native)


def _fail(ui: Ui, error: QedgeError, arguments: list[str]) -> int:
    if "--debug" in arguments:
        traceback.print_exc()
    findings = [f.to_json() for f in error.findings]
    ui.error_json(type(error).__name__, error.message, error.hint, error.exit_code, findings)
    ui.findings(error.findings)
    print_error(error.message, error.hint)
    return error.exit_code


def _usage(ui: Ui, error: Any, arguments: list[str]) -> int:
    message = str(error.format_message()).rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "qedge"
    hint = f"see: {path} --help"
    words = [a for a in arguments if not a.startswith("-")][path.count(" ") :]
    if context is not None and message.lower().startswith("no such command") and words:
        close = nearest(words[0], context.command.list_commands(context))
        hint = f"did you mean {close!r}? {hint}" if close else hint
    elif getattr(error, "possibilities", None):
        hint = f"did you mean {sorted(error.possibilities)[0]!r}? {hint}"
    ui.error_json("UsageError", message, hint, 2, [])
    print_error(message[:1].lower() + message[1:], hint)
    return 2
