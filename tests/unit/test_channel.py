"""What ties a horse to its worker: permits, whispers, descriptors."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from rqlike.worker.channel import WHISPER_LIMIT, HorseEnd, ParentEnd, open_channel


@pytest.fixture
def ends() -> Iterator[tuple[ParentEnd, HorseEnd]]:
    ours, theirs = open_channel()
    yield ours, theirs
    theirs.close()
    ours.close()


def test_a_permit_is_taken_by_the_horse_or_by_the_worker_but_never_by_both(ends: tuple[ParentEnd, HorseEnd]) -> None:
    ours, theirs = ends
    ours.generation = 200
    ours.permit(5)
    assert [theirs.take_permit(), theirs.take_permit()] == [200, 200]
    assert ours.revoke() == 3
    assert theirs.take_permit() is None
    assert ours.revoke() == 0


def test_a_permit_tells_of_which_frame_it_is(ends: tuple[ParentEnd, HorseEnd]) -> None:
    ours, theirs = ends
    for generation in (1, 2):
        ours.generation = generation
        ours.permit(1)
    assert [theirs.take_permit(), theirs.take_permit()] == [1, 2]


def test_a_whisper_is_heard_whole_when_the_worker_looks(ends: tuple[ParentEnd, HorseEnd]) -> None:
    ours, theirs = ends
    assert ours.overhear() == b""
    assert theirs.whisper(b"x" * WHISPER_LIMIT)
    assert theirs.whisper(b"y")
    assert ours.overhear() == b"x" * WHISPER_LIMIT + b"y"


def test_a_full_pipe_refuses_a_whisper_as_a_whole(ends: tuple[ParentEnd, HorseEnd]) -> None:
    ours, theirs = ends
    written = 0
    while theirs.whisper(b"x" * WHISPER_LIMIT):
        written += WHISPER_LIMIT
    heard = 0
    while data := ours.overhear():
        heard += len(data)
    assert heard == written


def test_the_stack_that_a_horse_has_left_is_read_from_its_file(ends: tuple[ParentEnd, HorseEnd]) -> None:
    ours, theirs = ends
    assert ours.stack() == ""
    os.write(theirs.stack_fd, b"File a.py, line 1\n")
    assert ours.stack() == "File a.py, line 1"


def test_nothing_stays_open_where_a_channel_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> object:
        raise OSError("no descriptors left")

    before = os.dup(0)
    os.close(before)
    monkeypatch.setattr(socket, "socketpair", none_left)
    with pytest.raises(OSError, match="no descriptors left"):
        open_channel()
    after = os.dup(0)
    os.close(after)
    assert after == before
