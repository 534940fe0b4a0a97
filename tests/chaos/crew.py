"""Threads that do what they have to do beside each other."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Crew:
    """One thread for each of some acts."""

    def __init__(self, *acts: Callable[[], None]) -> None:
        self._threads = [threading.Thread(target=act, daemon=True) for act in acts]

    def start(self) -> None:
        """Begins."""
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        """Whether all of them have come to their end."""
        return not any(thread.is_alive() for thread in self._threads)
