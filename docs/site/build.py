"""Build the site: ``python docs/site/build.py [FOLDER]`` writes ``build/site/index.html``, readable without a network.

The project's own pages keep their places, so that their links hold; pages of the reference are written from the code.
Every link and reference is checked: one that leads nowhere ends this with 1. Needs qedge[docs].
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
HERE = PROJECT / "docs" / "site"
FOLDERS = ("docs", "targets", "sample_apps", "examples")
LINK = re.compile(r"\[([^\[\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
NOT_PAGES = {"project", "templates", "build", "site"}


def stage(place: Path) -> None:
    """Copy the pages and what they show, and write the generated ones."""
    from reference import pages

    sources = [*PROJECT.glob("*.md")]
    for folder in FOLDERS:
        found = (PROJECT / folder).rglob("*.md")
        sources += [p for p in found if not NOT_PAGES & set(p.relative_to(PROJECT).parts)]
    for source in sources:
        target = place / source.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(pointed(source), "utf-8")
    for picture in PROJECT.glob("docs/pictures/*"):
        target = place / picture.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, target)
    for name in ("conf.py", "index.md"):
        shutil.copy(HERE / name, place / name)
    (place / "reference").mkdir()
    for name, text in pages().items():
        (place / "reference" / name).write_text(text, "utf-8")


def pointed(source: Path) -> str:
    """Return a page whose links to code and folders are names: the site has the pages only.

    Raises:
        SystemExit: a link that leads to nothing.
    """

    def replaced(found: re.Match[str]) -> str:
        text, to, part = found[1], found[2], found[3] or ""
        target = source.parent / to
        if not target.exists():
            sys.exit(f"{source.relative_to(PROJECT)}: there is nothing at {to}")
        if target.is_dir():
            target, to = target / "README.md", f"{to.rstrip('/')}/README.md"
        if (
            target.suffix == ".md"
            and target.is_file()
            and not NOT_PAGES & set(target.relative_to(PROJECT).parts)
        ):
            return f"[{text}]({to}{part})"
        return found[0] if target.suffix in (".jpg", ".png", ".svg") else text

    return LINK.sub(replaced, source.read_text("utf-8"))


def main() -> int:
    """Stage and build; return Sphinx's exit code, which is not 0 for any warning."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "build" / "site"
    sys.path.insert(0, str(HERE))
    with tempfile.TemporaryDirectory(prefix="qedge-site-") as scratch:
        stage(Path(scratch) / "source")
        command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q"]
        code = subprocess.call([*command, "-d", f"{scratch}/trees", f"{scratch}/source", str(out)])
    if code == 0:
        print(f"{out / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
