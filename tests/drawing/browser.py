"""A real browser, where the machine has one: the chromium of the system, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def opened() -> Iterator:
    """Yield a page of a browser that is offline; skip where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context = browser.new_context(offline=True, viewport={"width": 1400, "height": 900})
        page = context.new_page()
        page.set_default_timeout(5000)
        page.mistakes = []
        page.on("pageerror", lambda mistake: page.mistakes.append(str(mistake)))
        page.on("console", lambda message: message.type == "error" and page.mistakes.append(message.text))
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page
        browser.close()
