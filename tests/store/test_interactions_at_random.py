"""Jobs with any options at once, and all that is done to them, each call made twice: drawn by dice."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from typing import Any, Final

import pytest

from rqlike.exceptions import RqlikeError
from rqlike.limits import RateLimit
from rqlike.options import Policy
from rqlike.outcomes import Outcome, Verdict
from rqlike.policies import Repeat, Retry
from rqlike.records import Execution
from rqlike.settings import AUDIT_MS, LEASE_MS
from rqlike.states import JobStatus, Reason
from rqlike.store import erasures, groups, pauses, turns, verbs
from rqlike.store.pages import BEGINNING
from rqlike.store.requests import Request
from rqlike.store.turns import Settlement, Telling, Turn
from rqlike.store.verbs import NO_GROUP, Into, NewJob
from rqlike.told import State
from tests.servers import Server
from tests.store.builders import BASE_MS, Dump, Scene, call_of, new_job, raised, returned, scene_on
from tests.store.invariants import violations
from tests.store.test_state_machine import _same, _settled

SEEDS: Final = range(int(os.environ.get("INTERACTIONS", "6")))
STEPS: Final = 50
QUEUES: Final = ("qa", "qb")
IDS: Final = tuple("abcdefgh")
GROUPS: Final = ("g", "h")
WAITING: Final = ("queued", "scheduled", "deferred", "started")
POLICIES: Final = (
    Policy(),
    Policy(result_ttl=0.0),
    Policy(result_ttl=-1.0),
    Policy(result_ttl=20.0),
    Policy(retry=Retry(1)),
    Policy(retry=Retry(1, 3)),
    Policy(repeat=Repeat(1)),
    Policy(repeat=Repeat(1, 2)),
)
OUTCOMES: Final = (
    *(returned(),) * 4,
    raised(),
    raised(Reason.KILLED),
    raised(Reason.STOPPED),
    raised(Reason.CANCELED),
    raised(Reason.RETRY_RETURNED, Retry(1, 2)),
    None,  # given back
)
LIMITS: Final = ("", "", "", RateLimit("c", 2).to_text(), RateLimit("r", limit=50).to_text())


class Play:
    """One namespace, and the dice."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene, self.dice = scene, random.Random(seed)
        self.held: list[Execution] = []
        self.made = 0

    def nonce(self) -> str:
        self.made += 1
        return f"n{self.made}"

    def kept(self) -> Dump:
        """What lasts, without what goes within seconds by the server's own clock."""
        return _settled({key: it for key, it in self.scene.dump().items() if it[2] == -1 or it[2] >= BASE_MS})

    def send(self, request: Request[Any]) -> Any:
        """Sends a request, and once more as after a lost reply: same answer, and nothing is changed by it."""
        answer = self.scene.run(request)
        before = self.kept()
        again = self.scene.again()
        assert _same(again, answer), request
        assert self.kept() == before, request
        return answer

    def step(self) -> None:
        acts = (
            (self.enqueue, 10),
            (self.work, 12),
            (self.cancel, 2),
            (self.requeue, 2),
            (self.delete, 2),
            (self.keep, 1),
            (self.erase, 1),
            (self.pause, 1),
            (self.wait, 4),
        )
        (act,) = self.dice.choices([act for act, _ in acts], [weight for _, weight in acts])
        with suppress(RqlikeError):
            act()
        assert violations(self.scene.dump(), self.scene.store.keys, self.scene.now_ms) == [], act.__name__

    # -- producers and operators ---------------------------------------------------------------------------------------

    def one(self) -> NewJob:
        dice = self.dice
        job_id = dice.choice(IDS) if dice.random() < 0.7 else ""
        nonce = self.nonce()
        unique = dice.choice(("", "", "0 k", "0 l", "4000 m"))
        return new_job(
            job_id or f"made-{nonce}",
            nonce if job_id else "",
            policy=dice.choice(POLICIES),
            front=dice.random() < 0.1,
            due=f"+{dice.randint(0, 3000)}" if dice.random() < 0.15 else "",
            unique=unique,
            wish=dice.choice(("", "return", "replace", "replace", "join", "join_or_raise")),
            ttl_ms=dice.randint(1, 4000) if dice.random() < 0.15 else None,
            failure_ttl_ms=dice.randint(1, 9000) if dice.random() < 0.3 else None,
            limit=dice.choice(LIMITS),
            needs=self.needs(job_id),
        )

    def needs(self, job_id: str) -> str:
        if self.dice.random() < 0.45:
            return ""
        parents = self.dice.sample([one for one in IDS if one != job_id], self.dice.randint(1, 2))
        return "\n".join(f"{self.dice.choice(('c', 'r', 'w'))}{self.dice.choice(('', 'f'))} {one}" for one in parents)

    def enqueue(self) -> None:
        made = [self.one() for _ in range(self.dice.choice((1, 1, 2, 3)))]
        jobs = list({job.id: job for job in made}.values())
        into = NO_GROUP
        if self.dice.random() < 0.5:
            name = self.dice.choice(GROUPS)
            with suppress(RqlikeError):
                self.scene.run(groups.create_group(name, call_of()))
            more = self.dice.random() < 0.2
            into = Into(name, more, not more and self.dice.random() < 0.3)
        queue, atomic = self.dice.choice(QUEUES), self.dice.random() < 0.2
        request = verbs.enqueue(queue, jobs, atomic=atomic, into=into)
        answers = self.scene.run(request)
        if all(answer.written for answer in answers):  # others may find another answer the second time
            before = self.kept()
            again = self.scene.again()
            assert [(one.meant or new.id, one.cycle) for one, new in zip(again, jobs, strict=True)] == [
                (one.meant or new.id, one.cycle) for one, new in zip(answers, jobs, strict=True)
            ]
            assert self.kept() == before, request

    def cancel(self) -> None:
        run = self.dice.random() < 0.3
        self.send(verbs.cancel(self.dice.choice(IDS), self.nonce(), enqueue_dependents=run))

    def requeue(self) -> None:
        self.send(verbs.requeue(self.dice.sample(IDS, 2), self.nonce(), at_front=self.dice.random() < 0.3))

    def delete(self) -> None:
        too = self.dice.random() < 0.4
        some = self.dice.sample(IDS, self.dice.choice((1, 1, 3)))
        self.send(verbs.delete(some, self.nonce(), dependents_too=too))

    def keep(self) -> None:
        ms = self.dice.choice((1, 500, 30_000, -1))
        self.scene.run(verbs.save(self.dice.choice(IDS), {}, None, ms, redate=self.dice.random() < 0.8))
        self.scene.pass_ms(2)

    def erase(self) -> None:
        queue, status = self.dice.choice(QUEUES), self.dice.choice([one for one in JobStatus if one.terminal])
        match self.dice.randrange(3):
            case 0:
                self.send(erasures.clean(queue, status, 0, 500, self.nonce(), BEGINNING))
            case 1:
                some = (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.DEFERRED)
                self.send(verbs.empty(queue, 500, self.nonce(), some[: self.dice.choice((1, 3))]))
            case _:
                self.send(erasures.obliterate(queue, self.nonce(), force=self.dice.random() < 0.5))

    def pause(self) -> None:
        queue = self.dice.choice((*QUEUES, ""))
        if self.dice.random() < 0.5:
            self.send(pauses.pause(queue, self.nonce(), 1500, "why"))
        else:
            self.send(pauses.resume(queue, self.nonce()))

    def wait(self) -> None:
        self.scene.pass_ms(self.dice.choice((1, 200, 1500, 6000, LEASE_MS)))

    # -- a worker ------------------------------------------------------------------------------------------------------

    def work(self) -> None:
        dice, worker = self.dice, self.dice.choice(("w1", "w2"))
        self.scene.run(turns.renew(worker, {"state": "busy"}, []))
        done = [one for one in self.held if dice.random() < 0.7]
        self.held = [one for one in self.held if one not in done]
        self.tell()
        settlements = tuple(self.judged(one, dice.choice(OUTCOMES)) for one in done)
        number = self.scene.numbers[worker] = self.scene.numbers.get(worker, 0) + 1
        turned = self.send(
            turns.advance(
                Turn(
                    worker,
                    f"i-{worker}",
                    number,
                    QUEUES if dice.random() < 0.8 else QUEUES[:1],
                    want=dice.choice((0, 1, 4)),
                    sweep=dice.random() < 0.8,
                    prune=dice.random() < 0.3,
                    woken=dice.random() < 0.3,
                    settlements=settlements,
                )
            )
        )
        assert not turned.problems
        self.held += turned.granted
        for one in turned.lapsed:
            self.send_settled(worker, self.judged(one, Outcome.abandoned("lost", 0.0)))

    def send_settled(self, worker: str, settlement: Settlement) -> None:
        number = self.scene.numbers[worker] = self.scene.numbers.get(worker, 0) + 1
        self.send(turns.advance(Turn(worker, f"i-{worker}", number, QUEUES, settlements=(settlement,))))

    def judged(self, execution: Execution, outcome: Outcome | None) -> Settlement:
        return Settlement(execution, Verdict.give_back()) if outcome is None else self.scene.judged(execution, outcome)

    def tell(self) -> None:
        for one in self.held:
            if self.dice.random() < 0.3:
                number = int(self.nonce()[1:])
                self.send(
                    turns.tell([Telling(one.job_id, one.token, number, 1, State(1, 2).stored(None), ((1, b"x"),))])
                )

    # -- the end -------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Whatever was done, all ends, but who waits for another try of one that is kept."""
        for queue in (*QUEUES, ""):
            self.scene.run(pauses.resume(queue, self.nonce()))
        for _ in range(60):
            self.scene.pass_ms(AUDIT_MS)
            self.scene.run(turns.renew("w", {"state": "busy"}, []))
            settlements = tuple(self.scene.judged(one, returned()) for one in self.held)
            turned = self.scene.turn("w", *settlements, queues=QUEUES, want=500, sweep=True, prune=True)
            self.held = list(turned.granted)
            for one in turned.lapsed:
                self.scene.settle(one, Outcome.abandoned("lost", 0.0), "w", queues=QUEUES)
        assert violations(self.scene.dump(), self.scene.store.keys, self.scene.now_ms) == []
        for queue in QUEUES:
            live = [job_id for status in JobStatus if not status.terminal for job_id in self.scene.order(status, queue)]
            for job_id in live:
                job = self.scene.job(job_id)
                assert job is not None
                assert job.status is JobStatus.DEFERRED, job
                assert self.waits_rightly(job_id), job
        for name in GROUPS:
            with suppress(RqlikeError):
                seen = self.scene.run(groups.group(name))
                assert seen.pending or seen.completed or not seen.total

    def waits_rightly(self, job_id: str) -> bool:
        job = self.scene.job(job_id)
        assert job is not None
        keys = self.scene.store.keys
        for key, (_, content, _) in self.scene.dump().items():
            if key.startswith(keys.dependents("")):
                parent = key.removeprefix(keys.dependents(""))
                names = [edge.split(b" ", 2)[2].decode() for edge in content]
                status = self.scene.status(parent)
                if job_id in names and status is not None and status is not JobStatus.FINISHED:
                    return True
        return False


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_done_to_jobs_with_any_options_the_invariants_hold(
    server: Server, namespace: str, seed: int
) -> None:
    with server.client() as client:
        play = Play(scene_on(client, namespace), seed)
        for _ in range(STEPS):
            play.step()
        play.finish()
