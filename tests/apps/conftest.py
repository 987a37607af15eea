"""Chromium for the tests of the apps' pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chromium import CHROMIUM, FLAGS


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, which drives the browser")
    if not CHROMIUM:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def look(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address in a window of its own; whatever the page complains about fails the test."""
    contexts, complaints = [], []

    def open_window(url: str, script: str = "", quiet: bool = True, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        window = context.new_page()
        if script:
            window.add_init_script(script)
        if quiet:
            window.on(
                "console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None
            )
            window.on("pageerror", lambda problem: complaints.append(str(problem)))
        window.goto(url)
        return window

    yield open_window
    for context in contexts:
        context.close()
    assert complaints == []
