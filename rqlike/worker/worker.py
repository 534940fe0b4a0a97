"""Worker: claims jobs from queues and runs them in forked horses, in RQ's words."""

from __future__ import annotations

import os
import platform
import signal
import socket
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module, invalidate_caches
from importlib.metadata import version
from typing import Any, Final, NoReturn

from rqlike import clock, logs
from rqlike.callables import check_allow
from rqlike.durations import Seconds, parse_seconds
from rqlike.exceptions import RqlikeError
from rqlike.job import Job
from rqlike.options import check_queue_name
from rqlike.outcomes import Rules
from rqlike.queue import Queue
from rqlike.records import JobRecord, WorkerRecord
from rqlike.results import Result
from rqlike.running.current import WorkerInfo
from rqlike.running.middleware import Middleware, load, overrides
from rqlike.safetext import printable
from rqlike.serializers import Serializer, resolve_serializer
from rqlike.settings import DEFAULT_QUEUE, DEFAULT_RESULT_TTL, JOBS_PER_HORSE, KILL_GRACE, MAX_CRASHES
from rqlike.store import staff, turns
from rqlike.store.endpoint import Endpoint, patient_client
from rqlike.store.link import Link
from rqlike.store.route import resolve
from rqlike.store.store import Conn, Store
from rqlike.worker.ahead import MOST
from rqlike.worker.channel import HorseEnd
from rqlike.worker.ears import Ears
from rqlike.worker.guardian import Guardian
from rqlike.worker.horse import HorseSettings, prepare_horse, run_horse
from rqlike.worker.ledger import Ledger
from rqlike.worker.parent import Parent
from rqlike.worker.plan import Plan
from rqlike.worker.rehearsal import rehearse
from rqlike.worker.reloading import SourceWatch
from rqlike.worker.rotation import check_strategy, check_weights
from rqlike.worker.siblings import sibling_fork
from rqlike.worker.signals import SignalPipe
from rqlike.worker.supervisor import Supervisor
from rqlike.worker.zygote import Zygote

VERSION: Final = version("rqlike")

_USES: Final = ("calls", "wake", "control")
_REGISTER_S: Final = 5.0
_DYING: Final = 64  #: horses that may be on their way out while others take their places

#: RQ's arguments that have nothing to do here.
_NEEDLESS: Final = (
    "maintenance_interval",
    "job_monitoring_interval",
    "worker_ttl",
    "log_job_description",
    "prepare_for_work",
)


class Worker:
    """Claims jobs from `queues`, in their order, and runs them in `concurrency` forked horses.

    `name`: `host.pid.xxxx` by default; a living worker's name is refused. `connection`: a client, a URL or None for
    `rqlike.connect()`; only its parameters are used, the worker's connections are its own. `max_memory`: bytes of
    resident memory after which a horse is retired. `shutdown_timeout`: seconds that running jobs get after the first
    SIGTERM; None is as long as they take. `allow`: globs of the function paths that are run, `["app.tasks.*"]`, and of
    callbacks; None is all that can be imported. `jobs_per_horse=1` forks a horse for each job. `weights`: how often a
    queue comes first in a claim, `{"high": 5, "low": 1}`; one that is not named has 1. Making one does no I/O.
    """

    def __init__(
        self,
        queues: Queue | str | Iterable[Queue | str] = DEFAULT_QUEUE,
        name: str | None = None,
        default_result_ttl: Seconds = DEFAULT_RESULT_TTL,
        connection: Conn = None,
        exception_handlers: Callable[..., Any] | str | Sequence[Callable[..., Any] | str] | None = None,
        *,
        namespace: str | None = None,
        concurrency: int = 1,
        jobs_per_horse: int = JOBS_PER_HORSE,
        max_memory: int | None = None,
        prefetch: int | None = None,
        kill_grace: Seconds = KILL_GRACE,
        shutdown_timeout: Seconds | None = None,
        middleware: Sequence[Middleware | str] = (),
        preload: Sequence[str] = (),
        serializer: str | Serializer = "msgpack",
        allow: Sequence[str] | None = None,
        strict_lease: bool = False,
        max_crashes: int = MAX_CRASHES,
        reload: Sequence[str] | None = None,
        weights: Mapping[str, int] | None = None,
        **needless: Any,
    ) -> None:
        _warn_needless(needless)
        given = [queues] if isinstance(queues, str | Queue) else list(queues)
        if not given:
            raise ValueError("a worker needs at least one queue")
        self._queue_names = tuple(dict.fromkeys(q.name if isinstance(q, Queue) else check_queue_name(q) for q in given))
        first = next((queue for queue in given if isinstance(queue, Queue)), None)
        if connection is None and first is not None:
            self.store = first.store
        else:
            self.store = Store(connection, namespace)
        self.instance = uuid.uuid4().hex[:12]
        self.name = name or f"{socket.gethostname().partition('.')[0]}.{os.getpid()}.{self.instance[:4]}"
        check_queue_name(self.name)
        self.rules = Rules(_ttl(default_result_ttl), _at_least("max_crashes", max_crashes, 1))
        self.exception_handlers = _as_list(exception_handlers)
        self.concurrency = _at_least("concurrency", concurrency, 1)
        self.jobs_per_horse = _at_least("jobs_per_horse", jobs_per_horse, 1)
        self.max_memory = max_memory
        self.prefetch = None if prefetch is None else _at_least("prefetch", prefetch, 1)
        self.kill_grace = parse_seconds(kill_grace, "kill_grace")
        self.shutdown_timeout = (
            None if shutdown_timeout is None else parse_seconds(shutdown_timeout, "shutdown_timeout")
        )
        self.middleware = load(middleware)
        self.preload = tuple(preload)
        self.serializer = resolve_serializer(serializer)
        self.allow = check_allow(allow)
        self.strict_lease = strict_lease
        self.reload = reload
        self.weights = None if weights is None else check_weights(weights, self._queue_names)
        self._pid = os.getpid()
        self.exit_code = 0  #: of the last `work`

    # -- working -------------------------------------------------------------------------------------------------------

    def work(
        self,
        burst: bool = False,
        logging_level: str | int | None = "INFO",
        date_format: str = logs.DATE_FORMAT,
        log_format: str = logs.LOG_FORMAT,
        max_jobs: int | None = None,
        max_idle_time: Seconds | None = None,
        with_scheduler: bool | None = None,
        dequeue_strategy: str = "default",
    ) -> bool:
        """Works until it is told to stop; True if any job was executed.

        `burst`: until the queues are empty or paused and no horse is busy; jobs that are due later do not hold it.
        `max_jobs`: that many executions. `max_idle_time`: until so long nothing was to do. `dequeue_strategy`:
        "default" (order of the queues), "round_robin", "random", or "weighted", which `weights` select. SIGTERM or
        SIGINT: claims nothing more and lets running jobs end; once more: kills them. `exit_code` is 0 when everything
        was recorded, 75 when the server was away at the end.

        Raises ValueError for bad arguments, RqlikeError where the name is taken, redis-py's errors where the server
        cannot be reached at the start.
        """
        if with_scheduler is not None:
            text = "with_scheduler is needless: every worker promotes due jobs"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
        strategy = check_strategy(dequeue_strategy, self.weights)
        if logging_level is not None:
            logs.configure(logging_level, date_format, log_format)
        plan = self._plan(burst, max_jobs, max_idle_time, strategy)
        return self._run(plan)

    def _plan(self, burst: bool, max_jobs: int | None, max_idle: Seconds | None, strategy: str) -> Plan:
        return Plan(
            name=self.name,
            instance=self.instance,
            queues=self._queue_names,
            concurrency=self.concurrency,
            burst=burst,
            max_jobs=None if max_jobs is None else _at_least("max_jobs", max_jobs, 1),
            max_idle_s=None if max_idle is None else parse_seconds(max_idle, "max_idle_time"),
            shutdown_timeout_s=self.shutdown_timeout,
            kill_grace_s=self.kill_grace,
            strict_lease=self.strict_lease,
            strategy=strategy,
            weights=self.weights or {},
            prefetch=self._most_ahead(strategy),
            server=str(Endpoint.of(self.store.client)),
            facts=self._facts(),
            always_after=overrides(self.middleware, "after_result"),
            wants_failures=bool(self.exception_handlers),
            reload=None if self.reload is None else SourceWatch(self.reload).changed,
        )

    def _most_ahead(self, strategy: str) -> int:
        """Nothing is claimed ahead where a horse runs one job, or where the order of the queues is in each claim."""
        if self.jobs_per_horse == 1 or (strategy != "default" and len(self._queue_names) > 1):
            return 1
        return MOST if self.prefetch is None else self.prefetch

    def _run(self, plan: Plan) -> bool:
        if threading.current_thread() is not threading.main_thread():
            raise RqlikeError("A Worker handles signals and forks, so it works in the main thread only.")
        self._pid = os.getpid()
        self._import_preload()
        with SignalPipe((signal.SIGTERM, signal.SIGINT)) as signals:
            self._register(plan)
            logs.worker_started(plan.name, plan.queues, plan.server, plan.concurrency)
            parent = self._parent(plan, signals)
            self.exit_code = parent.run()
        if parent.failure is not None:
            raise RqlikeError(f"Worker {self.name} gave up: {parent.failure}")
        return parent.did_work

    def _register(self, plan: Plan) -> None:
        """On a connection that is closed again, so that no horse inherits it."""
        client = patient_client(self.store.client, _REGISTER_S)
        try:
            Store(client, self.store.namespace).run(turns.register(plan.name, plan.instance, plan.facts))
        finally:
            client.close()

    def _facts(self) -> dict[str, object]:
        return {
            "instance": self.instance,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": VERSION,
            "python": platform.python_version(),
            "queues": list(self._queue_names),
            "state": "starting",
            "concurrency": self.concurrency,
            "jobs": [],
        }

    def _import_preload(self) -> None:
        """User code in the parent, shared by all horses: only where asked for, and never with threads."""
        for module in self.preload:
            import_module(module)
        if not self.preload and not self.middleware:
            return
        names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        if names:
            what = f"preload {' '.join(self.preload)}" if self.preload else "the middleware"
            raise RqlikeError(
                f"Threads run beside {what} ({', '.join(names)}); a fork would copy their locks but not them. "
                "Start threads in Middleware.setup instead, which runs in each horse."
            )

    def _parent(self, plan: Plan, signals: SignalPipe) -> Parent:
        endpoint, keys = Endpoint.of(self.store.client), self.store.keys
        stops = resolve(endpoint)
        calls, wake, control = (Link(endpoint, keys, f"rqlike:{self.name}:{use}", stops) for use in _USES)
        holder: list[Parent] = []
        supervisor = Supervisor(
            self._start_horse,
            concurrency=self.concurrency,
            jobs_per_horse=self.jobs_per_horse,
            kill_grace=self.kill_grace,
            before_fork=self._before_fork,
            inherited=lambda: holder[0].watched_fds(),
            zygote=self._zygote(),
            guardian=Guardian(room=2 * self.concurrency + _DYING),
        )
        parent = Parent(
            plan,
            Ledger(self.name, self.rules),
            supervisor,
            calls,
            Ears(wake, control, [keys.markers(queue) for queue in plan.queues], keys.control(self.name)),
            (calls, wake, control),
            signals,
        )
        holder.append(parent)
        return parent

    def _before_fork(self) -> None:
        for one in self.middleware:
            one.before_fork()

    def _zygote(self) -> Zygote | None:
        """Where each job has a horse of its own, unless something may happen between two forks that horses must see."""
        if self.jobs_per_horse != 1 or self.reload is not None or overrides(self.middleware, "before_fork"):
            return None
        if sibling_fork(0) is None:
            return None
        return Zygote(self._prepare_horse, bears_ready=not self.middleware)

    def _prepare_horse(self, end: HorseEnd) -> Callable[[], NoReturn]:
        rehearse(self._make_job)
        return prepare_horse(
            end,
            parent_pid=self._pid,
            settings=self._horse_settings(),
            make_job=self._make_job,
            make_result=Result,
        )

    def _start_horse(self, end: HorseEnd, close_fds: Sequence[int]) -> NoReturn:
        if self.reload is not None:
            # A compiled file is told from a newer source by the second: one changed twice in it would stay as it was.
            sys.dont_write_bytecode = True
            invalidate_caches()
        run_horse(
            end,
            parent_pid=self._pid,
            close_fds=close_fds,
            settings=self._horse_settings(),
            make_job=self._make_job,
            make_result=Result,
        )

    def _horse_settings(self) -> HorseSettings:
        return HorseSettings(
            worker=WorkerInfo(self.name, self._pid, self._queue_names, socket.gethostname()),
            middleware=self.middleware,
            serializer=self.serializer,
            allow=self.allow,
            max_memory=self.max_memory,
            jobs=self.jobs_per_horse,
            exception_handlers=self.exception_handlers,
        )

    def _make_job(self, record: JobRecord) -> Job[Any]:
        return Job(record, self.store)

    # -- looking -------------------------------------------------------------------------------------------------------

    def queue_names(self) -> list[str]:
        """The names of its queues, in order."""
        return list(self._queue_names)

    @property
    def queues(self) -> list[Queue]:
        """Its queues."""
        return [Queue(name, self.store.client, namespace=self.store.namespace) for name in self._queue_names]

    @classmethod
    def all(
        cls, connection: Conn = None, queue: Queue | str | None = None, *, namespace: str | None = None
    ) -> list[WorkerHandle]:
        """The living workers of a namespace, or of one of its queues. One round trip."""
        found = Store(connection, namespace).run(staff.workers())
        name = queue.name if isinstance(queue, Queue) else queue
        return [WorkerHandle(record) for record in found if name is None or name in record.queues]

    @classmethod
    def count(cls, connection: Conn = None, queue: Queue | str | None = None, *, namespace: str | None = None) -> int:
        """How many workers live."""
        return len(cls.all(connection, queue, namespace=namespace))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} on {', '.join(self._queue_names)}>"


class WorkerHandle:
    """A living worker as its last renewal told it; renewed every 5 s while it has jobs, every 15 s while it is idle."""

    def __init__(self, record: WorkerRecord) -> None:
        self._record = record

    @property
    def name(self) -> str:
        """Its name."""
        return self._record.name

    @property
    def hostname(self) -> str:
        """The host it runs on."""
        return self._record.hostname

    @property
    def pid(self) -> int:
        """Its process id on that host."""
        return self._record.pid

    @property
    def version(self) -> str:
        """Its version of rqlike."""
        return self._record.version

    @property
    def python_version(self) -> str:
        """Its version of Python."""
        return self._record.python_version

    @property
    def state(self) -> str:
        """starting, idle or busy."""
        return self._record.state

    @property
    def concurrency(self) -> int:
        """Its number of horses."""
        return self._record.concurrency

    @property
    def birth_date(self) -> datetime:
        """When it began; aware UTC."""
        return clock.utc(self._record.birth_ms)

    @property
    def last_heartbeat(self) -> datetime:
        """When it was last heard of; aware UTC."""
        return clock.utc(self._record.seen_ms)

    @property
    def current_job_ids(self) -> tuple[str, ...]:
        """What it runs."""
        return self._record.current_job_ids

    def get_current_job_id(self) -> str | None:
        """RQ's: the first job it runs; None where it runs none."""
        return self._record.current_job_ids[0] if self._record.current_job_ids else None

    @property
    def successful_job_count(self) -> int:
        """Executions that returned."""
        return self._record.successful_job_count

    @property
    def failed_job_count(self) -> int:
        """Executions that did not."""
        return self._record.failed_job_count

    @property
    def total_working_time(self) -> float:
        """Seconds its horses spent in jobs."""
        return self._record.working_ms / 1000

    def get_state(self) -> str:
        """RQ's name for `state`."""
        return self.state

    def queue_names(self) -> list[str]:
        """The names of its queues, in order."""
        return list(self._record.queues)

    def __repr__(self) -> str:
        return printable(f"<Worker {self.name} {self.state} on {', '.join(self._record.queues)}>", 500)


def _warn_needless(given: dict[str, Any]) -> None:
    unknown = [name for name in given if name not in _NEEDLESS]
    if unknown:
        raise TypeError(f"Worker takes no argument {unknown[0]!r}")
    if given:
        warnings.warn(f"needless here: {', '.join(given)}", DeprecationWarning, stacklevel=3)


def _at_least(name: str, value: int, least: int) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{name} is a whole number of at least {least}, not {value!r}")
    return value


def _ttl(value: Seconds) -> float:
    return parse_seconds(value, "default_result_ttl", forever=True)


def _as_list(handlers: Any) -> tuple[Any, ...]:
    if handlers is None:
        return ()
    return tuple(handlers) if isinstance(handlers, list | tuple) else (handlers,)
