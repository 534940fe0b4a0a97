"""`@job`: a function that enqueues itself."""

from __future__ import annotations

import pytest
import redis

from rqlike import Queue
from rqlike.decorators import JobFunction, job
from rqlike.store.store import Store
from tests.servers import Server
from tests.surface import decorated
from tests.surface.conftest import Work


@pytest.fixture(autouse=True)
def found_by_the_environment(server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decorated functions name no connection."""
    monkeypatch.setenv("RQLIKE_REDIS_URL", server.url)
    monkeypatch.setenv("RQLIKE_NAMESPACE", namespace)
    for func in (decorated.plus, decorated.timeout_of):
        func.__dict__.pop("queue", None)
    monkeypatch.setattr(decorated.plus, "_make_queue", lambda: Queue("q"))
    monkeypatch.setattr(decorated.timeout_of, "_make_queue", lambda: Queue("q"))


def test_it_is_callable_as_before() -> None:
    assert decorated.plus(1, b=2) == 3
    assert (decorated.plus.__name__, decorated.plus.__doc__) == ("plus", "The sum.")


def test_delay_and_enqueue_enqueue_a_call(work: Work) -> None:
    jobs = [decorated.plus.delay(1, b=2), decorated.plus.enqueue(1, 2)]
    work()
    assert [one.wait(timeout=0) for one in jobs] == [3, 3]
    assert (jobs[0].timeout, jobs[0].retries_left) == (9, 2)


def test_all_arguments_of_delay_are_the_functions_own(work: Work) -> None:
    one = decorated.timeout_of.delay(job_timeout="mine")
    work()
    assert one.wait(timeout=0) == "mine"
    assert one.timeout == 180


def test_options_are_for_the_calls_made_through_what_it_returns() -> None:
    other = decorated.plus.options(job_timeout=5, at_front=True)
    first, second = decorated.plus.delay(1), other.delay(1)
    assert (first.timeout, second.timeout, second.retries_left) == (9, 5, 2)
    assert second.get_position() == 0


def test_options_of_each_call_do_not_cost_a_connection_each() -> None:
    decorated.plus.delay(1)
    store: Store = decorated.plus.queue.store
    assert all(decorated.plus.options(result_ttl=ttl).queue.store is store for ttl in range(3))


def test_a_wrong_call_is_refused(client: redis.Redis) -> None:
    with pytest.raises(TypeError, match="takes no argument 'c'"):
        decorated.plus.delay(1, c=2)  # type: ignore[call-arg]


def test_bad_options_are_refused_where_they_stand() -> None:
    with pytest.raises(TypeError, match="Did you mean 'result_ttl'"):
        job("q", results_ttl=5)(decorated.raw)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="parentheses"):
        job(decorated.raw)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="brings its own"):
        job(Queue("q"), namespace="x")


def test_the_namespace_may_be_named(client: redis.Redis, namespace: str) -> None:
    made = job("q", client, namespace=namespace + "b", timeout="1m")(decorated.raw)
    assert isinstance(made, JobFunction)
    assert made.queue.store.namespace == namespace + "b"
    assert made.delay().timeout == 60


def test_a_method_is_refused() -> None:
    class Thing:
        plus = decorated.plus

    assert Thing.plus is decorated.plus
    with pytest.raises(TypeError, match="is a method"):
        _ = Thing().plus


def test_importing_and_printing_it_needs_no_server() -> None:
    assert repr(decorated.plus) == "<job tests.surface.decorated.plus>"
