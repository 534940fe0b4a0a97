"""Those who use the queue during a chaos run: a producer, an operator, and some who wait. Threads of the driver."""

from __future__ import annotations

import heapq
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry as ClientRetry

from rqlike import Dependency, Group, Job, Queue, Repeat, Retry, Schedule, clock
from rqlike.command import send_stop_job_command
from rqlike.dependency import Need
from rqlike.exceptions import (
    DuplicateJobError,
    EnqueueManyError,
    InvalidJobOperation,
    NoSuchJobError,
    RqlikeError,
    WaitError,
)
from rqlike.preparing import prepare
from rqlike.sending import _job_of
from rqlike.states import JobStatus
from rqlike.store import verbs
from rqlike.store.requests import nonce
from rqlike.suspension import resume, suspend
from tests.chaos import bodies
from tests.chaos.evidence import Acked, Act, Batch, Denied, Gathered, Given, Held, Kept, Orphaned, Wait
from tests.chaos.kinds import FIRED_RETRIES, LIMITS, QUEUES, Order, StandingOrder

_WAITERS: Final = 12  #: at a time
_WAIT_S: Final = 90.0
_REQUEUES: Final = 20  #: looks whether a job has ended
_AGAIN_S: Final = 0.3


def now_ms() -> float:
    """The wall clock, by which the server goes too."""
    return time.time_ns() / 1e6


def client_of(url: str) -> redis.Redis:
    """A client that gives up soon, so that there are errors to be seen."""
    patience = ClientRetry(ExponentialBackoff(cap=0.3, base=0.02), 4)
    made: redis.Redis = redis.Redis.from_url(url, retry=patience, socket_timeout=1.5, socket_connect_timeout=1.0)
    return made


class People:
    """Enqueues what is ordered within `seconds`, does to it what is to be done, and waits for some of it; keeps the
    schedules of standing orders meanwhile."""

    def __init__(
        self,
        url: str,
        namespace: str,
        log: str,
        orders: Sequence[Order],
        seconds: float,
        standing: Sequence[StandingOrder] = (),
        holds: int = 0,
    ) -> None:
        self.url, self.namespace, self.log = url, namespace, log
        self.orders, self.seconds, self.standing = orders, seconds, standing
        self.holds = holds  # pauses of queues
        self.opened_ms = round(now_ms())
        self.kept: list[Kept] = []
        self.held: list[Held] = []
        self.ran_now: dict[str, StandingOrder] = {}
        self.acked: dict[str, Acked] = {}
        self.refused: dict[str, str] = {}
        self.acts: list[Act] = []
        self.waits: list[Wait] = []
        self.gathered: list[Gathered] = []
        self.denied: list[Denied] = []
        self.given: list[Given] = []
        self.batches: list[Batch] = []
        self.needs: dict[str, tuple[Need, ...]] = {}
        self.orphaned: list[Orphaned] = []
        self._todo: list[tuple[float, int, str, Job[Any], int]] = []
        self._number = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._room = threading.Semaphore(_WAITERS)
        self._waiters: list[threading.Thread] = []
        self._threads = [
            threading.Thread(target=call, daemon=True)
            for call in (self._produce, self._operate, self._keep, self._hold)
        ]
        self.problems: list[str] = []
        self.clients: list[redis.Redis] = []

    def start(self) -> None:
        self.opened_ms = round(now_ms())
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        """Whether everything was enqueued and done."""
        with self._lock:
            return not (
                self._threads[0].is_alive() or self._threads[2].is_alive() or self._threads[3].is_alive() or self._todo
            )

    def finish(self, timeout: float) -> int:
        """Ends the operator and joins the waiters; how many of them still wait."""
        self._stop.set()
        end = time.monotonic() + timeout
        for thread in (*self._threads, *self._waiters):
            thread.join(max(0.01, end - time.monotonic()))
        for client in self.clients:
            client.close()
        return sum(thread.is_alive() for thread in self._waiters)

    # -- the producer --------------------------------------------------------------------------------------------------

    def _produce(self) -> None:
        client = client_of(self.url)
        self.clients.append(client)  # which waiters of its jobs have too
        queues = {name: Queue(name, client, namespace=self.namespace) for name in {o.queue for o in self.orders}}
        began = time.monotonic()
        done = 0
        for batch, one_call in groupby(self.orders, lambda order: order.batch or order.id):
            orders = list(one_call)
            due = began + self.seconds * done / len(self.orders)
            done += len(orders)
            if due > time.monotonic():
                self._stop.wait(due - time.monotonic())
            queue = queues[orders[0].queue]
            try:
                if orders[0].batch:
                    self.enqueue_many(queue, orders, atomic=batch.startswith("atomic"))
                else:
                    self._enqueue(queue, orders[0])
            except Exception as problem:  # noqa: BLE001  # a thread that ends in silence would look like success
                self.problems.append(f"producer: {problem!r}")

    def _enqueue(self, queue: Queue, order: Order) -> None:
        sent = now_ms()
        due = "" if order.delay is None else f"+{round(order.delay * 1000)}"
        arguments = arguments_of(order, self.log)
        options = {**options_of(order), **self._needed(order)}
        new = prepare(queue._terms, bodies.perform, arguments, {}, options, due)
        request = verbs.enqueue(queue.name, (new,))
        try:
            (answer,) = queue.store.run(request)
        except RedisError as problem:
            self.refused[order.id] = type(problem).__name__
            return
        again = self._again(queue, request) if answer.written and order.resend else ""
        try:
            self._came(order, _job_of(queue.store, queue.name, new, answer), sent, again)
        except DuplicateJobError as problem:
            self.denied.append(Denied(order.id, problem.job_id, sent, now_ms()))
        except NoSuchJobError as problem:
            self.orphaned.append(Orphaned(order.id, problem.job_id))

    def _needed(self, order: Order, of_call: Sequence[Order] = ()) -> dict[str, Any]:
        """The option by which it depends on others: on those whose enqueue has returned, and on those before it in the
        same call."""
        before = {one.id for one in of_call[: of_call.index(order)]} if of_call else set()
        needs = tuple(need for need in order.needs if need.job_id in self.acked or need.job_id in before)
        if not needs:
            return {}
        self.needs[order.id] = needs
        some = [Dependency(need.job_id, False, need.at_front, on_failure=need.on_failure) for need in needs]  # type: ignore[arg-type]
        return {"depends_on": some}

    def enqueue_many(
        self, queue: Queue, orders: Sequence[Order], *, atomic: bool = False, group: Group | None = None
    ) -> None:
        """By one call, into a group where there is one."""
        sent = now_ms()
        data = [
            Queue.prepare_data(
                bodies.perform,
                arguments_of(one, self.log),
                delay=one.delay,
                **options_of(one),
                **self._needed(one, orders),
            )
            for one in orders
        ]
        jobs: Sequence[Job[Any] | None] = ()
        error = ""
        try:
            jobs = queue.enqueue_many(data, atomic=atomic, group_id=None if group is None else group.id)
        except EnqueueManyError as problem:
            jobs, error = problem.jobs, "EnqueueManyError"
            for at, cause in problem.errors.items():
                if isinstance(cause, DuplicateJobError):
                    self.denied.append(Denied(orders[at].id, cause.job_id, sent, now_ms()))
                elif isinstance(cause, NoSuchJobError):
                    self.orphaned.append(Orphaned(orders[at].id, cause.job_id))
        except RedisError as problem:
            error = type(problem).__name__
            self.refused.update((one.id, error) for one in orders)
        if atomic:
            self.batches.append(Batch(tuple(one.id for one in orders), error))
        for one, job in zip(orders, jobs, strict=False):
            if job is not None:
                self._came(one, job, sent)

    def _came(self, order: Order, job: Job[Any], sent: float, again: str = "") -> None:
        """What an enqueue has come to: its own job, or the one that holds its key."""
        if job.id == order.id:
            self.acked[order.id] = Acked(sent, now_ms(), again)
        else:
            self.given.append(Given(order.id, job.id, "held", sent, now_ms()))
        if order.waits and self._room.acquire(blocking=False):
            self._waiters.append(threading.Thread(target=self._wait, args=(job,), daemon=True))
            self._waiters[-1].start()
        if order.act and job.id == order.id:
            self._later(order.act_after, order.act + ("_kin" if order.act_kin else ""), job, _REQUEUES)

    @staticmethod
    def _again(queue: Queue, request: Any) -> str:
        try:
            (answer,) = queue.store.run(request)
        except RedisError:
            return ""
        return str(answer.word)

    # -- the operator --------------------------------------------------------------------------------------------------

    def _later(self, seconds: float, what: str, job: Job[Any], chances: int) -> None:
        with self._lock:
            self._number += 1
            heapq.heappush(self._todo, (time.monotonic() + seconds, self._number, what, job, chances))

    def _operate(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                due = bool(self._todo) and self._todo[0][0] <= time.monotonic()
                task = heapq.heappop(self._todo) if due else None
            if task is None:
                self._stop.wait(0.01)
                continue
            _, _, what, job, chances = task
            at = now_ms()
            try:
                answer = DEEDS[what](job)
            except (RqlikeError, RedisError) as problem:
                answer = type(problem).__name__
                if what == "requeue" and not isinstance(problem, NoSuchJobError) and chances > 1:
                    self._later(_AGAIN_S, what, job, chances - 1)
                    if isinstance(problem, InvalidJobOperation):
                        continue
            deed, _, kin = what.partition("_")
            self.acts.append(Act(deed, job.id, answer, now_ms() if answer == JobStatus.CANCELED else at, bool(kin)))

    # -- who pauses ----------------------------------------------------------------------------------------------------

    def _hold(self) -> None:
        """Pauses a queue, or all, some times, and ends each of the pauses."""
        client = client_of(self.url)
        for number in range(self.holds):
            self._stop.wait(self.seconds / (2 * self.holds))
            name = (*QUEUES, "")[number % (len(QUEUES) + 1)]
            ttl = self.seconds / (4 * self.holds) if number % 2 else None
            try:
                self._held(client, name, ttl)
            except Exception as problem:  # noqa: BLE001  # a thread that ends in silence would look like success
                self.problems.append(f"pause of {name!r}: {problem!r}")
        client.close()

    def _held(self, client: redis.Redis, name: str, ttl: float | None) -> None:
        sent = now_ms()
        try:
            if name:
                Queue(name, client, namespace=self.namespace).pause(ttl)
            else:
                suspend(client, ttl, namespace=self.namespace)
            acked: float | None = now_ms()
        except RedisError:
            acked = None
        self._stop.wait(self.seconds / (2 * self.holds))
        ended = now_ms() if ttl is None else min(now_ms(), sent + ttl * 1000)
        if acked is not None:
            self.held.append(Held(name, acked, ended))
        while True:
            try:
                if name:
                    Queue(name, client, namespace=self.namespace).resume()
                else:
                    resume(client, namespace=self.namespace)
                return
            except RedisError:
                time.sleep(0.05)

    # -- who keeps schedules -------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        client = client_of(self.url)
        plan = sorted((at, what, order.key) for order in self.standing for at, what in _plan(order))
        orders = {order.key: order for order in self.standing}
        for seconds, what, key in plan:
            self._stop.wait(max(0.0, (self.opened_ms + seconds * 1000 - now_ms()) / 1000))
            try:
                self._kept_at(client, orders[key], what)
            except ValueError as problem:
                if "would never fire" not in str(problem):  # it was kept from the server until all slots were over
                    self.problems.append(f"{what} of {key}: {problem!r}")
            except Exception as problem:  # noqa: BLE001  # a thread that ends in silence would look like success
                self.problems.append(f"{what} of {key}: {problem!r}")
        client.close()

    def _kept_at(self, client: redis.Redis, order: StandingOrder, what: str) -> None:
        """Insists, but on running it now: that would be another job each time."""
        sent = now_ms()
        if what != "put" and not any(kept.key == order.key for kept in self.kept):
            what = "put"
        while True:
            try:
                if what == "now":
                    self._run_now(Schedule.fetch(order.key, client, namespace=self.namespace), order)
                    return
                following = self._schedule(client, order, what)
                self.kept.append(Kept(what, order.key, sent, now_ms(), following))
                return
            except RedisError:
                if what == "now" or self._stop.wait(0.05):
                    return

    def _run_now(self, schedule: Schedule, order: StandingOrder) -> None:
        sent = now_ms()
        try:
            job = schedule.run_now()
        except DuplicateJobError as problem:
            self.denied.append(Denied(order.key, problem.job_id, sent, now_ms()))
            return
        if job.id in self.ran_now or not job.id.startswith(f"{order.key}@now-"):
            self.given.append(Given(order.key, job.id, "held", sent, now_ms()))
            return
        self.ran_now[job.id] = order
        self.acked[job.id] = Acked(sent, now_ms())

    def _schedule(self, client: redis.Redis, order: StandingOrder, what: str) -> int | None:
        """The next slot that the answer tells, also of one that is paused."""
        if what in ("put", "again"):
            queue = Queue(order.queue, client, namespace=self.namespace)
            made = queue.schedule(order.key, bodies.perform_own, (self.log,), **self._timetable(order))
            return made._record.next_ms
        made = Schedule.fetch(order.key, client, namespace=self.namespace)
        if what == "pause":
            made.pause()
        else:
            made.resume()
        return made._record.next_ms

    def _timetable(self, order: StandingOrder) -> dict[str, Any]:
        fires: dict[str, dict[str, Any]] = {
            "skip": {},
            "patient": {"grace": 600},
            "limit": {"grace": 600, "limit": order.limit},
        }
        most: dict[str, Any] = {"missed": order.policy, "max_catchup": 100}
        given: dict[str, Any] = {
            "start": clock.utc(self.opened_ms + round(order.start_s * 1000)),
            "end": None if order.limit else clock.utc(self.opened_ms + round(order.end_s * 1000)),
            "result_ttl": 3600,
            "failure_ttl": 3600,
            "retry": Retry(FIRED_RETRIES),
        }
        if order.unique:
            given |= {"unique_key": order.unique, "on_duplicate": order.wish}
        when = {"cron": f"* * * * * */{order.step_s:.0f}"} if order.by_cron else {"every": order.step_s}
        return {**given, **when, **fires.get(order.policy, most)}

    # -- those who wait ------------------------------------------------------------------------------------------------

    def _wait(self, job: Job[Any]) -> None:
        value, error, asked, execution = None, "", now_ms(), ""
        try:
            value = job.wait(timeout=_WAIT_S)
        except Exception as problem:  # noqa: BLE001  # whatever it is, it is judged
            error = type(problem).__name__
            result = problem.result if isinstance(problem, WaitError) else None
            execution = "" if result is None else result.execution_id
            if not isinstance(problem, RqlikeError | RedisError):
                self.problems.append(f"waiter of {job.id}: {traceback.format_exc()}")
        self.waits.append(Wait(job.id, error, value, now_ms(), asked, _WAIT_S, job.cycle, "", execution))
        self._room.release()


def arguments_of(order: Order, log: str) -> tuple[Any, ...]:
    """What the body of an order is called with."""
    plain = (log, order.id, order.of.act, order.seconds)
    return (*plain, bodies.PADDING) if order.bulky else plain


def options_of(order: Order) -> dict[str, Any]:
    """The job options of an order."""
    given: dict[str, Any] = {
        "job_id": order.id,
        "job_timeout": order.of.timeout,
        "ttl": order.ttl,
        "at_front": order.at_front,
        "result_ttl": 3600 if order.result_ttl is None else order.result_ttl,
        "failure_ttl": 3600,
    }
    if order.calls_back:
        given["on_success"] = bodies.called_back
    if order.retries:
        given["retry"] = Retry(order.retries)
    if order.limit:
        given["rate_limit"] = LIMITS[order.limit]
    if order.priority:
        given["priority"] = order.priority
    if order.unique:
        given |= {"unique_key": order.unique, "on_duplicate": order.wish}
    if order.unique_for is not None:
        given["unique_for"] = order.unique_for
    if order.repeats:
        given["repeat"] = Repeat(order.repeats)
    return given


def _plan(order: StandingOrder) -> list[tuple[float, str]]:
    """What is done to a schedule, and when."""
    plan = [(0.0, "put"), *((at, "again") for at in order.again_s), *((at, "now") for at in order.now_s)]
    if order.pause_s is not None and order.resume_s is not None:
        plan += [(order.pause_s, "pause"), (order.resume_s, "resume")]
    return plan


def _cancel(job: Job[Any]) -> str:
    return str(job.store.run(verbs.cancel(job.id, nonce())))


def _delete(job: Job[Any]) -> str:
    job.delete()
    return "ok"


def _cancel_kin(job: Job[Any]) -> str:
    return str(job.store.run(verbs.cancel(job.id, nonce(), enqueue_dependents=True)))


def _delete_kin(job: Job[Any]) -> str:
    job.delete(delete_dependents=True)
    return "ok"


def _stop(job: Job[Any]) -> str:
    send_stop_job_command(job.connection, job.id, namespace=job.namespace)
    return "ok"


def _requeue(job: Job[Any]) -> str:
    job.requeue()
    return "ok"


def _drop(job: Job[Any]) -> str:
    job.set_result_ttl(0)
    return "ok"


def _keep(job: Job[Any]) -> str:
    job.set_result_ttl(3600)
    return "ok"


DEEDS: Final[Mapping[str, Callable[[Job[Any]], str]]] = {
    "cancel": _cancel,
    "stop": _stop,
    "delete": _delete,
    "requeue": _requeue,
    "drop": _drop,
    "keep": _keep,
    "cancel_kin": _cancel_kin,
    "delete_kin": _delete_kin,
}
