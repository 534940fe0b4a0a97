"""Signals that a selector can wait for."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator

import pytest

from rqlike.worker.signals import SignalPipe, blocked


@pytest.fixture
def no_child_ends() -> Iterator[None]:
    """Children of other tests may end at any moment, and their signal would be told too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def readable(pipe: SignalPipe, timeout: float = 5.0) -> bool:
    return bool(select.select([pipe], [], [], timeout)[0])


@pytest.mark.usefixtures("no_child_ends")
def test_a_signal_makes_the_pipe_readable_and_is_told_once() -> None:
    with SignalPipe([signal.SIGUSR1, signal.SIGUSR2]) as pipe:
        assert not readable(pipe, 0)
        signal.raise_signal(signal.SIGUSR1)
        assert readable(pipe)
        assert pipe.drain() == {signal.SIGUSR1}
        assert pipe.drain() == set()
        pipe.clear()
        assert not readable(pipe, 0)


@pytest.mark.usefixtures("no_child_ends")
def test_signals_are_told_even_where_the_pipe_is_full() -> None:
    with SignalPipe([signal.SIGUSR1, signal.SIGUSR2]) as pipe:
        try:
            while True:
                os.write(pipe.fds[1], b"x" * 4096)
        except BlockingIOError:
            pass
        signal.raise_signal(signal.SIGUSR2)
        assert pipe.drain() == {signal.SIGUSR2}
        pipe.clear()
        assert not readable(pipe, 0), "clearing empties the pipe whatever is in it"


def test_the_end_of_a_child_wakes_without_being_asked_for() -> None:
    with SignalPipe([]) as pipe:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        assert readable(pipe)
        assert signal.SIGCHLD in pipe.drain()
        os.waitpid(pid, 0)


def test_what_was_there_before_is_put_back() -> None:
    def mine(*_: object) -> None:
        pass

    before = signal.signal(signal.SIGUSR1, mine)
    try:
        pipe = SignalPipe([signal.SIGUSR1])
        assert signal.getsignal(signal.SIGUSR1) is not mine
        pipe.restore()
        pipe.restore()
        assert signal.getsignal(signal.SIGUSR1) is mine
        wakeup_fd = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wakeup_fd)
        assert wakeup_fd == -1
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("no_child_ends")
def test_signals_around_a_fork_are_delivered_afterwards() -> None:
    with SignalPipe([signal.SIGUSR1]) as pipe:
        with blocked():
            os.kill(os.getpid(), signal.SIGUSR1)
            assert pipe.drain() == set()
        assert readable(pipe)
        assert pipe.drain() == {signal.SIGUSR1}
