"""A headless Chromium, spoken to over two pipes; for pages that only a real browser can judge."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import skip_or_fail
from tests.servers import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 20.0  # seconds for one answer of the browser; its first one comes once it has started
# Root has no sandbox of Chromium; and what it does for itself in the background asks hosts that a test has no need of.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
)


class ScriptError(Exception):
    """An expression raised in the page."""


class Browser:
    """One page of one browser."""

    def __init__(self, to: int, of: int) -> None:
        self._to, self._of = to, of
        self._left = b""
        self._session = ""
        self._numbers = itertools.count(1)
        self.console: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            message = self._read(deadline, method)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _read(self, deadline: float, method: str) -> dict[str, Any]:
        """The next message: an answer, or an event of the page."""
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._of], [], [], max(deadline - time.monotonic(), 0.0))
            assert ready, f"the browser has not answered {method} within {PATIENCE} s"
            data = os.read(self._of, 1 << 16)
            assert data, f"the browser has ended before it answered {method}"
            self._left += data
        text, _, self._left = self._left.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        """Keeps what the page has written to its console, exceptions and failed requests among it."""
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled":
                words = [str(one.get("value", one.get("description"))) for one in params["args"]]
                self.console.append(f"{params['type']}: {' '.join(words)}")
            case "Runtime.exceptionThrown":
                thrown = params["exceptionDetails"]
                self.console.append(f"exception: {thrown.get('exception', {}).get('description', thrown['text'])}")
            case "Log.entryAdded":
                entry = params["entry"]
                self.console.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}".rstrip())

    def open(self, url: str) -> None:
        """Goes to another page, whose console is empty as yet."""
        self.console.clear()
        self._ask("Page.navigate", url=url)

    def says(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise ScriptError(f"{expression}: {answer['result'].get('description')}")
        return answer["result"].get("value")

    def until(self, expression: str, timeout: float = 30.0) -> Any:
        """Waits until it is true, and otherwise shows the page as it is. An exception in it is not yet true."""
        last: list[str] = []

        def answer() -> Any:
            last.clear()
            try:
                return self.says(expression)
            except ScriptError as error:
                last.append(str(error))
                return None

        try:
            return eventually(answer, timeout, 0.02, expression)
        except AssertionError as late:
            raise AssertionError("\n".join([str(late), *last, self.shown()])) from None

    def shown(self) -> str:
        """Address, document and console of the page, for a message of a test."""
        where, document = self.says("location.href"), self.says("document.documentElement.outerHTML")
        return "\n".join([f"page {where}:", str(document), "console:", *(self.console or ["(nothing)"])])

    def picture(self, path: Path) -> None:
        """A PNG of the page as it is now."""
        view = {"width": 760, "height": 640, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **view)
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"]))


def program() -> str:
    """The browser to start; where there is none, a skip with the reason, or a failure under CI."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        skip_or_fail("no Chromium on PATH (Debian: apt-get install chromium)")
    return found


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile in `folder`, ended with the block."""
    found = program()
    (read_by_it, to), (of, written_by_it) = os.pipe(), os.pipe()
    own = [f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe"]
    with (folder / "browser.log").open("wb") as log:
        # it reads from 3 and writes to 4
        process = subprocess.Popen(
            ["bash", "-c", f'exec 3<&{read_by_it} 4>&{written_by_it}; exec "$@"', "-", found, *FLAGS, *own],
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
