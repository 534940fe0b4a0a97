"""A headless Chromium, spoken to over two pipes; for pages that only a real browser can judge."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome")


class Browser:
    """One page of one browser."""

    def __init__(self, to: int, of: int) -> None:
        self._to, self._of = to, of
        self._left = b""
        self._session = ""
        self._numbers = itertools.count(1)
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        while True:
            message, found, rest = self._left.partition(b"\0")
            if not found:
                data = os.read(self._of, 1 << 16)
                assert data, "the browser has ended"
                self._left += data
                continue
            self._left = rest
            answer = json.loads(message)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url: str) -> None:
        self._ask("Page.navigate", url=url)

    def says(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        return self._ask("Runtime.evaluate", expression=expression)["result"].get("value")

    def until(self, expression: str, timeout: float = 15.0) -> Any:
        """Waits until it is true."""
        return eventually(lambda: self.says(expression), timeout, 0.02, expression)

    def picture(self, path: Path) -> None:
        """A PNG of the page as it is now."""
        view = {"width": 760, "height": 640, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **view)
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"]))


def program() -> str:
    """The browser to start; a skip with the reason where there is none: nothing but these tests needs one."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium on PATH (Debian: apt-get install chromium)")


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile in `folder`, ended with the block."""
    found = program()
    (read_by_it, to), (of, written_by_it) = os.pipe(), os.pipe()
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    own = [f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe"]
    with (folder / "browser.log").open("wb") as log:
        # it reads from 3 and writes to 4
        process = subprocess.Popen(
            ["bash", "-c", f'exec 3<&{read_by_it} 4>&{written_by_it}; exec "$@"', "-", found, *flags, *own],
            pass_fds=(read_by_it, written_by_it),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.close(read_by_it)
    os.close(written_by_it)
    try:
        yield Browser(to, of)
    finally:
        os.close(to)  # which ends it
        os.close(of)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
