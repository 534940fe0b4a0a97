"""Random verbs, compared after each step with a model in plain Python and with the invariants.

`STATE_MACHINE=long` looks longer; `STATE_MACHINE_ON=redis7|valkey` looks on a real server.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import fakeredis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rqlike.exceptions import InvalidJobOperation, InvalidTransition, NoSuchJobError
from rqlike.options import Policy
from rqlike.outcomes import Outcome, Verdict
from rqlike.policies import Repeat, Retry
from rqlike.records import Execution
from rqlike.states import JobStatus, Reason
from rqlike.store import erasures, pauses, turns, verbs
from rqlike.store.pages import BEGINNING
from rqlike.store.requests import Request
from rqlike.store.turns import Settlement, Turned
from tests.servers import Server, ServerMissing
from tests.store.builders import BASE_MS, Dump, Scene, new_job, raised, returned, scene_on
from tests.store.invariants import violations
from tests.store.model import Model, Modelled

QUEUES: Final = ("qa", "qb")
IDS: Final = ("a", "b", "c", "d", "e")
WORKERS: Final = ("w1", "w2")
POLICIES: Final = (
    Policy(),
    Policy(result_ttl=0.0),
    Policy(result_ttl=-1.0),
    Policy(result_ttl=20.0),
    Policy(retry=Retry(2)),
    Policy(retry=Retry(2, [0, 3], enqueue_at_front=True)),
    Policy(repeat=Repeat(2)),
    Policy(repeat=Repeat(2, 7), retry=Retry(1)),
    Policy(description="d" * 600),
    Policy(priority=1),
    Policy(priority=-100, retry=Retry(1, 1)),
    Policy(priority=100, repeat=Repeat(1, 1)),
)
WISHES: Final = ("", "", "return", "replace", "join", "join_or_raise")
UNWRITTEN: Final = ("duplicate", "held", "cached", "failed")
OUTCOMES: Final = (
    returned(),
    returned(),
    raised(),
    raised(Reason.KILLED),
    raised(Reason.UNRECOVERABLE),
    raised(Reason.STOPPED),
    raised(Reason.CANCELED),
    raised(Reason.RETRY_RETURNED, Retry(1, 2)),
    None,  # given back
)
ids = st.sampled_from(IDS)
queues = st.sampled_from(QUEUES)
workers = st.sampled_from(WORKERS)
cleaned = st.sampled_from([status for status in JobStatus if status.terminal or status is JobStatus.SCHEDULED])
pausable = st.sampled_from((*QUEUES, ""))


class Verbs(RuleBasedStateMachine):
    """Two queues, two workers, five ids that people choose and any number that rqlike makes."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = _scene()
        self.model = Model(BASE_MS)
        self.held: dict[str, list[Execution]] = {worker: [] for worker in WORKERS}
        self.lost: list[Execution] = []  #: held by nobody who may still write them, or by somebody who is late
        self.sent: list[Request[Any]] = []  #: turns that a connection may still hold back
        self.made = 0

    def teardown(self) -> None:
        self.scene.client.flushdb()
        self.scene.client.close()

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(self, request: Request[Any], *, twice: bool) -> Any:
        """Sends a request, and once more as after a lost reply: same answer, and nothing is changed by it."""
        answer = self.scene.run(request)
        if twice:
            before = _settled(self.scene.dump())
            assert _same(self.scene.again(), answer)
            assert _settled(self.scene.dump()) == before
        return answer

    def refused(self, request: Request[Any]) -> None:
        before = _lasting(self.scene.dump())
        with pytest.raises((InvalidTransition, NoSuchJobError)):
            self.scene.run(request)
        assert _lasting(self.scene.dump()) == before

    def nonce(self) -> str:
        self.made += 1
        return f"n{self.made}"

    # -- producers -----------------------------------------------------------------------------------------------------

    @rule(
        chosen=st.lists(st.one_of(ids, st.none()), min_size=1, max_size=3),
        queue=queues,
        front=st.booleans(),
        due=st.one_of(st.none(), st.integers(0, 12_000)),
        ttl=st.one_of(st.none(), st.none(), st.integers(1, 9_000)),
        policy=st.sampled_from(POLICIES),
        keys=st.lists(st.sampled_from(("", "", "k", "l")), min_size=3, max_size=3),
        wish=st.sampled_from(WISHES),
        twice=st.booleans(),
    )
    def enqueue(
        self,
        chosen: list[str | None],
        queue: str,
        front: bool,
        due: int | None,
        ttl: int | None,
        policy: Policy,
        keys: list[str],
        wish: str,
        twice: bool,
    ) -> None:
        jobs, expected = [], []
        for one, key in zip(chosen, keys, strict=False):
            nonce = self.nonce()
            job_id, nonce = (f"made-{nonce}", "") if one is None else (one, nonce)
            when = "" if due is None else f"+{due}"
            unique = f"0 {key}" if key else ""
            jobs.append(
                new_job(job_id, nonce, front=front, due=when, ttl_ms=ttl, policy=policy, unique=unique, wish=wish)
            )
            moment = None if due is None else self.model.now + due
            new = Modelled(job_id, queue, nonce, policy, key)
            expected.append(self.model.enqueue(new, front=front, due=moment, ttl=ttl, wish=wish))
        answers = self.scene.run(verbs.enqueue(queue, jobs))
        assert [answer.word for answer in answers] == expected
        if twice:
            before = _settled(self.scene.dump())
            for first, second in zip(answers, self.scene.again(), strict=True):
                assert second.word == (first.word if first.word in UNWRITTEN else "replayed")
                assert first.word == "replayed" or second.cycle == first.cycle
                if wish != "replace":
                    assert first.word == "replayed" or second.since == first.since
            assert _settled(self.scene.dump()) == before

    # -- workers -------------------------------------------------------------------------------------------------------

    @rule(
        worker=workers,
        order=st.permutations(QUEUES),
        want=st.integers(0, 3),
        sweep=st.booleans(),
        prune=st.booleans(),
        woken=st.booleans(),
        outcomes=st.lists(st.sampled_from(OUTCOMES), max_size=3),
        twice=st.booleans(),
    )
    def turn(
        self,
        worker: str,
        order: list[str],
        want: int,
        sweep: bool,
        prune: bool,
        woken: bool,
        outcomes: list[Outcome | None],
        twice: bool,
    ) -> None:
        ended = list(zip(self.held[worker], outcomes, strict=False))
        self.held[worker] = self.held[worker][len(ended) :]
        settlements = [self.settlement(execution, outcome) for execution, outcome in ended]
        words = [self.model.settle(one.execution.job_id, one.execution.token, one.verdict) for one in settlements]
        expected = self.model.sweep(order) if sweep else []
        recovered = [job.id for job in expected]
        taken = [job.id for job in self.model.take(order, want)]
        if woken:
            self.scene.client.zpopmin(self.scene.store.keys.markers(order[0]))
        answer = self.scene.turn(
            worker, *settlements, want=want, queues=order, sweep=sweep, prune=sweep and prune, woken=woken
        )
        assert [word.partition(" ")[0] for word in answer.words] == words
        assert [execution.job_id for execution in answer.granted] == taken
        assert [execution.job_id for execution in answer.lapsed] == recovered
        assert list(answer.paused) == (self.model.paused(["", *order]) if want else [])
        assert self.scene.last is not None
        self.sent.append(self.scene.last)
        if twice:
            self.turned_twice(answer)
        self.took(worker, answer)

    def settlement(self, execution: Execution, outcome: Outcome | None) -> Settlement:
        if outcome is None and not execution.lapsed:
            return Settlement(execution, Verdict.give_back())
        return self.scene.judged(execution, outcome or raised(Reason.ABANDONED))

    def turned_twice(self, answer: Turned) -> None:
        before = _idly(self.scene.dump())
        again = self.scene.again()
        assert _same(again, answer)
        assert _idly(self.scene.dump()) == before

    def took(self, worker: str, answer: Turned) -> None:
        for execution in answer.granted + answer.lapsed:
            assert execution.token
            self.model.jobs[execution.job_id].token = execution.token
        for holder in WORKERS:
            late = [one for one in self.held[holder] if one.job_id in {lapsed.job_id for lapsed in answer.lapsed}]
            self.lost += late
            self.held[holder] = [one for one in self.held[holder] if one not in late]
        self.held[worker] += answer.granted + answer.lapsed

    @rule(worker=workers)
    def renew(self, worker: str) -> None:
        self.model.touch()
        held = self.held[worker]
        for execution in held:
            job = self.model.jobs.get(execution.job_id)
            if job is not None and job.token == execution.token:
                job.lease = self.model.now + 30_000
        answer = self.send(turns.renew(worker, {"state": "busy"}, held), twice=True)
        assert len(answer.words) == len(held)
        lost = [one for one, word in zip(held, answer.words, strict=True) if word == "lost"]
        expected = [one for one in held if getattr(self.model.jobs.get(one.job_id), "token", "") != one.token]
        assert lost == expected
        self.held[worker] = [one for one in held if one not in lost]
        self.lost += lost

    @rule(worker=workers)
    def crash(self, worker: str) -> None:
        self.lost += self.held[worker]
        self.held[worker] = []

    @precondition(lambda self: self.lost)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def late_finish(self, data: st.DataObject, outcome: Outcome | None) -> None:
        """Somebody who was given up says what his execution came to; true only while nobody replaced him."""
        late = data.draw(st.sampled_from(self.lost))
        self.lost.remove(late)
        settlement = self.settlement(late, outcome)
        before = _settled(self.scene.dump())
        current = self.model.jobs.get(late.job_id)
        word = self.model.settle(late.job_id, late.token, settlement.verdict)
        (answer,) = self.scene.turn("late", settlement).words
        if current is not None and word == "ok":
            assert answer.startswith("ok")
        else:
            assert answer in ("stale", "gone") or answer.startswith("already")
            assert _settled(self.scene.dump()) == before

    @precondition(lambda self: len(self.sent) > 1)
    @rule(data=st.data())
    def old_copy_of_a_turn(self, data: st.DataObject) -> None:
        """A turn that a connection held back arrives after others of the same worker: it changes nothing."""
        newest = {request.arguments[0]: request.arguments[1] for request in self.sent}
        old = [request for request in self.sent if request.arguments[1] != newest[request.arguments[0]]]
        if not old:
            return
        copy = data.draw(st.sampled_from(old))
        before = _idly(self.scene.dump())
        answer: Turned = self.scene.store.run(replace(copy, now_ms=self.scene.now_ms))
        assert all(not word.startswith("ok") for word in answer.words)
        assert _idly(self.scene.dump()) == before

    # -- operators -----------------------------------------------------------------------------------------------------

    def some_id(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.model.jobs) or ["nobody"]))

    @rule(data=st.data(), twice=st.booleans())
    def cancel(self, data: st.DataObject, twice: bool) -> None:
        job_id = self.some_id(data)
        request = verbs.cancel(job_id, self.nonce())
        expected = self.model.cancel(job_id)
        if expected is None:
            self.refused(request)
        else:
            assert self.send(request, twice=twice) is expected

    @rule(data=st.data(), twice=st.booleans())
    def stop(self, data: st.DataObject, twice: bool) -> None:
        job_id = self.some_id(data)
        if self.model.stop(job_id):
            assert self.send(verbs.stop(job_id), twice=twice) is JobStatus.STARTED
        else:
            self.refused(verbs.stop(job_id))

    @rule(data=st.data(), twice=st.booleans())
    def expire(self, data: st.DataObject, twice: bool) -> None:
        job_id = self.some_id(data)
        expected = self.model.expire(job_id)
        if expected is None:
            self.refused(verbs.expire(job_id))
        else:
            assert self.send(verbs.expire(job_id), twice=twice) is expected

    @rule(data=st.data(), ms=st.integers(6_000, 90_000), all_of_it=st.booleans(), twice=st.booleans())
    def want(self, data: st.DataObject, ms: int, all_of_it: bool, twice: bool) -> None:
        job_id = data.draw(st.sampled_from(sorted({*self.model.jobs, *self.model.traces}) or ["nobody"]))
        expected = self.model.want(job_id, ms, all_of_it=all_of_it)
        assert self.send(verbs.want(job_id, ms, all_of_it=all_of_it), twice=twice) == expected

    @rule(data=st.data(), front=st.booleans(), twice=st.booleans())
    def requeue(self, data: st.DataObject, front: bool, twice: bool) -> None:
        chosen = list(dict.fromkeys([self.some_id(data), self.some_id(data), "nobody"]))
        expected = [self.model.requeue(job_id, front=front) for job_id in chosen]
        assert self.send(verbs.requeue(chosen, self.nonce(), front), twice=twice) == expected

    @rule(data=st.data(), twice=st.booleans())
    def delete(self, data: st.DataObject, twice: bool) -> None:
        chosen = list(dict.fromkeys([self.some_id(data), "nobody"]))
        nonce = self.nonce()
        expected = [self.model.delete(job_id, nonce) for job_id in chosen]
        assert self.send(verbs.delete(chosen, nonce), twice=twice) == expected

    @rule(queue=queues, limit=st.integers(1, 3), scheduled=st.booleans(), twice=st.booleans())
    def empty(self, queue: str, limit: int, scheduled: bool, twice: bool) -> None:
        statuses = (JobStatus.QUEUED, JobStatus.SCHEDULED)[: 1 + scheduled]
        expected = self.model.empty(queue, limit, scheduled=scheduled)
        assert self.send(verbs.empty(queue, limit, self.nonce(), statuses), twice=twice) == expected

    @rule(queue=queues, status=cleaned, limit=st.integers(1, 3), twice=st.booleans())
    def clean(self, queue: str, status: JobStatus, limit: int, twice: bool) -> None:
        asked = self.scene.run(erasures.aged(queue, status, 0, limit, BEGINNING))
        request = erasures.clean(queue, status, 0, limit, self.nonce(), BEGINNING)
        assert self.send(request, twice=twice) == asked
        assert asked.jobs == self.model.clean(status, queue, limit)

    @rule(queue=queues, force=st.booleans(), twice=st.booleans())
    def obliterate(self, queue: str, force: bool, twice: bool) -> None:
        request = erasures.obliterate(queue, self.nonce(), force=force)
        expected = self.model.obliterate(queue, force=force)
        if expected is None:
            before = _lasting(self.scene.dump())
            with pytest.raises(InvalidJobOperation):
                self.scene.run(request)
            assert _lasting(self.scene.dump()) == before
        else:
            assert self.send(request, twice=twice) == (expected, 0, "", True)
            assert queue not in self.scene.run(verbs.queues())

    @rule(queue=pausable, ttl=st.one_of(st.none(), st.integers(1, 9_000)), twice=st.booleans())
    def pause(self, queue: str, ttl: int | None, twice: bool) -> None:
        self.send(pauses.pause(queue, self.nonce(), ttl, "why"), twice=twice)
        self.model.pause(queue, ttl)

    @rule(queue=pausable, twice=st.booleans())
    def resume(self, queue: str, twice: bool) -> None:
        expected = self.model.resume(queue)
        assert self.send(pauses.resume(queue, self.nonce()), twice=twice) is expected

    # -- time ----------------------------------------------------------------------------------------------------------

    @rule(ms=st.one_of(st.integers(1, 3_000), st.sampled_from([5_000, 9_999, 10_001, 30_000, 61_000])))
    def time_passes(self, ms: int) -> None:
        self.scene.pass_ms(ms)
        self.model.pass_ms(ms)
        # what the server dates by its own clock
        for key in self.scene.dump():
            job_id = key.removeprefix(self.scene.store.keys.results(""))
            if job_id != key and job_id not in self.model.jobs and job_id not in self.model.traces:
                self.scene.client.delete(key)
        if ms > 60_000:
            self.sent.clear()

    # -- after each step -----------------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        assert violations(self.scene.dump(), self.scene.store.keys, self.scene.now_ms) == []

    @invariant()
    def agrees_with_the_model(self) -> None:
        known = sorted(self.model.jobs)
        stored = self.scene.store.run(verbs.load(known)) if known else []
        assert [job_id for job_id, job in zip(known, stored, strict=True) if job is None] == []
        for job in stored:
            assert job is not None
            wanted = self.model.jobs[job.id]
            assert (job.status, job.queue, job.cycle, job.attempt, job.token or "") == (
                wanted.status,
                wanted.queue,
                wanted.cycle,
                wanted.attempt,
                wanted.token,
            ), job.id
            types = [record.type for record in reversed(self.scene.history(job.id))]
            assert types == wanted.entries, job.id
            expiry = self.scene.client.pexpiretime(self.scene.store.keys.job(job.id))
            assert expiry == (-1 if wanted.expiry is None else wanted.expiry), job.id
        for queue in QUEUES:
            assert self.scene.order(queue=queue) == [job.id for job in self.model.order(queue)]


def _same(second: Any, first: Any) -> bool:
    """Whether a call sent again was answered the same; a settled execution is 'already' there, under the same id."""
    if not isinstance(first, Turned):
        return bool(second == first)
    fine = True
    for was, word in zip(first.words, second.words, strict=True):
        head, _, entry_id = was.partition(" ")
        fine = word == (f"already {entry_id}" if entry_id and head == "ok" else "stale" if head == "ok" else was)
        if not fine:
            return False
    for name in ("granted", "lapsed", "moment_ms", "paused"):
        fine = fine and getattr(second, name) == getattr(first, name)
    return fine


def _lasting(dump: Dump) -> Dump:
    """A dump without the answers that are kept for 5 s, by the server's own clock."""
    return {key: value for key, value in dump.items() if ":answer:" not in key}


def _settled(dump: Dump) -> Dump:
    """A dump without what may change though nothing happens: unused numbers, the memory of calls, contacts."""
    volatile = (":sequence", ":contact", ":watch")
    kept = {
        key: value for key, value in _lasting(dump).items() if not key.endswith(volatile) and ":lastcall:" not in key
    }
    return {key: (kind, content, expiry if expiry >= BASE_MS else -1) for key, (kind, content, expiry) in kept.items()}


def _idly(dump: Dump) -> Dump:
    """`_settled`, without what any look of a worker may clear away: markers of a paused queue, a pause that is over."""
    return {key: value for key, value in _settled(dump).items() if ":wake:" not in key and not key.endswith(":pauses")}


_LONG: Final = os.environ.get("STATE_MACHINE") == "long"
_ON: Final = os.environ.get("STATE_MACHINE_ON", "fakeredis")
_real: list[Server] = []


def _scene() -> Scene:
    if _ON == "fakeredis":
        return scene_on(fakeredis.FakeRedis(server=fakeredis.FakeServer()), "machine")
    return scene_on(_real[0].client(), f"machine-{uuid.uuid4().hex[:8]}")


@contextmanager
def _server() -> Iterator[None]:
    if _ON == "fakeredis":
        yield
        return
    try:
        _real.append(Server("valkey" if _ON == "valkey" else "redis7"))
    except ServerMissing as missing:
        pytest.skip(str(missing))
    try:
        yield
    finally:
        _real.pop().close()


def test_random_verbs_leave_the_store_as_the_model_says() -> None:
    class Bounded(Verbs):
        pass

    Bounded.TestCase.settings = settings(
        max_examples=1_500 if _LONG else 25,
        stateful_step_count=60 if _LONG else 40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    with _server():
        Bounded.TestCase("runTest").runTest()
