"""Schedules in a file, in RQ's words: `register` in the file, `rqlike cron FILE` or a `CronScheduler` to write them.

    from rqlike import cron
    cron.register("reports.nightly", "reports", cron="0 3 * * *", tz="Europe/Berlin")

RQ's scheduler is a process that must stay and must be one. Here the schedules live in Redis and any worker of the
namespace fires them, so writing them is all there is to do, each time the file may have changed.

**Keys.** The key of an entry is its `name`. One without is called `queue:function`, where it has arguments with eight
digits of their digest behind it, and a second one of the same call `…-2`. So an entry without a name keeps its key,
and with it its history, when its interval changes; with other arguments it is another one.

**Sources.** What a file has written is marked with the name of the file, its *source*. What has this mark and is no
longer in the file is removed when the file is written again. Nothing else is ever removed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from importlib import import_module, invalidate_caches, reload
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from rqlike import callables, clock, logs
from rqlike.durations import Seconds, parse_seconds
from rqlike.exceptions import PayloadTooLarge
from rqlike.firetimes import next_fire
from rqlike.options import NAMES, check, check_queue_name
from rqlike.preparing import Func, check_template
from rqlike.queue import Queue, schedule_call
from rqlike.schedules import KEY_LIMIT, Schedule, alike, check_key, check_timetable
from rqlike.serializers import dumps_call, resolve_serializer
from rqlike.settings import PAYLOAD_LIMIT
from rqlike.store import schedules
from rqlike.store.store import Conn, Store
from rqlike.timetables import Timetable, first_slot

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_SERIALIZER: Final = "msgpack"


@dataclass(frozen=True, slots=True)
class CronJob:
    """One entry of a cron file, checked; nothing of it is in Redis before a `CronScheduler` starts."""

    key: str  #: of its schedule
    queue_name: str
    func: Func
    func_name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    timetable: Timetable
    options: Mapping[str, Any]  #: of its jobs
    name: str  #: as given; "" for none
    place: str  #: "module, line 7": who has registered it
    source: str = ""  #: "" where nobody removes it

    @property
    def cron(self) -> str | None:
        """Its expression; None where it has an interval."""
        return self.timetable.cron

    @property
    def interval(self) -> float | None:
        """Seconds between two slots; None where it has an expression."""
        every_ms = self.timetable.every_ms
        return None if every_ms is None else every_ms / 1000

    @property
    def next_at(self) -> datetime | None:
        """Its first slot from now on, by this host's clock and as if it were new; None where it is over."""
        slot = first_slot(self.timetable, clock.wall_ms())
        return None if slot is None else clock.utc(slot)


class Upserted(NamedTuple):
    """What `CronScheduler.start` has done."""

    schedules: list[Schedule]  #: as they are now, in the order of the file
    new: list[str]  #: keys
    changed: list[str]  #: keys of those that had another timetable, call, queue or source
    removed: list[str]  #: keys


class _Table:
    """Entries in their order."""

    def __init__(self) -> None:
        self._entries: list[CronJob] = []

    def register(
        self,
        func: Func,
        queue_name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        interval: Seconds | None = None,
        cron: str | None = None,
        job_timeout: Seconds | None = None,
        result_ttl: Seconds | None = None,
        ttl: Seconds | None = None,
        failure_ttl: Seconds | None = None,
        meta: dict[str, object] | None = None,
        webhooks: None = None,
        name: str = "",
        *,
        tz: str | ZoneInfo = "UTC",
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        missed: Literal["skip", "once", "all"] = "skip",
        max_catchup: int = 10,
        grace: Seconds | None = None,
        **options: Any,
    ) -> CronJob:
        """An entry: a job of `func(*args, **kwargs)` on a queue at each slot of `cron`, or of an `interval` in seconds.

        The positional arguments are RQ's. `tz`, `start`, `end`, `limit`, `missed`, `max_catchup` and `grace` are those
        of `Queue.schedule`; `options` and the arguments before them are those of its jobs (`retry`, `on_failure`, …).
        `name` is the key of the schedule, one in the namespace; without, a key is made of queue, function and
        arguments. Asks no server. Raises TypeError and ValueError that say what is wrong, SerializationError.
        """
        if webhooks is not None:
            raise TypeError("webhooks= is not there; on_success= and on_failure= call a function of yours")
        if (interval is None) == (cron is None):
            raise ValueError('an entry has exactly one of cron="0 3 * * *" and interval=600')
        if interval is not None:
            parse_seconds(interval, "interval", zero=False)
        table = check_timetable(
            cron=cron, every=interval, tz=tz, start=start, end=end, limit=limit,
            missed=missed, max_catchup=max_catchup, grace=grace,
        )  # fmt: skip
        named = {"job_timeout": job_timeout, "result_ttl": result_ttl, "ttl": ttl, "failure_ttl": failure_ttl}
        given = {name: value for name, value in {**named, "meta": meta}.items() if value is not None}
        caller = sys._getframe(1)
        place = f"{caller.f_globals.get('__name__', '?')}, line {caller.f_lineno}"
        made = _checked(func, queue_name, args or (), kwargs or {}, table, {**given, **options}, name, place)
        self._entries.append(made)
        return made


class CronScheduler(_Table):
    """Writes the schedules of a program or of cron files, and returns: it is no process, and there may be many.

    `connection`, `namespace`: as those of a Queue. `logging_level`: for `start`; None leaves logging alone. `name`: the
    source of all its schedules, so that those it has no more are removed; without one only files remove theirs.
    """

    def __init__(
        self,
        connection: Conn = None,
        logging_level: str | int | None = "INFO",
        name: str = "",
        *,
        namespace: str | None = None,
    ) -> None:
        super().__init__()
        self._store = Store(connection, namespace)
        self.logging_level = logging_level
        self.name = _checked_source(name) if name else ""
        self._sources = [self.name] if self.name else []

    def load_config_from_file(self, config_path: str) -> None:
        """Runs a cron file, a path or a dotted module, and takes what it registers, also through modules that it is the
        first to import. Their source is the scheduler's name, or the name under which the file can be imported.

        Raises what the file raises; FileNotFoundError, ModuleNotFoundError. Asks no server.
        """
        path = _path_of(config_path)
        module = config_path if path is None else _module_name(path)
        before = [entry for entry in _TABLE._entries if not entry.place.startswith(f"{module}, ")]
        _TABLE._entries = []
        try:
            _run(module, path)
            found = _TABLE._entries
        finally:
            _TABLE._entries = before
        source = self.name or _checked_source(module)
        self._sources += [] if source in self._sources else [source]
        self._entries += [replace(entry, source=source) for entry in found]

    def get_jobs(self) -> list[CronJob]:
        """What `start` writes: its own entries and those of its files, then those of the module's `register`, with
        their keys. Raises ValueError where two have one name. Asks no server."""
        own = [entry if entry.source else replace(entry, source=self.name) for entry in self._entries]
        return _keyed([*own, *(replace(entry, source=self.name) for entry in _TABLE._entries)])

    def start(self) -> Upserted:
        """Writes the schedules, removes those of the same sources that are no longer there, and returns.

        A schedule whose timetable is the same goes on as it was, and `fired`, `paused` and the history stay in any
        case; one that has no slot left is written all the same. Where a key was of another source, or of
        `Queue.schedule`, it is of this one from now on, with a warning in the log. Two round trips per entry, one per
        removed schedule, and one per some 250 schedules there are.
        Raises ValueError, before anything is written, where two entries have one name.
        """
        if self.logging_level is not None:
            logs.configure(self.logging_level)
        entries = self.get_jobs()
        before = {one.key: one for one in Schedule.all(self._store.client, namespace=self._store.namespace)}
        written = [self._write(entry, before.get(entry.key)) for entry in entries]
        kept = {one.key for one in written}
        mine = [key for key, one in before.items() if one.source in self._sources and key not in kept]
        for key in mine:
            self._store.run(schedules.unschedule(key, before[key].source or ""))
        logs.schedules_upserted(len(written), len(mine), self._sources)
        changed = [one.key for one in written if one.key in before and not alike(one, before[one.key])]
        return Upserted(written, [one.key for one in written if one.key not in before], changed, mine)

    def _write(self, entry: CronJob, before: Schedule | None) -> Schedule:
        queue = Queue(entry.queue_name, self._store.client, namespace=self._store.namespace)
        made = schedule_call(
            queue, entry.key, entry.timetable, entry.func, entry.args, entry.kwargs, entry.options, entry.source
        )
        if before is not None and (before.source or "") != entry.source:
            logs.schedule_taken(entry.key, before.source or "", entry.source)
        return made

    def __repr__(self) -> str:
        return f"<CronScheduler of {', '.join(self._sources) or 'this program'}: {len(self.get_jobs())} entries>"


_TABLE: Final = _Table()
register = _TABLE.register


# -- entries ---------------------------------------------------------------------------------------------------------


def _checked(
    func: Func,
    queue_name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    table: Timetable,
    options: Mapping[str, Any],
    name: str,
    place: str,
) -> CronJob:
    if isinstance(args, str | bytes):
        raise TypeError(f"args takes a sequence of arguments, not {args!r:.40}; write args=({args!r:.40},)")
    check_template(options)
    check(options, {}, _SERIALIZER)
    reference = callables.reference_of(func)
    if not isinstance(func, str):
        callables.bind_call(func, tuple(args), kwargs, NAMES)
    payload = dumps_call(resolve_serializer(_SERIALIZER), args, dict(sorted(kwargs.items())))
    if len(payload) > PAYLOAD_LIMIT:
        raise PayloadTooLarge(size=len(payload), limit=PAYLOAD_LIMIT)
    key = check_key(name) if name else _key(check_queue_name(queue_name), reference, payload if args or kwargs else b"")
    return CronJob(
        key=key,
        queue_name=check_queue_name(queue_name),
        func=func,
        func_name=reference,
        args=tuple(args),
        kwargs=dict(kwargs),
        timetable=table,
        options=options,
        name=name,
        place=place,
    )


def _key(queue: str, reference: str, payload: bytes) -> str:
    """The key of an entry without a name; room is left for a number behind it."""
    key = f"{queue}:{reference}{'-' + sha256(payload).hexdigest()[:8] if payload else ''}"
    if len(key.encode(errors="replace")) <= KEY_LIMIT - 5:
        return key
    return f"{reference.rpartition('.')[2][:40]}-{sha256(key.encode(errors='replace')).hexdigest()[:16]}"


def _keyed(entries: Sequence[CronJob]) -> list[CronJob]:
    """Entries with keys of which each is there once. Raises ValueError where two were given the same name."""
    places: dict[str, str] = {}
    for entry in entries:
        if entry.name:
            if entry.name in places:
                raise ValueError(f"two entries are named {entry.name!r}: {places[entry.name]} and {entry.place}")
            places[entry.name] = entry.place
    keyed = []
    for entry in entries:
        key, number = entry.key, 1
        while not entry.name and key in places:
            number += 1
            key = f"{entry.key}-{number}"
        places[key] = entry.place
        keyed.append(replace(entry, key=key))
    return keyed


# -- files -----------------------------------------------------------------------------------------------------------


def _checked_source(name: str) -> str:
    if not name.isprintable() or len(name) > KEY_LIMIT:
        raise ValueError(f"the name {name[:40]!r} of a cron file is not printable, or has over {KEY_LIMIT} characters")
    return name


def _path_of(config_path: str) -> Path | None:
    """The file that is meant; None for a dotted module. Raises FileNotFoundError."""
    given = Path(config_path)
    for path in (given, given.with_name(f"{given.name}.py")) if given.name else ():
        if path.is_file() and (path is given or len(given.parts) > 1):
            return path.resolve()
    if len(given.parts) > 1 or given.suffix == ".py" or not given.name:
        raise FileNotFoundError(f"there is no cron file {config_path!r} below {Path.cwd()}")
    return None


def _module_name(path: Path) -> str:
    """The name under which a file can be imported, from the nearest folder of sys.path; else its own name alone."""
    folders = [Path(folder or ".").resolve() for folder in sys.path]
    above = [folder for folder in folders if folder in path.parents]
    if above:
        parts = path.with_suffix("").relative_to(max(above, key=lambda folder: len(folder.parts))).parts
        if all(part.isidentifier() for part in parts):
            return ".".join(parts)
    return path.stem


def _run(module: str, path: Path | None) -> None:
    invalidate_caches()
    known = sys.modules.get(module)
    if path is None:
        if known is None:
            import_module(module)
        else:
            reload(known)
        return
    if known is not None and Path(getattr(known, "__file__", None) or ".").resolve() != path:
        raise ImportError(f"{path} cannot be loaded as {module!r}: another module of that name is; rename the file")
    spec = spec_from_loader(module, SourceFileLoader(module, str(path)))
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    sys.modules[module] = made
    try:
        spec.loader.exec_module(made)
    except BaseException:
        del sys.modules[module]
        raise


__all__ = ["CronJob", "CronScheduler", "Upserted", "next_fire", "register"]
