"""Those who ask for the same jobs at once: they join, wait, give up, cancel, delete and enqueue again. Threads of the
driver, which write into the ledgers of `people`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from redis.exceptions import RedisError

from rqlike import Job, Queue
from rqlike import wait as wait_for_many
from rqlike.exceptions import DuplicateJobError, NoSuchJobError, RqlikeError, WaitError, WaitTimeout
from rqlike.results import Result
from rqlike.states import JobStatus, Reason, ResultType
from tests.chaos import bodies
from tests.chaos.crew import Crew
from tests.chaos.evidence import Acked, Act, Denied, Gathered, Given, Wait
from tests.chaos.kinds import ASKERS, QUEUES, Ask, Order
from tests.chaos.people import DEEDS, People, client_of, now_ms, options_of

#: Of what is no value, in the words of `Job.wait`.
_ERROR_OF: Final = {
    ResultType.SUCCESSFUL: "",
    ResultType.FAILED: "JobFailed",
    ResultType.MAX_RETRIES_EXCEEDED: "JobFailed",
}


_WHEN: Final = ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION")
_GATHERED: Final = 30  #: of those that are waited for at once, beside what is shared


class Askers(Crew):
    """Ask what is to be asked, each one thing after the other."""

    def __init__(self, people: People, asks: Sequence[Ask], orders: Mapping[str, Order]) -> None:
        self._people, self._asks, self._orders = people, asks, orders
        super().__init__(*(partial(self._go, who) for who in range(ASKERS)))
        self._stop = threading.Event()

    def _go(self, who: int) -> None:
        people = self._people
        client = client_of(people.url)
        queues = {name: Queue(name, client, namespace=people.namespace) for name in QUEUES}
        for ask in self._asks:
            if ask.who != who:
                continue
            self._stop.wait(max(0.0, (people.opened_ms + ask.at_s * 1000 - now_ms()) / 1000))
            order = self._orders[ask.job_id]
            try:
                self._ask(queues[order.queue], ask, order)
            except Exception as problem:  # noqa: BLE001  # a thread that ends in silence would look like success
                people.problems.append(f"{ask.what} of {ask.job_id}: {problem!r}")
        client.close()

    def _ask(self, queue: Queue, ask: Ask, order: Order) -> None:
        sent = now_ms()
        try:
            if ask.what in DEEDS:
                self._do(queue, ask, sent)
            else:
                _ASKS[ask.what](self, queue, ask, order, sent)
        except DuplicateJobError as problem:
            self._people.denied.append(Denied(order.id, problem.job_id, sent, now_ms()))
        except (RqlikeError, RedisError) as problem:
            enqueues = ask.what not in ("watch", "latest", "gather")
            if enqueues and isinstance(problem, RedisError) and not order.shared:
                self._people.refused[order.id] = type(problem).__name__
            self._told(ask, order, problem, sent, "raised" if ask.what == "join" else "")

    # -- what they want ------------------------------------------------------------------------------------------------

    def _do(self, queue: Queue, ask: Ask, sent: float) -> None:
        """What an operator does. It counts as done where the answer was lost."""
        try:
            job = Job.fetch(ask.job_id, queue.connection, queue.store.namespace)
            answer = DEEDS[ask.what](job)
        except (RqlikeError, RedisError) as problem:
            answer = type(problem).__name__
        self._people.acts.append(Act(ask.what, ask.job_id, answer, now_ms() if answer == JobStatus.CANCELED else sent))

    def _call(self, order: Order) -> tuple[Any, ...]:
        return (bodies.perform, self._people.log, order.id, order.of.act, order.seconds)

    def _join(self, queue: Queue, ask: Ask, order: Order, sent: float) -> None:
        options = {name: value for name, value in options_of(order).items() if name != "on_duplicate"}
        job, how = queue.enqueue_or_join(*self._call(order), on_failed=ask.on_failed, **options)
        self._came(order, job, how, sent)
        if ask.timeout_s or how == "cached":
            self._wait(ask, job, how)

    def _enqueue(self, queue: Queue, ask: Ask, order: Order, sent: float) -> None:
        self._people.acts.append(Act(ask.what, order.id, "asked", sent))
        options: dict[str, Any] = {**options_of(order), "on_duplicate": ask.what}
        job = queue.enqueue(*self._call(order), **options)
        if ask.timeout_s:
            self._wait(ask, job, "")

    def _enqueue_and_wait(self, queue: Queue, ask: Ask, order: Order, sent: float) -> None:
        options: dict[str, Any] = {
            **options_of(order),
            "timeout": ask.timeout_s,
            "on_failed": ask.on_failed,
            "cancel_on_timeout": ask.cancels,
            "deadline": ask.deadline,
        }
        if ask.deadline:
            options.pop("ttl", None)
        if order.shared:
            options.pop("on_duplicate", None)
        if order.shared and ask.cancels:
            self._people.acts.append(Act("cancel", order.id, "asked", sent))
        try:
            value = queue.enqueue_and_wait(*self._call(order), **options)
        except WaitTimeout as problem:
            if problem.status is JobStatus.CANCELED and not order.shared:
                self._people.acts.append(Act("cancel", problem.job_id, JobStatus.CANCELED, now_ms()))
            raise
        meant = str(value).partition(" ")[0].rstrip(".")
        if meant != order.id:  # it was given the job that holds its key
            self._people.given.append(Given(order.id, meant, "joined" if order.shared else "held", sent, now_ms()))
        elif not order.shared:
            self._people.acked[order.id] = Acked(sent, now_ms())
        self._people.waits.append(Wait(meant, "", value, now_ms(), sent, ask.timeout_s, 0))

    def _watch(self, queue: Queue, ask: Ask, order: Order, sent: float) -> None:
        self._wait(ask, Job.fetch(order.id, queue.connection, queue.store.namespace), "")

    def _latest(self, queue: Queue, ask: Ask, order: Order, sent: float) -> None:
        job: Job[Any] = Job.fetch(order.id, queue.connection, queue.store.namespace)
        sent, result = now_ms(), job.latest_result(ask.timeout_s)
        error, value, execution = "None", None, ""
        if result is not None:
            error, execution = _error_of(result), result.execution_id
            value = result.return_value if error == "" else None
        self._people.waits.append(Wait(order.id, error, value, now_ms(), sent, ask.timeout_s, 0, "latest", execution))

    def _gather(self, queue: Queue, ask: Ask, order: Order, sent: float) -> None:
        """Of all that is shared and of some that people wait for."""
        last = [name for name in (*self._people.acked,) if name in self._orders][-_GATHERED:]
        ids = dict.fromkeys([name for name, one in self._orders.items() if one.shared] + last)
        found = Job.fetch_many(list(ids), queue.connection, queue.store.namespace)
        jobs = [job for job in found if job is not None]
        sent, when = now_ms(), _WHEN[len(jobs) % len(_WHEN)]
        done, pending = wait_for_many(jobs, ask.timeout_s, when)
        told = [tuple((job.id, job.cycle) for job in some) for some in (done, pending)]
        self._people.gathered.append(Gathered(told[0], told[1], when, sent, now_ms(), ask.timeout_s))

    # -- what they were told -------------------------------------------------------------------------------------------

    def _came(self, order: Order, job: Job[Any], how: str, sent: float) -> None:
        if how == "queued":
            self._people.acked.setdefault(order.id, Acked(sent, now_ms()))
        else:
            self._people.given.append(Given(order.id, job.id, how, sent, now_ms()))

    def _wait(self, ask: Ask, job: Job[Any], how: str) -> None:
        sent = now_ms()
        try:
            value = job.wait(ask.timeout_s)
        except (RqlikeError, RedisError) as problem:
            self._people.waits.append(_wait_of(job.id, problem, sent, ask.timeout_s, job.cycle, how))
        else:
            self._people.waits.append(Wait(job.id, "", value, now_ms(), sent, ask.timeout_s, job.cycle, how))

    def _told(self, ask: Ask, order: Order, problem: Exception, sent: float, how: str) -> None:
        if isinstance(problem, NoSuchJobError) and ask.what in ("watch", "latest"):
            return  # before anybody has enqueued it
        wait = _wait_of(order.id, problem, sent, ask.timeout_s, 0, how)
        if ask.what == "wait" and not order.shared and wait.job_id == order.id and isinstance(problem, RqlikeError):
            self._people.acked[order.id] = Acked(sent, now_ms())
        self._people.waits.append(wait)


def _error_of(result: Result[Any]) -> str:
    if result.type is ResultType.SUCCESSFUL and not result.has_value:
        return "ResultNotStored"
    if result.type is ResultType.STOPPED:
        return "JobCanceled" if result.reason is Reason.CANCELED else "JobStopped"
    return _ERROR_OF[result.type]


def _wait_of(job_id: str, problem: Exception, sent: float, timeout_s: float, cycle: int, how: str) -> Wait:
    result = problem.result if isinstance(problem, WaitError) else None
    execution = "" if result is None else result.execution_id
    named = problem.job_id if isinstance(problem, WaitError | NoSuchJobError) else job_id
    return Wait(named, type(problem).__name__, None, now_ms(), sent, timeout_s, cycle, how, execution)


_ASKS: Final[Mapping[str, Callable[[Askers, Queue, Ask, Order, float], None]]] = {
    "join": Askers._join,
    "wait": Askers._enqueue_and_wait,
    "return": Askers._enqueue,
    "replace": Askers._enqueue,
    "watch": Askers._watch,
    "latest": Askers._latest,
    "gather": Askers._gather,
}
