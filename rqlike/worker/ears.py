"""What a worker listens on: one connection that blocks for work, one that blocks for orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rqlike import clock, logs
from rqlike.settings import TICK_S
from rqlike.store.link import Link
from rqlike.store.resp import INCOMPLETE, ServerError
from rqlike.store.turns import Turn, Turned

_ARMED_S: Final = 30.0
_PAUSED_S: Final = 0.01

MARKER: Final = ""  #: what is heard of a queue that has work


class Ears:
    """Two links, each with a blocking call or none."""

    def __init__(self, wake: Link, control: Link, markers: Sequence[str], control_key: str) -> None:
        self._wake = wake
        self._control = control
        self._markers = tuple(markers)
        self._control_key = control_key
        self._losses = (0, 0)
        self.deaf_until: float | None = None  #: the server has refused to let us block, or it is of no use now

    def arm(self, now: float, *, for_work: bool) -> None:
        """Blocks for orders always, for work where that is of use now."""
        if self.deaf_until is not None:
            if now < self.deaf_until:
                return
            self.deaf_until = None
        if not self._control.busy:
            self._control.block([self._control_key], _ARMED_S)
        if for_work and not self._wake.busy:
            self._wake.block(self._markers, _ARMED_S)

    def hear(self, link: Link) -> str | None:
        """What has come on one of them: an order, or MARKER; None for nothing."""
        reply = link.step()
        if reply is INCOMPLETE or reply is None:
            return None
        if isinstance(reply, ServerError):
            logs.call_refused(reply.text)
            self.deaf_until = clock.mono() + TICK_S
            return None
        return MARKER if link is self._wake else str(reply[1], errors="replace")

    def losses(self) -> tuple[bool, bool]:
        """Whether a marker, and whether an order, may have been lost with a connection since the last call."""
        before, self._losses = self._losses, (self._wake.losses, self._control.losses)
        return self._losses[0] != before[0], self._losses[1] != before[1]

    def spare(self, now: float, turn: Turn, answer: Turned) -> None:
        """Not woken again for a moment where that led to a paused queue only: many may be enqueued into it."""
        if turn.woken and answer.paused and not answer.granted:
            self.deaf_until = now + _PAUSED_S

    def renew(self) -> None:
        """New connections: a server that is silent elsewhere may be gone without a sign here."""
        self._wake.renew()
        self._control.renew()

    def rest(self) -> None:
        """Blocks for work no more: a marker that this worker took now would be missed by another one."""
        self._wake.forget()
