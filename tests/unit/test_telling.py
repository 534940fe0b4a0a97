"""What running jobs say: how often it is sent, how fast something goes, what is cut, and the slot and the voice of a
horse. No server, and a clock that is told."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqlike import get_current_job, progress, track
from rqlike.exceptions import RqlikeError
from rqlike.records import Execution, JobRecord
from rqlike.running.current import current_job
from rqlike.running.progress import ProgressHandle, Voice, speaking_with, write_line
from rqlike.settings import LOG_LINE_LIMIT, LOG_LINES, NOTE_LIMIT, TELL_BYTES, TELL_LINES, TELL_S
from rqlike.states import JobStatus
from rqlike.store.turns import Telling
from rqlike.tellings import Line, Pace, Tellings
from rqlike.told import Progress, State, line_bytes, read_line, read_progress, read_told, short
from rqlike.worker.channel import WHISPER_LIMIT, anonymous_file, open_channel
from rqlike.worker.frames import Frame, FrameKind, FrameReader, ProtocolError, pack, read_telling
from rqlike.worker.listener import Listener
from rqlike.worker.mouth import Mouth
from rqlike.worker.reins import Horse
from rqlike.worker.slot import Slot, read_slot

HELD = ("t1", "t2")


def execution(token: str = "t1") -> Execution:
    job = JobRecord(f"job of {token}", "default", JobStatus.STARTED, None, 0, token=token, attempt=1)
    return Execution(job, token, token)


def sent(book: Tellings, now: float) -> list[Telling]:
    """What the call of this moment says, unpacked again; it is answered."""
    arguments = list(book.to_send(now, 0).arguments)
    out = []
    while arguments:
        job_id, token, number, moment, state, count = arguments[:6]
        pairs, arguments = arguments[6 : 6 + 2 * int(count)], arguments[6 + 2 * int(count) :]
        lines = tuple(zip(pairs[::2], pairs[1::2], strict=True))
        out.append(Telling(str(job_id), str(token), int(number), int(moment or 0), state, lines))  # type: ignore[arg-type]
    book.answered(["ok"] * len(out))
    return out


# -- the book ----------------------------------------------------------------------------------------------------------


def test_the_first_word_is_sent_at_once_and_the_next_a_tenth_of_a_second_later_with_the_newest_only() -> None:
    book = Tellings()
    book.hear(execution(), State(1, 10), (), 100.0)
    assert book.is_due(100.0, HELD)
    assert len(sent(book, 100.0)) == 1
    for step in range(1, 9):
        book.hear(execution(), State(1 + step, 10), (), 100.0 + step / 1000)
        assert not book.is_due(100.0 + step / 1000, HELD)
    assert book.moment() == pytest.approx(100.0 + TELL_S, abs=0.03)
    assert book.is_due(100.0 + TELL_S, HELD)
    (telling,) = sent(book, 100.0 + TELL_S)
    assert telling.progress == State(9, 10).stored(None)


def test_what_has_not_changed_is_not_sent() -> None:
    book = Tellings()
    book.hear(execution(), State(1, 10), (), 100.0)
    sent(book, 100.0)
    book.hear(execution(), State(1, 10), (), 101.0)
    assert book.moment() == math.inf
    assert not book.is_due(200.0, HELD)


def test_the_last_word_of_one_that_has_ended_does_not_wait_and_then_it_is_forgotten() -> None:
    book = Tellings()
    book.hear(execution(), State(1, 10), (), 100.0)
    sent(book, 100.0)
    book.hear(execution(), State(10, 10), (Line(100.0, b"bye"),), 100.001)
    book.close("t1")
    assert book.is_due(100.001, HELD)
    (telling,) = sent(book, 100.001)
    assert telling.lines == ((100_000, b"bye"),)
    assert not book


def test_one_call_speaks_for_all_executions_and_only_for_those_that_are_held() -> None:
    book = Tellings()
    for token in ("t1", "t2", "lost"):
        book.hear(execution(token), State(1), (), 100.0)
    assert book.is_due(100.0, HELD)
    assert [telling.token for telling in sent(book, 100.0)] == ["t1", "t2"]


def test_of_many_lines_the_last_thousand_are_sent_in_calls_of_a_bounded_size() -> None:
    book = Tellings()
    book.hear(execution(), None, [Line(1.0, b"%d" % number) for number in range(2_500)], 100.0)
    first = sent(book, 100.0)[0].lines
    second = sent(book, 101.0)[0].lines
    assert [len(first), len(second)] == [TELL_LINES, LOG_LINES - TELL_LINES]
    assert (first[0][1], second[-1][1]) == (b"1500", b"2499")
    book.hear(execution(), None, [Line(1.0, b"x" * 4000)] * 900, 102.0)
    assert sum(len(text) for _, text in sent(book, 102.0)[0].lines) < TELL_BYTES + 4001


def test_a_call_that_a_full_server_refuses_is_made_again_later_and_holds_up_no_end() -> None:
    book = Tellings()
    book.hear(execution(), State(1), (Line(1.0, b"a"),), 100.0)
    book.to_send(100.0, 0)
    assert book.refused(100.0)
    assert not book.is_due(100.5, HELD)
    book.hear(execution(), State(2), (Line(1.0, b"b"),), 100.5)
    assert book.is_due(101.0, HELD)
    book.to_send(101.0, 0)
    assert not book.refused(101.0)  # which is not told again
    (telling,) = sent(book, 102.0)
    assert (telling.number, [text for _, text in telling.lines]) == (1, [b"a", b"b"])
    book.hear(execution(), State(3), (), 103.0)
    book.close("t1")
    book.to_send(103.0, 0)
    assert book.refused(103.0)
    assert not book


def test_an_execution_that_the_server_does_not_know_is_not_spoken_for_again() -> None:
    book = Tellings()
    book.hear(execution(), State(1), (), 100.0)
    book.to_send(100.0, 0)
    book.answered(["stale"])
    assert not book


def test_a_speed_is_that_of_the_last_seconds_and_of_nothing_within_a_moment() -> None:
    pace = Pace(0.0, 0.0)
    assert pace.note(10, 0.001) is None
    assert pace.note(10, 1.0) == pytest.approx(10)
    for second in range(2, 60):
        pace.note(10 + 100 * (second - 1), float(second))
    assert pace.rate == pytest.approx(100, rel=0.01)


# -- values ------------------------------------------------------------------------------------------------------------


def progress_of(state: State, rate: float | None = None) -> Progress:
    found = read_progress((b"1700000000000-0", [b"p", state.stored(rate), b"y", b"2", b"a", b"3"]))
    assert found is not None
    return found


def test_percent_and_eta_follow_from_what_is_known() -> None:
    half = progress_of(State(50.0, 100, "d", "n"), 5.0)
    assert (half.percent, half.eta, half.current, half.desc, half.note) == (50.0, 10.0, 50, "d", "n")
    assert (half.cycle, half.attempt, half.updated_at.timestamp()) == (2, 3, 1_700_000_000)
    assert isinstance(half.current, int)
    endless = progress_of(State(50), 5.0)
    assert (endless.percent, endless.eta, endless.total) == (None, None, None)
    assert progress_of(State(5, 100)).eta is None
    assert (progress_of(State(5, 0)).percent, progress_of(State(300, 100)).percent) == (100.0, 100.0)


@given(st.binary(max_size=40))
def test_what_is_no_progress_reads_as_none(data: bytes) -> None:
    read_progress((b"1-1", [b"p", data]))
    assert read_progress((b"1-1", [b"x", data])) is None
    assert read_line((b"1-1", [b"x", data])) is None


def test_progress_of_an_attempt_before_says_nothing_of_the_newest_one() -> None:
    entry: Any = (b"1-1", [b"p", State(1).stored(None)])
    assert read_told([[b"1", b"1"], [entry], []]).progress is not None
    assert read_told([[b"1", b"2"], [entry], []]).progress is None
    assert read_told([[b"2", b"1"], [entry], []]).progress is None
    assert read_told([[b"", b""], [], []]) == (None, [])


@given(st.text(alphabet=st.characters(), max_size=10), st.integers(1, 2000))
def test_a_line_is_cut_between_characters_with_a_mark(text: str, times: int) -> None:
    data = line_bytes(text * times)
    assert len(data) <= LOG_LINE_LIMIT
    whole = (text * times).encode(errors="backslashreplace")
    assert data == whole or (data.decode().endswith(" … (cut)") and whole.startswith(data[: -len(" … (cut)".encode())]))


def test_a_note_is_cut_and_has_nothing_that_cannot_be_sent() -> None:
    assert len(short("x" * 1000)) == NOTE_LIMIT
    assert short("a\ud800").isascii()


# -- the job's side ----------------------------------------------------------------------------------------------------


class Ear(Voice):
    """Keeps what is said."""

    def __init__(self, token: str) -> None:
        super().__init__(token)
        self.heard: list[Any] = []

    def present(self, handle: ProgressHandle) -> None:
        self.heard.append((handle.desc, handle.current, handle.total))

    def show(self, current: float, note: str | None) -> None:
        self.heard.append((current, note))

    def log(self, text: str) -> None:
        self.heard.append(text)


class Running:
    """As much of a job as a voice asks for."""

    record = execution().job


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear("t1")
    with current_job(Running()), speaking_with(made):
        yield made


def test_tracking_yields_the_items_and_says_how_many_are_done(ear: Ear) -> None:
    assert list(track("abc", desc="letters")) == ["a", "b", "c"]
    assert ear.heard == [("letters", 0, 3), (1, None), (2, None), (3, None)]
    assert list(track(iter("ab"), total=7)) == ["a", "b"]
    assert ("", 0, 7) in ear.heard


def test_of_two_tracks_the_inner_one_is_shown_and_then_the_outer_one_again(ear: Ear) -> None:
    for _ in track("ab", desc="outer"):
        list(track("x", desc="inner"))
    told = [one[:2] for one in ear.heard if len(one) == 3]
    assert told == [("outer", 0), ("inner", 0), ("outer", 0), ("inner", 0), ("outer", 1)]
    assert ear.heard[-1] == (2, None)


def test_a_handle_counts_and_a_note_that_stays_is_said_once(ear: Ear) -> None:
    handle = progress(10)
    handle.update(2, note="a")
    handle.update(note="a")
    handle.set(9)
    assert ear.heard[1:] == [(2, "a"), (3, None), (9, None)]
    assert (handle.current, handle.total, handle.note, repr(handle)) == (9, 10, "a", "<ProgressHandle 9 of 10>")


def test_outside_of_a_job_tracking_is_just_the_iterable_and_nobody_hears() -> None:
    assert get_current_job() is None
    items = iter([1, 2])
    assert track(items) is items
    handle = progress(total=3)
    handle.update(5)
    assert handle.current == 5


def test_another_execution_has_no_voice_here(ear: Ear) -> None:
    with pytest.raises(RqlikeError, match="does not run in this process"):
        write_line("j", "another token", "x")
    with pytest.raises(TypeError, match="text"):
        write_line("j", "t1", 5)  # type: ignore[arg-type]
    write_line("j", "t1", "x")
    assert ear.heard == ["x"]


@pytest.mark.parametrize("total", [-1, float("nan"), float("inf"), "3", True])
def test_a_total_that_is_none_is_refused_where_the_caller_stands(total: Any) -> None:
    with pytest.raises(ValueError, match="total is a number"):
        progress(total)


# -- between horse and worker ------------------------------------------------------------------------------------------


def test_a_slot_shows_the_last_number_and_note_to_whoever_reads_the_file() -> None:
    fd = anonymous_file("slot")
    try:
        assert read_slot(fd) is None
        slot = Slot(fd)
        assert read_slot(fd) is None
        slot.begin("token", 0, "")
        for number in range(1, 1000):
            slot.show(number / 2, None)
        slot.show(500, "fünf")
        assert read_slot(fd) == ("token", 500, "fünf")
        os.ftruncate(fd, 10)  # whatever a job does to it, its worker lives
        assert read_slot(fd) is None
    finally:
        os.close(fd)


class Pair:
    """A horse's mouth, and its worker's ear."""

    def __init__(self) -> None:
        self.ours, self.theirs = open_channel()
        self.deaf = False
        self.mouth = Mouth(self.theirs, self.say, lambda: Slot(self.theirs.stack_fd))
        self.book = Tellings()
        self.horse = Horse(0, self.ours)
        self.listener = Listener(self.book)

    def say(self, data: bytes) -> bool:
        if self.deaf:
            return False
        self.theirs.sock.sendall(data)
        return True

    def give(self, *tokens: str) -> None:
        self.horse.handed.extend(execution(token) for token in tokens)
        self.mouth.token = tokens[0]

    def hear(self) -> list[Frame]:
        """What was said aloud."""
        frames: list[Frame] = []
        with suppress(BlockingIOError):
            while True:
                frames += self.horse.reader.feed(self.ours.sock.recv(1 << 16))
        for frame in frames:
            self.listener.heard(self.horse, frame)
        return frames

    def lines(self) -> list[bytes]:
        return [text for telling in sent(self.book, 1.0) for _, text in telling.lines]

    def close(self) -> None:
        self.theirs.close()
        self.ours.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_updates_send_nothing_and_the_worker_finds_the_last_one_when_it_looks(pair: Pair) -> None:
    pair.give("t1")
    handle = ProgressHandle(10_000, "d", pair.mouth)
    pair.mouth.begin(handle)
    assert len(pair.hear()) == 1
    for _ in range(5_000):
        handle.update()
    handle.update(note="there")
    assert pair.hear() == []
    pair.listener.look(pair.horse, 5.0)
    assert pair.book.state_of("t1") == State(5_001, 10_000, "d", "there")
    assert pair.horse.listen_at == 5.0 + TELL_S


def test_a_horse_that_died_has_shown_its_last_number_and_left_its_lines(pair: Pair) -> None:
    pair.give("t1")
    pair.mouth.begin(handle := ProgressHandle(None, "", pair.mouth))
    pair.hear()
    pair.mouth.log("last words")
    handle.set(7)
    pair.listener.hear_out(pair.horse, died=True)
    assert pair.book.state_of("t1") == State(7)
    assert pair.lines() == [b"last words"]
    assert not pair.horse.tells


def test_lines_that_find_no_room_wait_the_newest_of_them_and_go_before_the_outcome(pair: Pair) -> None:
    pair.give("t1")
    pair.mouth.log("first")  # aloud
    for number in range(5_000):
        pair.mouth.log(f"{number}".rjust(100))
    said = pair.mouth.fall_silent()
    pair.hear()
    pair.listener.hear_out(pair.horse)
    for frame in FrameReader().feed(said):
        pair.listener.heard(pair.horse, frame)
    lines = [*pair.lines(), *pair.lines()]
    assert len(lines) == LOG_LINES
    assert [int(line) for line in lines] == list(range(4_000, 5_000))
    assert (pair.mouth.token, pair.mouth.spoke) == ("", False)
    assert pair.mouth.fall_silent() == b""


def test_lines_that_are_first_looked_for_when_the_job_has_ended_are_in_order(pair: Pair) -> None:
    pair.give("t1")
    for number in range(LOG_LINES):  # more than the pipe takes
        pair.mouth.log(f"{number}".rjust(100))
    pair.say(pair.mouth.fall_silent())
    pair.hear()
    pair.listener.hear_out(pair.horse)
    assert [int(line) for line in [*pair.lines(), *pair.lines()]] == list(range(LOG_LINES))


def test_a_long_line_comes_whole_whatever_a_pipe_takes_at_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rqlike.worker.mouth.WHISPER_LIMIT", min(512, WHISPER_LIMIT))  # as on macOS
    pair.give("t1")
    pair.mouth.log("a" * 3_000 + "b")
    pair.mouth.log("c")
    assert [frame.kind for frame in pair.hear()] == [FrameKind.TELLS]
    pair.listener.hear_out(pair.horse)
    assert pair.lines() == [b"a" * 3_000 + b"b", b"c"]


def test_what_cannot_be_said_aloud_is_tried_again_with_the_next_line(pair: Pair) -> None:
    pair.give("t1")
    pair.deaf = True
    pair.mouth.log("a")
    pair.deaf = False
    pair.mouth.log("b")
    pair.hear()
    assert pair.horse.tells
    pair.listener.hear_out(pair.horse)
    assert pair.lines() == [b"a", b"b"]


def test_a_line_wakes_the_worker_however_long_it_is(pair: Pair) -> None:
    pair.give("t1")
    pair.mouth.log("a" * LOG_LINE_LIMIT)  # in two pieces
    pair.hear()
    assert pair.horse.tells
    assert pair.lines() == [b"a" * LOG_LINE_LIMIT]


def test_lines_of_the_next_job_of_a_frame_are_not_taken_for_those_of_the_one_before(pair: Pair) -> None:
    pair.give("t1", "t2")
    pair.mouth.log("one")
    said = pair.mouth.fall_silent()
    pair.mouth.token = "t2"
    pair.mouth.log("two")
    pair.mouth.log("three")
    pair.hear()
    for frame in FrameReader().feed(said):
        pair.listener.heard(pair.horse, frame)
    pair.listener.hear_out(pair.horse)
    told = {telling.token: [text for _, text in telling.lines] for telling in sent(pair.book, 1.0)}
    assert told == {"t1": [b"one"], "t2": [b"two", b"three"]}


def test_the_first_piece_of_a_line_is_kept_when_the_job_before_ends(pair: Pair) -> None:
    pair.give("t1", "t2")
    pair.mouth.log("one")
    pair.hear()
    for piece, goes_on in ((b"a", True), (b"b", False)):
        pair.theirs.whisper(pack(FrameKind.TELLS, "t2", [None, [[1.0, piece, goes_on]]]))
        pair.listener.hear_out(pair.horse)  # t1 has ended, and then t2
        pair.listener.heard(pair.horse, Frame(FrameKind.TELLS, "t1", [None, [[1.0, b"late", False]]]))
        pair.horse.handed.popleft()
    told = {telling.token: [text for _, text in telling.lines] for telling in sent(pair.book, 1.0)}
    assert told == {"t1": [b"one", b"late"], "t2": [b"ab"]}


def test_what_a_thread_says_for_an_execution_that_has_ended_is_for_nobody(pair: Pair) -> None:
    pair.give("t1")
    pair.listener.heard(pair.horse, Frame(FrameKind.TELLS, "t0", [None, [[1.0, b"x", False]]]))
    assert not pair.book


def test_a_state_that_is_no_number_is_not_taken_from_a_slot(pair: Pair) -> None:
    pair.give("t1")
    pair.mouth.begin(handle := ProgressHandle(None, "", pair.mouth))
    pair.hear()
    handle.set(math.nan)
    pair.listener.look(pair.horse, 1.0)
    assert pair.book.state_of("t1") == State(0)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [None],
        [None, None],
        [None, [1]],
        [None, [[1.0, b"x"]]],
        [None, [["1", b"x", False]]],
        [None, [[1.0, "x", False]]],
        [None, [[math.nan, b"x", False]]],
        [None, [[1.0, b"x" * (LOG_LINE_LIMIT + 1), False]]],
    ],
)
def test_a_telling_of_another_shape_is_no_frame(payload: Any) -> None:
    with pytest.raises(ProtocolError):
        read_telling(Frame(FrameKind.TELLS, "t", payload))


@pytest.mark.parametrize("wire", [[1], ["1", None, "", ""], [1, None, 1, ""], [1, math.inf, "", ""], {}, 5])
def test_a_state_of_another_shape_says_nothing(wire: Any) -> None:
    (frame,) = FrameReader().feed(pack(FrameKind.TELLS, "t", [wire, []]))
    assert read_telling(frame) == (None, [])
