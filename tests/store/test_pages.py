"""Pages of a home, and what is told of dead letters: each job once, whoever comes and goes between two pages."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from rqlike import codec, fields
from rqlike.options import Policy
from rqlike.outcomes import Outcome
from rqlike.settings import TOUCH_LIMIT
from rqlike.states import JobStatus, Reason
from rqlike.store import pages, verbs
from rqlike.store.pages import BEGINNING, Failures
from tests.store.builders import QUEUE, Scene, call_of, new_job, raised


def walk(
    scene: Scene, status: JobStatus, count: int = 3, between: Callable[[list[str]], None] = lambda ids: None
) -> list[str]:
    """Ids over all pages; `between` happens after each."""
    found: list[str] = []
    after = BEGINNING
    while True:
        ids, following = scene.run(pages.page(status, QUEUE, after, count))
        found += ids
        if following is None:
            return found
        assert len(ids) == count
        after = following
        between(ids)


@pytest.mark.parametrize("count", [1, 3, 10, 500])
def test_pages_hold_each_job_of_a_status_in_its_order(scene: Scene, count: int) -> None:
    names = [f"j{number}" for number in range(10)]
    scene.enqueue(*(new_job(name) for name in names))
    assert walk(scene, JobStatus.QUEUED, count) == names
    assert walk(scene, JobStatus.FAILED, count) == []


def failed(scene: Scene, names: list[str], **job: object) -> None:
    """Failed jobs that all expire at the same moment."""
    scene.enqueue(*(new_job(name, **job) for name in names))  # type: ignore[arg-type]
    scene.turn("w", *(scene.judged(execution, raised()) for execution in scene.claim(len(names))))


@pytest.mark.parametrize("ttl_ms", [None, -1])
def test_jobs_of_one_moment_are_paged_though_those_before_them_go(scene: Scene, ttl_ms: int | None) -> None:
    names = ["Ä", "B", "a", "a ", "a b", "aa", "b", "c", "z", "ä", "ö"]
    failed(scene, names, policy=Policy(failure_ttl=-1.0 if ttl_ms else 31_536_000.0))
    shuffled = random.Random(7)

    def half_of_them_go(ids: list[str]) -> None:
        scene.run(verbs.delete(shuffled.sample(ids, 2) + ids[-1:], "d"))

    in_order = scene.order(JobStatus.FAILED)
    assert in_order == sorted(names, key=str.encode)
    assert walk(scene, JobStatus.FAILED, 3, half_of_them_go) == in_order


def test_a_cursor_whose_job_has_moved_away_and_back_skips_nobody(scene: Scene) -> None:
    names = [f"j{number}" for number in range(6)]
    failed(scene, names)

    def fails_again(ids: list[str]) -> None:
        scene.run(verbs.requeue(ids, "r", at_front=False))
        scene.pass_ms(1)
        scene.turn("w", *(scene.judged(execution, raised()) for execution in scene.claim(len(ids))))

    first, following = scene.run(pages.page(JobStatus.FAILED, QUEUE, BEGINNING, 2))
    fails_again(first)
    assert following is not None
    second, _ = scene.run(pages.page(JobStatus.FAILED, QUEUE, following, 10))
    assert (first, second) == (names[:2], [*names[2:], *names[:2]])


def test_jobs_that_have_expired_are_on_no_page(scene: Scene) -> None:
    scene.put(JobStatus.FAILED, "short", policy=Policy(failure_ttl=1.0))
    scene.put(JobStatus.FAILED, "long")
    scene.now_ms += 1_001
    assert walk(scene, JobStatus.FAILED, 1) == ["long"]
    scene.pass_ms(0)


def test_ids_that_are_no_text_are_passed_by(scene: Scene) -> None:
    home = scene.store.keys.home("queued", QUEUE)
    scene.client.zadd(home, {b"\xff": 1, b"\xfe": 1, b"x": 1})
    assert walk(scene, JobStatus.QUEUED, 1) == ["x", "\ufffd", "\ufffd"]
    scene.client.delete(home)


# -- dead letters ------------------------------------------------------------------------------------------------------


def told(scene: Scene) -> Failures:
    return scene.run(pages.failures(QUEUE, BEGINNING, told=True))


def test_a_dead_letter_is_told_with_its_newest_execution_and_how_its_call_begins(scene: Scene) -> None:
    scene.put(JobStatus.FAILED, "twice", unique="0 u")
    scene.run(verbs.requeue(["twice"], "r", at_front=False))
    scene.settle(scene.claim_one(), Outcome(Reason.TIMEOUT, None, "x" * 60_000, "a.Late"))
    scene.put(JobStatus.FAILED, "large", call=call_of(b"\xc4" + b"x" * 900, name="tasks.large"))
    found = {one.job_id: one for one in told(scene).found}
    assert (found["twice"].exc_type, found["twice"].reason, found["twice"].unique) == ("a.Late", Reason.TIMEOUT, "u")
    assert (found["large"].exc_type, found["large"].reason) == ("ValueError", Reason.EXCEPTION)
    assert [codec.name_in(found[name].head) for name in ("twice", "large")] == ["tasks.noop", "tasks.large"]
    assert found["twice"].ended_ms == scene.now_ms
    (plain, _) = scene.run(pages.failures(QUEUE, BEGINNING, told=False)).found
    assert (plain.exc_type, plain.reason, plain.head) == (None, None, b"")


def test_a_long_name_is_told_to_go_on(scene: Scene) -> None:
    scene.put(JobStatus.FAILED, "long", call=call_of(name="tasks." + "n" * 200))
    (one,) = told(scene).found
    assert codec.name_in(one.head) is None


@pytest.mark.parametrize(
    "head", [b"", b"\x93", b"\x95\x02\xa1a", b"\x95\x01\xff", b"\xc1", b"garbage", b"\x95\x01\x07"]
)
def test_what_is_no_call_has_no_name(head: bytes) -> None:
    assert codec.name_in(head) in ("", None)


def test_a_key_that_another_job_holds_is_told(scene: Scene) -> None:
    scene.put(JobStatus.FAILED, "j", unique="0 u")
    assert [one.is_held for one in told(scene).found] == [False]
    scene.enqueue(new_job("other", unique="0 u"))
    assert [one.is_held for one in told(scene).found] == [True]


def test_what_something_else_has_written_keeps_no_other_dead_letter_from_being_told(scene: Scene) -> None:
    keys = scene.store.keys
    failed(scene, ["a", "b", "c", "d", "e"])
    before = scene.dump()
    for name in (keys.job("a"), keys.results("b")):
        scene.client.delete(name)
        scene.client.set(name, "garbage")
    scene.client.hset(keys.job("c"), fields.JOB["ended"], "garbage")
    scene.client.delete(keys.job("d"))
    found = {one.job_id: one for one in told(scene).found}
    assert found.keys() == {"b", "c", "e"}
    assert (found["b"].exc_type, found["b"].reason, found["c"].ended_ms) == (None, None, None)
    assert found["e"].reason is Reason.EXCEPTION
    for name in before:
        scene.client.delete(name)


def test_more_dead_letters_than_one_call_looks_at_are_told_in_several(scene: Scene) -> None:
    names = [f"j{number:03}" for number in range(TOUCH_LIMIT + 20)]
    for at in range(0, len(names), 130):
        failed(scene, names[at : at + 130])
    found: list[str] = []
    page = told(scene)
    while page.after is not None:
        assert len(page.found) <= TOUCH_LIMIT
        found += [one.job_id for one in page.found]
        page = scene.run(pages.failures(QUEUE, page.after, told=True))
    assert found + [one.job_id for one in page.found] == names
