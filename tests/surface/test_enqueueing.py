"""Enqueueing: what is refused before anything is written, what it costs, and what comes of it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry as Again

from rqlike import EnqueueData, Job, Queue, Retry
from rqlike.exceptions import DuplicateJobError, EnqueueManyError, PayloadTooLarge, SerializationError
from rqlike.running.middleware import Call, Middleware, use
from rqlike.states import JobStatus
from tests.servers import Server
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import Counting, at_once, counting_client

BAD_CALLS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "a missing argument": (tasks.add, (), {}, TypeError, "missing a required argument: 'a'"),
    "too many": (tasks.add, (1, 2, 3), {}, TypeError, "too many positional"),
    "a misspelt argument": (tasks.add, (1,), {"c": 2}, TypeError, "takes no argument 'c'"),
    "a misspelt option": (tasks.add, (1,), {"results_ttl": 5}, TypeError, "result_ttl"),
    "another misspelt option": (tasks.add, (1,), {"job_timout": 5}, TypeError, "job_timeout"),
    "both forms of arguments": (tasks.add, (1,), {"args": (1,)}, TypeError, "use one form"),
    "a lambda": (lambda: 1, (), {}, ValueError, "lambda"),
    "a bound method": ("abc".upper, (), {}, TypeError, "method of one object"),
    "no callable": (5, (), {}, TypeError, "not callable"),
    "a name without a module": ("add", (), {}, ValueError, "no module"),
    "a function of __main__": ("__main__.add", (), {}, ValueError, "__main__"),
    "a builtin": ("builtins.eval", (), {}, ValueError, "builtins"),
    "a timeout of nothing": (tasks.nothing, (), {"job_timeout": 0}, ValueError, "job_timeout"),
    "a negative ttl": (tasks.nothing, (), {"ttl": -1}, ValueError, "ttl"),
    "a ttl of nothing": (tasks.nothing, (), {"ttl": 0}, ValueError, "ttl"),
    "a bool for seconds": (tasks.nothing, (), {"job_timeout": True}, ValueError, "job_timeout"),
    "a unit nobody knows": (tasks.nothing, (), {"result_ttl": "5 parsecs"}, ValueError, "result_ttl"),
    "no number": (tasks.nothing, (), {"failure_ttl": float("nan")}, ValueError, "failure_ttl"),
    "a retry of nothing": (tasks.nothing, (), {"retry": 0}, ValueError, "max"),
    "a repeat that is none": (tasks.nothing, (), {"repeat": 3}, TypeError, "Repeat"),
    "meta that is no dict": (tasks.nothing, (), {"meta": [1]}, TypeError, "meta"),
    "meta over its limit": (tasks.nothing, (), {"meta": {"a": "x" * 70_000}}, PayloadTooLarge, "meta"),
    "at_front that is no bool": (tasks.nothing, (), {"at_front": 1}, TypeError, "at_front"),
    "headers that are no text": (tasks.nothing, (), {"headers": {"a": 1}}, TypeError, "headers"),
    "a description that is no text": (tasks.nothing, (), {"description": 5}, TypeError, "description"),
    "an id with a control character": (tasks.nothing, (), {"job_id": "a\nb"}, ValueError, "job id"),
    "an id that is too long": (tasks.nothing, (), {"job_id": "é" * 129}, ValueError, "258 bytes"),
    "an empty id": (tasks.nothing, (), {"job_id": ""}, ValueError, "job id"),
    "an id that is no text": (tasks.nothing, (), {"job_id": 5}, TypeError, "job id"),
    "a callback nobody finds": (tasks.nothing, (), {"on_success": lambda: 1}, ValueError, "lambda"),
    "an argument that is no data": (tasks.echo, (object(),), {}, SerializationError, r"args\[0\]"),
    "one deep inside": (tasks.echo, ({"user": [1, object()]},), {}, SerializationError, r"args\[0\]\['user'\]\[1\]"),
    "one by keyword": (tasks.echo, (), {"value": {1, object}}, SerializationError, r"kwargs\['value'\]"),
    "arguments over the limit": (tasks.echo, ("x" * (1 << 20),), {}, PayloadTooLarge, "over the limit of 1048576"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_what_cannot_work_is_refused_before_anything_is_written(own: Queue, case: str) -> None:
    func, args, kwargs, error, told = BAD_CALLS[case]
    with pytest.raises(error, match=told):
        own.enqueue(func, *args, **kwargs)
    assert own.connection.dbsize() == 0


@pytest.fixture
def own(server: Server) -> Any:
    """A queue in a database that nobody else writes to."""
    with server.client(db=9) as client:
        client.flushdb()
        yield Queue("q", client)
        client.flushdb()


@pytest.mark.parametrize("case", ["a misspelt argument", "an argument that is no data", "a retry of nothing"])
def test_one_bad_item_of_many_writes_none(own: Queue, case: str) -> None:
    func, args, kwargs, error, _ = BAD_CALLS[case]
    good = Queue.prepare_data(tasks.nothing)
    with pytest.raises(error):
        options = {name: kwargs.pop(name) for name in ("retry",) if name in kwargs}
        own.enqueue_many([good, Queue.prepare_data(func, args, kwargs, **options), good])
    assert own.connection.dbsize() == 0


def test_a_bad_name_or_option_of_a_queue_is_refused_where_it_is_made(client: redis.Redis) -> None:
    with pytest.raises(TypeError, match="Did you mean 'result_ttl'"):
        Queue("q", client, result_tl=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="job_id"):
        Queue("q", client, job_id="a")
    with pytest.raises(ValueError, match="namespace"):
        Queue("q", client, namespace="")
    for name in ("", "a\n"):
        with pytest.raises(ValueError, match="queue name"):
            Queue(name, client)


# -- cost --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"job_id": "a"}, {"ttl": 5, "meta": {"a": 1}, "retry": Retry(3), "at_front": True}]
)
def test_an_enqueue_is_exactly_one_round_trip(server: Server, namespace: str, options: Any) -> None:
    with counting_client(server) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.enqueue(tasks.nothing)  # the server may not know the script yet
        Counting.sent.clear()
        queue.enqueue(tasks.nothing, **options)
        assert len(Counting.sent) == 1


def test_a_delayed_enqueue_is_one_round_trip_too(server: Server, namespace: str) -> None:
    with counting_client(server) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.enqueue(tasks.nothing)
        Counting.sent.clear()
        queue.enqueue_in(5, tasks.nothing)
        queue.enqueue_at(datetime.now(UTC) + timedelta(hours=1), tasks.nothing)
        assert len(Counting.sent) == 2


def test_a_script_the_server_forgot_is_loaded_again(queue: Queue, client: redis.Redis) -> None:
    queue.enqueue(tasks.nothing)
    client.script_flush()
    queue.enqueue(tasks.nothing)
    assert queue.count == 2


# -- calls -------------------------------------------------------------------------------------------------------------


def test_arguments_come_in_every_form_rq_has(queue: Queue, work: Work) -> None:
    jobs = [
        queue.enqueue(tasks.add, 1, 2),
        queue.enqueue(tasks.add, 1, b=2),
        queue.enqueue("tests.surface.tasks.add", 1, b=2),
        queue.enqueue("tests.surface.tasks:add", 1, b=2),
        queue.enqueue(tasks.add, args=(1,), kwargs={"b": 2}),
        queue.enqueue_call(tasks.add, (1,), {"b": 2}),
        queue.enqueue_call("tests.surface.tasks.add", args=[1, 2], timeout=5),
    ]
    work()
    assert [job.wait(timeout=0) for job in jobs] == [3] * 7
    assert (jobs[6].timeout, jobs[5].timeout) == (5, 180)


def test_arguments_that_bear_the_names_of_options_go_by_args_and_kwargs(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.options, kwargs={"job_timeout": "mine", "ttl": "mine too"}, job_timeout=7)
    work()
    assert job.wait(timeout=0) == ["mine", "mine too"]
    assert job.timeout == 7


def test_a_dotted_name_is_not_imported_here_and_fails_there(queue: Queue, work: Work) -> None:
    job = queue.enqueue("no_such_module.function")
    work()
    (result,) = job.results()
    assert result.reason == "import"
    assert "no_such_module" in (result.exc_string or "")


def test_timeout_and_job_timeout_together_are_refused(queue: Queue) -> None:
    with pytest.raises(TypeError, match="either timeout or job_timeout"):
        queue.enqueue_call(tasks.nothing, timeout=5, job_timeout=6)


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [90, 90.0, "90", "90s", "1m30s", timedelta(seconds=90)])
def test_durations_are_taken_in_every_form(queue: Queue, client: redis.Redis, given: Any) -> None:
    job = queue.enqueue(tasks.nothing, job_timeout=given, result_ttl=given, failure_ttl=given, ttl=given)
    for handle in (job, Job.fetch(job.id, client, queue.store.namespace)):
        assert (handle.timeout, handle.result_ttl, handle.failure_ttl, handle.ttl) == (90, 90, 90, 90)


def test_the_defaults_are_those_of_rq(queue: Queue, client: redis.Redis) -> None:
    job = Job.fetch(queue.enqueue(tasks.add, 1, b=2).id, client, queue.store.namespace)
    assert (job.timeout, job.result_ttl, job.failure_ttl, job.ttl) == (180, None, 31_536_000, None)
    assert (job.get_result_ttl(500), job.get_ttl(7)) == (500, 7)
    assert job.description == "tests.surface.tasks.add(1, b=2)"
    assert (job.meta, job.origin, job.cycle, job.attempt, job.retries_left) == ({}, "q", 1, 0, 0)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", job.id)


def test_a_queue_has_defaults_and_a_call_overrules_them(client: redis.Redis, namespace: str) -> None:
    queue = Queue("q", client, 7, namespace=namespace, result_ttl=-1, description="as told")
    first, second = queue.enqueue(tasks.nothing), queue.enqueue(tasks.nothing, job_timeout=8, result_ttl=0)
    assert (first.timeout, first.result_ttl, first.description) == (7, -1, "as told")
    assert (second.timeout, second.result_ttl) == (8, 0)


def test_at_front_goes_before_the_others_latest_first(queue: Queue) -> None:
    for name in ("a", "b"):
        queue.enqueue(tasks.nothing, job_id=name)
    for name in ("c", "d"):
        queue.enqueue(tasks.nothing, job_id=name, at_front=True)
    assert queue.job_ids == ["d", "c", "a", "b"]
    assert [queue.get_job_position(one) for one in "dcab"] == [0, 1, 2, 3]
    assert queue.jobs[0].get_position() == 0
    assert (queue.get_job_ids(1, 2), queue.get_job_ids(0, 0)) == (["c", "a"], [])


def test_headers_and_meta_travel(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing, meta={"who": "me", "n": [1, (2, 3)]}, headers={"traceparent": "00-1"})
    read = Job.fetch(job.id, client, queue.store.namespace)
    assert (read.meta, dict(read.headers)) == ({"who": "me", "n": [1, (2, 3)]}, {"traceparent": "00-1"})


# -- later -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["enqueue_at", "prepare_data"])
def test_a_naive_datetime_is_refused_before_anything_is_written(own: Queue, call: str) -> None:
    naive = datetime.now()
    with pytest.raises(ValueError, match="no time zone"):
        if call == "enqueue_at":
            own.enqueue_at(naive, tasks.nothing)
        else:
            own.enqueue_many([Queue.prepare_data(tasks.nothing, at=naive)])
    assert own.connection.dbsize() == 0


def test_a_moment_given_as_a_delay_is_refused_with_the_way_to_go(queue: Queue) -> None:
    with pytest.raises(TypeError, match="use enqueue_at"):
        queue.enqueue_in(datetime.now(UTC), tasks.nothing)  # type: ignore[call-overload]


@pytest.mark.parametrize("delay", [60, 60.0, "1m", timedelta(minutes=1)])
def test_a_delayed_job_is_scheduled_and_knows_when(queue: Queue, delay: Any) -> None:
    job = queue.enqueue_in(delay, tasks.add, 1, result_ttl=7)
    assert job.get_status() is JobStatus.SCHEDULED
    due = queue.scheduled_job_registry.get_scheduled_time(job)
    assert abs(due - datetime.now(UTC) - timedelta(minutes=1)) < timedelta(seconds=2)
    assert job.next_attempt_at == due
    assert (job.result_ttl, queue.count, job.get_position()) == (7, 0, None)


def test_a_moment_in_any_zone_is_the_same_moment(queue: Queue) -> None:
    moment = datetime(2099, 7, 1, 12, tzinfo=UTC)
    elsewhere = moment.astimezone(tz=__import__("zoneinfo").ZoneInfo("Asia/Tokyo"))
    assert queue.enqueue_at(elsewhere, tasks.nothing).next_attempt_at == moment


def test_a_job_that_is_due_runs(queue: Queue, work: Work) -> None:
    past = queue.enqueue_at(datetime(2020, 1, 1, tzinfo=UTC), tasks.add, 1)
    soon = queue.enqueue_in(0.0, tasks.add, 2)
    later = queue.enqueue_in(3600, tasks.add, 3)
    work()
    assert (past.wait(timeout=0), soon.wait(timeout=0)) == (1, 2)
    assert later.is_scheduled


# -- many --------------------------------------------------------------------------------------------------------------


def test_many_are_enqueued_in_their_order_with_all_their_options(queue: Queue, client: redis.Redis) -> None:
    datas = [
        Queue.prepare_data(tasks.add, (1,), {"b": 2}, timeout=5, job_id="a", retry=Retry(2), meta={"x": 1}),
        Queue.prepare_data("tests.surface.tasks.nothing", job_id="b", delay=60, description="later"),
        Queue.prepare_data(tasks.nothing, job_id="c", at=datetime(2099, 1, 1, tzinfo=UTC)),
        Queue.prepare_data(tasks.nothing, job_id="d", at_front=True),
    ]
    jobs = queue.enqueue_many(datas)
    assert [job.id for job in jobs] == ["a", "b", "c", "d"]
    assert queue.job_ids == ["d", "a"]
    read = Job.fetch_many(["a", "b", "c", "nobody"], client, queue.store.namespace)
    assert read[3] is None
    assert read[0] is not None
    assert (read[0].timeout, read[0].retries_left, read[0].meta, read[0].args, read[0].kwargs) == (
        5,
        2,
        {"x": 1},
        (1,),
        {"b": 2},
    )
    assert [job and job.get_status(refresh=False) for job in read[1:3]] == [JobStatus.SCHEDULED] * 2


def test_more_than_five_hundred_take_a_round_trip_for_each_five_hundred(server: Server, namespace: str) -> None:
    with counting_client(server) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.enqueue_many([Queue.prepare_data(tasks.nothing)])
        queue.empty()
        Counting.sent.clear()
        jobs = queue.enqueue_many(Queue.prepare_data(tasks.echo, (number,)) for number in range(1201))
        assert len(Counting.sent) == 3
    assert queue.job_ids == [job.id for job in jobs]
    assert [job.args for job in queue.get_jobs()] == [(number,) for number in range(1201)]
    assert queue.empty() == 1201
    assert queue.counts().queued == 0


def test_none_are_enqueued_without_a_round_trip(queue: Queue) -> None:
    assert queue.enqueue_many([]) == []


def test_refused_items_are_told_by_their_place_and_the_others_are_enqueued(queue: Queue) -> None:
    queue.enqueue(tasks.nothing, job_id="live")
    datas = [Queue.prepare_data(tasks.nothing, job_id=name) for name in ("a", "live", "b", "a")]
    with pytest.raises(EnqueueManyError) as caught:
        queue.enqueue_many(datas)
    error = caught.value
    assert [job and job.id for job in error.jobs] == ["a", None, "b", None]
    assert sorted(error.errors) == [1, 3]
    refusal = error.errors[1]
    assert isinstance(refusal, DuplicateJobError)
    assert (refusal.job_id, refusal.status) == ("live", "queued")
    assert queue.job_ids == ["live", "a", "b"]


class Told(redis.UnixDomainSocketConnection):
    """A connection that tells what happens on it, and lets a test act before something is sent."""

    told: list[str] = []  # noqa: RUF012
    before_sending: Callable[[int], object] = staticmethod(lambda number: None)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        number = self.told.count("sent")
        type(self).before_sending(number)
        self.told.append("sent")
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]

    def read_response(self, *args: Any, **options: Any) -> Any:
        reply = super().read_response(*args, **options)
        self.told.append("read")
        return reply


@pytest.fixture
def telling(server: Server, namespace: str) -> Iterator[Queue]:
    """A queue whose client is on a `Told` connection, the only one of its pool."""
    pool: Any = redis.ConnectionPool(Told, path=str(server.socket), max_connections=1)
    with redis.Redis(connection_pool=pool) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.enqueue_many([Queue.prepare_data(tasks.nothing)])
        queue.empty()
        Told.told.clear()
        yield queue
        Told.before_sending = staticmethod(lambda number: None)


def _numbered(count: int) -> list[EnqueueData]:
    return [Queue.prepare_data(tasks.echo, (number,)) for number in range(count)]


def test_a_chunk_is_sent_before_the_last_one_is_answered(telling: Queue) -> None:
    telling.enqueue_many(_numbered(2500))
    assert Told.told == ["sent", "read", "sent", "sent", "read", "sent", "read", "sent", "read", "read"]


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("trouble", ["the script is forgotten", "the connection is cut"])
def test_trouble_between_two_chunks_neither_loses_nor_doubles_an_item(
    telling: Queue, client: redis.Redis, at: int, trouble: str
) -> None:
    def act(number: int) -> None:
        if number == at and trouble == "the script is forgotten":
            client.script_flush()
        elif number == at:
            client.client_kill_filter(_type="normal", skipme=True)

    Told.before_sending = staticmethod(act)
    jobs = telling.enqueue_many(_numbered(2000))
    assert len(jobs) == 2000
    assert [job.args for job in telling.get_jobs()] == [(number,) for number in range(2000)]
    assert {job.id for job in jobs} == set(telling.job_ids)


def test_a_server_that_is_full_after_some_chunks_says_how_far_it_went(telling: Queue, client: redis.Redis) -> None:
    Told.before_sending = staticmethod(lambda number: client.config_set("maxmemory", "1") if number == 4 else None)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError) as caught:
            telling.enqueue_many(_numbered(4000))
    finally:
        client.config_set("maxmemory", "0")
    (note,) = caught.value.__notes__
    found = re.search(r"of 4000 items: the first (\d+) are enqueued, the next (\d+) may be", note)
    assert found is not None, note
    sure, unsure = map(int, found.groups())
    assert sure >= 500
    assert sure <= telling.count <= sure + unsure < 4000
    assert [job.args for job in telling.get_jobs(0, sure)] == [(number,) for number in range(sure)]
    assert f"the {4000 - sure - unsure} after them are not" in note
    telling.empty()
    assert telling.count == 0, "no answer is left on a connection"


def test_a_server_that_is_away_is_told_with_what_is_in(own_server: Server, namespace: str) -> None:
    with own_server.client(retry=Again(NoBackoff(), 0)) as client:
        queue = Queue("q", client, namespace=namespace)
        own_server.kill()
        with pytest.raises(redis.ConnectionError) as caught:
            queue.enqueue_many(_numbered(1200))
        assert caught.value.__notes__[0].startswith(
            "enqueue_many of 1200 items: the next 500 may be, and the 700 after them are not."
        )


def test_many_can_be_enqueued_by_threads_on_one_client(queue: Queue) -> None:
    many = at_once(lambda number: queue.enqueue_many(_numbered(1300)), 4)
    ids = [job.id for jobs in many for job in cast("list[Job[Any]]", jobs)]
    assert len(set(ids)) == 5200
    assert set(queue.job_ids) == set(ids)


@pytest.mark.parametrize("options", [{"decode_responses": True}, {"protocol": 3}, {"single_connection_client": True}])
def test_any_kind_of_client_can_enqueue_many(server: Server, namespace: str, options: Any) -> None:
    with server.client(**options) as client:
        queue = Queue("q", client, namespace=namespace)
        jobs = queue.enqueue_many(_numbered(1100))
        assert queue.job_ids == [job.id for job in jobs]


def test_ids_of_the_package_are_random_uuids(queue: Queue) -> None:
    ids = [uuid.UUID(job.id) for job in queue.enqueue_many(_numbered(64))]
    assert {(one.version, one.variant) for one in ids} == {(4, uuid.RFC_4122)}
    assert len(set(ids)) == 64


def test_at_and_delay_together_are_refused() -> None:
    with pytest.raises(TypeError, match="either at or delay"):
        Queue.prepare_data(tasks.nothing, at=datetime.now(UTC), delay=5)


# -- limits ------------------------------------------------------------------------------------------------------------


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


TOO_MUCH: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "arguments": ({"args": (b"x" * (1 << 20),)}, PayloadTooLarge, "pass its id or path"),
    "meta": ({"meta": {"a": "x" * (64 << 10)}}, PayloadTooLarge, "store the data elsewhere"),
    "headers": ({"headers": {"a": "x" * (16 << 10)}}, PayloadTooLarge, "pass data as arguments"),
    "headers that are no text": ({"headers": {"a": 1}}, TypeError, "a mapping of str to int"),
    "an id": ({"job_id": "x" * 257}, ValueError, "use a hash"),
    "an id of wide characters": ({"job_id": "é" * 129}, ValueError, "use a hash"),
    "an id with a line end": ({"job_id": "a\nb"}, ValueError, "cannot be printed"),
    "a nest": ({"args": (nested(80),)}, SerializationError, "nested deeper than 64"),
    "a nest in meta": ({"meta": {"a": nested(80)}}, SerializationError, "nested deeper than 64"),
}


@pytest.mark.parametrize(("options", "error", "remedy"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_too_much_is_refused_where_the_caller_stands_and_nothing_is_written(
    queue: Queue, client: redis.Redis, options: dict[str, Any], error: type[Exception], remedy: str
) -> None:
    with pytest.raises(error, match=remedy):
        queue.enqueue(tasks.anything, **options)
    with pytest.raises(error, match=remedy):
        queue.enqueue_many([queue.prepare_data(tasks.nothing), queue.prepare_data(tasks.anything, **options)])
    assert list(client.scan_iter(match=f"{{{queue.store.namespace}}}:*")) == []


def test_what_middleware_adds_counts_in_the_headers(queue: Queue, client: redis.Redis) -> None:
    class Chatty(Middleware):
        def on_enqueue(self, call: Call) -> None:
            call.headers["baggage"] = "x" * (16 << 10)

    use(Chatty())
    try:
        with pytest.raises(PayloadTooLarge, match="headers have"):
            queue.enqueue(tasks.nothing)
    finally:
        use()
    assert list(client.scan_iter(match=f"{{{queue.store.namespace}}}:*")) == []


def test_what_is_just_within_the_limits_runs(queue: Queue, work: Work) -> None:
    job = queue.enqueue(
        tasks.anything,
        b"x" * 1_000_000,
        nested(60),
        job_id="i" * 256,
        headers={"a": "x" * ((16 << 10) - 1)},
        meta={"a": "x" * 60_000},
        description="d" * 5000,
    )
    work()
    job.wait(0)
    assert len(job.description) == 1024
    assert job.headers["a"] == "x" * ((16 << 10) - 1)


def test_an_edited_description_is_checked_as_a_given_one(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    with pytest.raises(TypeError, match="description takes text"):
        job.description = cast(Any, 5)
    job.description = "d" * 5000
    job.save()
    assert len(Job.fetch(job.id, queue.connection, queue.store.namespace).description) == 1024


class Card:
    def __repr__(self) -> str:
        return "4111-secret"


@pytest.mark.parametrize(
    "options", [{"args": (Card(),)}, {"headers": {"a": Card()}}, {"meta": Card()}, {"args": ({"k": Card()},)}]
)
def test_a_refusal_does_not_quote_the_arguments(queue: Queue, options: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        queue.enqueue(tasks.anything, **options)
    assert "secret" not in str(caught.value)
