"""One execution: whatever the function does, an outcome comes back, and it tells the truth."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Never

import pytest

from rqlike.callables import reference_of
from rqlike.options import Policy
from rqlike.outcomes import Outcome
from rqlike.policies import Retry
from rqlike.records import CallRecord
from rqlike.running.current import get_current_job
from rqlike.running.deadline import Deadline
from rqlike.running.executor import Rig, execute, run
from rqlike.running.middleware import Middleware
from rqlike.running.tracebacks import clip, text_of
from rqlike.serializers import Serializer, dumps_call, loads_result, resolve_serializer
from rqlike.settings import TRACEBACK_LIMIT
from rqlike.states import Reason

HERE = __name__
JOB = object()


# -- functions that run as jobs ----------------------------------------------------------------------------------------


def echo(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


def nothing() -> None:
    pass


def own_id() -> bool:
    return get_current_job() is JOB


def boom(message: str = "boom") -> Never:
    raise ValueError(message)


def inner() -> Never:
    boom("from below")


def chained() -> Never:
    try:
        boom("the cause")
    except ValueError as error:
        raise LookupError("the consequence") from error


def leaves() -> Never:
    sys.exit(3)


def interrupted() -> Never:
    raise KeyboardInterrupt


def out_of_memory() -> Never:
    raise MemoryError


def endless_recursion() -> int:
    return endless_recursion() + 1


def many_things() -> Never:
    raise ExceptionGroup("several", [ValueError("first"), ExceptionGroup("inside", [TypeError("second")])])


def unserialisable() -> dict[str, object]:
    return {"when": object()}


def big(size: int) -> bytes:
    return bytes(size)


def try_again() -> Retry:
    return Retry(2, [5])


async def coroutine(value: int) -> int:
    await asyncio.sleep(0)
    return value + 1


async def failing_coroutine() -> Never:
    await asyncio.sleep(0)
    raise ValueError("in a coroutine")


def returns_a_coroutine() -> Any:
    return coroutine(41)


LEAK: contextvars.ContextVar[int] = contextvars.ContextVar("LEAK", default=0)


def leak() -> int:
    before = LEAK.get()
    LEAK.set(before + 1)
    return before


class Spiteful(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")

    __repr__ = __str__


def spite() -> Never:
    raise Spiteful


def surrogates() -> Never:
    raise ValueError("file \udcff")


def long_message(size: int) -> Never:
    raise ValueError("<" + "x" * size + ">")


def huge_argument() -> Never:
    raise ValueError(list(range(3_000_000)))


def with_a_note() -> Never:
    error = ValueError("noted")
    error.add_note("while doing this")
    raise error


def huge_group() -> Never:
    raise ExceptionGroup("many", [ValueError(str(number)) for number in range(100_000)])


def calls_asyncio() -> None:
    asyncio.run(failing_coroutine())


def go(func: Callable[..., Any] | str, *args: Any, policy: Policy | None = None, **rig: Any) -> Outcome:
    name = func if isinstance(func, str) else reference_of(func)
    policy = policy or Policy()
    payload = dumps_call(resolve_serializer(policy.serializer), args, {})
    call = CallRecord(name, payload, {}, policy)
    return execute(call, JOB, job_id="j1", execution_id="e1", deadline=Deadline(), **rig)


def value_of(outcome: Outcome) -> Any:
    assert outcome.reason is None, outcome.exc_string
    assert outcome.value is not None
    return loads_result(resolve_serializer("msgpack"), outcome.value)


def text(outcome: Outcome) -> str:
    assert outcome.exc_string is not None
    assert outcome.value is None
    return outcome.exc_string


# -- what returned -----------------------------------------------------------------------------------------------------


def test_a_value_comes_back_with_its_times() -> None:
    outcome = go(echo, 1, "a")
    assert value_of(outcome) == [[1, "a"], {}]
    assert 0 < outcome.began_s <= outcome.ended_s
    assert (outcome.exc_type, outcome.exc_string, outcome.retry) == (None, None, None)


def test_none_is_a_value() -> None:
    assert go(nothing).value == b"\xc0"


def test_the_function_can_ask_which_job_it_is() -> None:
    assert value_of(go(own_id)) is True
    assert get_current_job() is None


@pytest.mark.parametrize("func", [coroutine, returns_a_coroutine])
def test_coroutines_are_run_to_their_end(func: Callable[..., Any]) -> None:
    assert value_of(go(func, 41) if func is coroutine else go(func)) == 42


def test_context_variables_do_not_leak_into_the_next_job() -> None:
    assert [value_of(go(leak)), value_of(go(leak))] == [0, 0]
    assert LEAK.get() == 0


def test_a_returned_retry_is_carried_and_is_no_value() -> None:
    outcome = go(try_again)
    assert (outcome.reason, outcome.retry, outcome.value) == (Reason.RETRY_RETURNED, Retry(2, [5]), None)


def test_the_calls_own_serializer_reads_and_writes() -> None:
    outcome = go(echo, 1, policy=Policy(serializer="json"))
    assert outcome.value == b"[[1],{}]"


# -- what raised -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("func", "exc_type"),
    [
        (boom, "builtins.ValueError"),
        (failing_coroutine, "builtins.ValueError"),
        (leaves, "builtins.SystemExit"),
        (interrupted, "builtins.KeyboardInterrupt"),
        (out_of_memory, "builtins.MemoryError"),
        (endless_recursion, "builtins.RecursionError"),
        (many_things, "builtins.ExceptionGroup"),
        (spite, f"{HERE}.Spiteful"),
    ],
)
def test_every_exception_is_the_jobs(func: Callable[..., Any], exc_type: str) -> None:
    outcome = go(func)
    assert (outcome.reason, outcome.exc_type) == (Reason.EXCEPTION, exc_type)
    assert exc_type.rpartition(".")[2] in text(outcome)


def test_a_call_that_does_not_fit_is_an_exception_of_the_job() -> None:
    outcome = go(own_id, 1, 2)
    assert (outcome.reason, outcome.exc_type) == (Reason.EXCEPTION, "builtins.TypeError")
    assert "own_id()" in text(outcome)


def test_the_exception_itself_is_at_hand_for_callbacks() -> None:
    call = CallRecord(f"{HERE}.boom", dumps_call(resolve_serializer("msgpack"), [], {}))
    ran = run(call, JOB, Rig(Deadline()), job_id="j", execution_id="e")
    assert isinstance(ran.error, ValueError)
    assert ran.error.__traceback__ is not None


# -- what never began or cannot be stored ------------------------------------------------------------------------------


def test_a_function_that_is_not_there_is_named() -> None:
    outcome = go(f"{HERE}.mising")
    assert (outcome.reason, outcome.exc_type) == (Reason.IMPORT, "rqlike.exceptions.CallableNotFound")
    assert "mising" in text(outcome)
    assert "Traceback" not in text(outcome), "there is no frame of the user's in it"


def test_a_module_that_is_not_there_brings_the_way_to_name_its_path() -> None:
    assert "--path" in text(go("no_such_module_here.f"))


def test_a_module_that_raises_while_it_is_imported_shows_where(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_tasks_module.py").write_text("x = 1\nraise OSError('no config')\n")
    monkeypatch.syspath_prepend(tmp_path)
    outcome = go("broken_tasks_module.f")
    assert outcome.reason is Reason.IMPORT
    assert "no config" in text(outcome)
    assert "broken_tasks_module.py" in text(outcome)


def test_a_module_that_interrupts_its_import_is_an_outcome_too(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "interrupting_tasks_module.py").write_text("raise KeyboardInterrupt\n")
    monkeypatch.syspath_prepend(tmp_path)
    outcome = go("interrupting_tasks_module.f")
    assert (outcome.reason, outcome.exc_type) == (Reason.IMPORT, "builtins.KeyboardInterrupt")


def test_a_call_that_cannot_be_read_says_why() -> None:
    outcome = execute(
        None, JOB, job_id="j1", execution_id="e", deadline=Deadline(), call_error="format version 9, this reads 1"
    )
    assert outcome.reason is Reason.SERIALIZATION
    assert "j1" in text(outcome)
    assert "format version 9" in text(outcome)


def test_arguments_that_cannot_be_read_say_so() -> None:
    call = CallRecord(f"{HERE}.echo", b"\xc1 no msgpack")
    outcome = execute(call, JOB, job_id="j1", execution_id="e", deadline=Deadline())
    assert (outcome.reason, outcome.exc_type) == (Reason.SERIALIZATION, "rqlike.exceptions.DeserializationError")
    assert "j1" in text(outcome)
    assert f"{HERE}.echo" in text(outcome)


def test_a_serializer_that_this_worker_lacks_is_named() -> None:
    call = CallRecord(f"{HERE}.echo", b"", {}, Policy(serializer="yaml"))
    outcome = execute(call, JOB, job_id="j1", execution_id="e", deadline=Deadline())
    assert outcome.reason is Reason.SERIALIZATION
    assert "'yaml'" in text(outcome)


def test_the_workers_own_serializer_is_known_by_its_name() -> None:
    class Hex:
        name = "hex"

        def dumps(self, obj: Any, /) -> bytes:
            return resolve_serializer("json").dumps(obj).hex().encode()

        def loads(self, data: bytes, /) -> Any:
            return resolve_serializer("json").loads(bytes.fromhex(data.decode()))

    own: Serializer = Hex()
    call = CallRecord(f"{HERE}.echo", dumps_call(own, [7], {}), {}, Policy(serializer="hex"))
    outcome = execute(call, JOB, job_id="j", execution_id="e", deadline=Deadline(), serializer=own)
    assert outcome.value == b"[[7],{}]".hex().encode()


def test_a_result_that_cannot_be_stored_fails_the_job_and_names_the_place() -> None:
    outcome = go(unserialisable)
    assert (outcome.reason, outcome.exc_type) == (Reason.SERIALIZATION, "rqlike.exceptions.SerializationError")
    assert "result['when']" in text(outcome)
    assert outcome.ended_s >= outcome.began_s > 0


def test_a_result_over_the_limit_fails_the_job_and_names_both_sizes() -> None:
    assert value_of(go(big, 90, payload_limit=100)) == bytes(90)
    outcome = go(big, 200, payload_limit=100)
    assert (outcome.reason, outcome.exc_type) == (Reason.TOO_LARGE, "rqlike.exceptions.PayloadTooLarge")
    assert "202 bytes" in text(outcome)
    assert "100" in text(outcome)


def test_only_allowed_functions_run() -> None:
    assert value_of(go(nothing, allow=[f"{HERE}.*"])) is None
    outcome = go(nothing, allow=["tasks.*"])
    assert outcome.reason is Reason.IMPORT
    assert "allowed" in text(outcome)


def test_a_module_that_an_allowed_module_imports_is_not_allowed_by_that() -> None:
    outcome = go(f"{HERE}.asyncio.get_event_loop_policy", allow=[f"{HERE}.*"])
    assert outcome.reason is Reason.IMPORT


# -- tracebacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("func", [inner, failing_coroutine, chained])
def test_tracebacks_begin_at_the_users_frames(func: Callable[..., Any]) -> None:
    told = text(go(func))
    assert told.startswith("Traceback (most recent call last):\n")
    first = told.splitlines()[1]
    assert "test_executor.py" in first
    assert "rqlike/running" not in told
    assert "asyncio/" not in told


def test_frames_below_the_users_stay() -> None:
    assert "asyncio/runners.py" in text(go(calls_asyncio))


def test_the_chain_of_causes_is_told_in_pythons_words() -> None:
    told = text(go(chained))
    cause, _, consequence = told.partition("\nThe above exception was the direct cause of the following exception:\n")
    assert cause.rstrip().endswith("ValueError: the cause")
    assert consequence.endswith("LookupError: the consequence")


def test_all_members_of_a_group_are_told() -> None:
    told = text(go(many_things))
    assert "several" in told
    assert "ValueError: first" in told
    assert "TypeError: second" in told


def test_notes_are_told() -> None:
    assert text(go(with_a_note)).endswith("ValueError: noted\nwhile doing this")


def test_an_exception_without_a_text_does_no_harm() -> None:
    assert "Spiteful: <its text cannot be shown: RuntimeError>" in text(go(spite))


def test_a_text_that_has_no_utf8_form_is_escaped() -> None:
    told = text(go(surrogates))
    assert "file \\udcff" in told
    told.encode()


def test_a_long_message_keeps_its_head_and_its_tail() -> None:
    told = text(go(long_message, 10 * TRACEBACK_LIMIT))
    assert len(told) <= TRACEBACK_LIMIT
    assert "ValueError: <xxx" in told
    assert told.endswith("xxx>")
    assert "characters left out" in told


@pytest.mark.parametrize("func", [huge_argument, huge_group, endless_recursion])
def test_what_is_huge_is_cut_short(func: Callable[..., Any]) -> None:
    told = text(go(func))
    assert len(told) <= TRACEBACK_LIMIT
    assert "left out" in told or "..." in told


def test_a_chain_that_never_ends_is_cut_short() -> None:
    error: BaseException = ValueError("0")
    for number in range(1, 1000):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    told = text_of(error)
    assert told.startswith("… earlier exceptions left out …")
    assert told.endswith("ValueError: 999")


def test_a_chain_in_a_circle_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    assert text_of(first).count("ValueError: first") == 1


def test_a_syntax_error_shows_its_place() -> None:
    with pytest.raises(SyntaxError) as caught:
        compile("def f(:\n", "tasks.py", "exec")
    assert 'File "tasks.py", line 1' in text_of(caught.value)


@pytest.mark.parametrize("limit", [40, 41, 100, 999])
def test_clipping_keeps_to_the_limit_and_counts_what_it_leaves_out(limit: int) -> None:
    whole = "".join(chr(ord("a") + n % 26) for n in range(1000))
    clipped = clip(whole, limit)
    assert len(clipped) <= limit
    head, rest = clipped.split("\n… ")
    count, tail = rest.split(" characters left out …\n")
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert len(head) + int(count) + len(tail) == 1000
    assert clip(whole, 1000) == whole


# -- middleware --------------------------------------------------------------------------------------------------------


class Around(Middleware):
    def __init__(self, *, before: Exception | None = None, after: Exception | None = None, swallow: bool = False):
        self.before, self.after, self.swallow = before, after, swallow
        self.seen: list[object] = []

    @contextmanager
    def around_job(self, job: Any) -> Iterator[None]:
        self.seen.append(job)
        if self.before is not None:
            raise self.before
        try:
            yield
        except BaseException as error:
            self.seen.append(error)
            if not self.swallow:
                raise
        if self.after is not None:
            raise self.after


def test_middleware_surrounds_the_job_and_sees_its_exception() -> None:
    one = Around()
    assert go(boom, middleware=[one]).exc_type == "builtins.ValueError"
    assert one.seen[0] is JOB
    assert isinstance(one.seen[1], ValueError)


def test_middleware_cannot_turn_a_failure_into_a_success() -> None:
    outcome = go(boom, middleware=[Around(swallow=True)])
    assert (outcome.reason, outcome.exc_type) == (Reason.EXCEPTION, "builtins.ValueError")


@pytest.mark.parametrize("where", ["before", "after"])
def test_what_middleware_raises_is_the_jobs_exception(where: str) -> None:
    outcome = go(nothing, middleware=[Around(**{where: LookupError("no tenant")})])  # type: ignore[arg-type]
    assert (outcome.reason, outcome.exc_type) == (Reason.EXCEPTION, "builtins.LookupError")
    assert outcome.ended_s >= outcome.began_s > 0


def test_context_variables_set_by_middleware_reach_the_job() -> None:
    class Setting(Middleware):
        @contextmanager
        def around_job(self, job: Any) -> Iterator[None]:
            LEAK.set(100)
            yield

    assert value_of(go(leak, middleware=[Setting()])) == 100
    assert LEAK.get() == 0
