"""The error tree: words for programs, facts for handlers, sentences for people."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from rqlike import exceptions
from rqlike.exceptions import (
    CallableNotFound,
    DuplicateJobError,
    EnqueueManyError,
    InvalidJobOperation,
    InvalidTransition,
    JobFailed,
    NoSuchJobError,
    PayloadTooLarge,
    ResultExpired,
    RqlikeError,
    SerializationError,
    TimeoutFormatError,
    WaitError,
    WaitTimeout,
)
from rqlike.timeouts import JobTimeoutException

TREE = [cls for _, cls in inspect.getmembers(exceptions, inspect.isclass) if issubclass(cls, RqlikeError)]
FACTS: dict[str, object] = {"job_id": "a1", "reason": "timeout", "status": "queued", "verb": "start", "size": 9}

every_class = pytest.mark.parametrize("cls", TREE, ids=lambda cls: cls.__name__)


@every_class
def test_every_error_speaks_for_itself_without_facts(cls: type[RqlikeError]) -> None:
    text = str(cls())
    assert len(text) > 20
    assert "{" not in text


@every_class
def test_every_error_survives_pickle_with_its_facts(cls: type[RqlikeError]) -> None:
    error = cls(**FACTS)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is cls
        assert str(again) == str(error)
        assert {name: getattr(again, name) for name in FACTS} == FACTS


@every_class
def test_every_error_reads_each_of_its_facts_without_having_been_given_it(cls: type[RqlikeError]) -> None:
    error = cls()
    for base in cls.__mro__:
        for name in getattr(base, "__annotations__", {}):
            getattr(error, name)


@every_class
def test_every_message_says_what_to_do_in_at_most_a_few_lines(cls: type[RqlikeError]) -> None:
    assert len(str(cls(**FACTS))) < 300


def test_a_code_is_the_class_name_in_snake_case() -> None:
    assert RqlikeError.code == "rqlike_error"
    assert NoSuchJobError.code == "no_such_job_error"
    assert WaitTimeout.code == "wait_timeout"
    assert EnqueueManyError.code == "enqueue_many_error"
    assert len({cls.code for cls in TREE}) == len(TREE)


def test_the_message_is_the_docstring_with_the_facts_filled_in() -> None:
    text = str(InvalidTransition(job_id="a1", verb="requeue", status="started"))
    assert text.startswith("Job a1 is started, where `requeue` is not allowed")


def test_a_fact_that_is_none_reads_as_unknown() -> None:
    assert "status: (unknown)" in str(WaitTimeout(job_id="a1", status=None))


def test_a_message_of_its_own_wins_and_is_not_formatted() -> None:
    error = JobFailed("it says {job_id}", job_id="a1")
    assert str(error) == "it says {job_id}"
    assert error.args == ("it says {job_id}",)
    assert error.job_id == "a1"


def test_a_fact_with_braces_is_shown_as_it_is() -> None:
    assert "{x}" in str(NoSuchJobError(job_id="{x}"))


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (SerializationError, TypeError),
        (PayloadTooLarge, ValueError),
        (TimeoutFormatError, ValueError),
        (WaitTimeout, TimeoutError),
        (WaitTimeout, WaitError),
        (CallableNotFound, ImportError),
        (InvalidTransition, InvalidJobOperation),
        (ResultExpired, NoSuchJobError),
    ],
)
def test_an_error_is_caught_by_the_builtin_that_people_expect(cls: type[RqlikeError], base: type[Exception]) -> None:
    with pytest.raises(base):
        raise cls(job_id="a1")


def test_one_except_clause_catches_them_all() -> None:
    assert len(TREE) > 20
    for cls in TREE:
        with pytest.raises(RqlikeError):
            raise cls


def test_facts_are_the_attributes_of_a_duplicate() -> None:
    error = DuplicateJobError(job_id="a1", status="started")
    assert (error.job_id, error.status) == ("a1", "started")
    assert str(error).startswith("Job a1 exists and is started")


def test_a_subclass_of_a_user_gets_its_own_code() -> None:
    class MyQuotaReached(RqlikeError):
        """Quota {quota} reached."""

    assert MyQuotaReached.code == "my_quota_reached"
    assert str(MyQuotaReached(quota=5)) == "Quota 5 reached."


def test_a_job_timeout_passes_through_except_exception() -> None:
    with pytest.raises(JobTimeoutException) as caught:
        try:
            raise JobTimeoutException(job_id="a1", timeout=1.5)
        except Exception:  # noqa: BLE001  # the very clause it must pass
            pytest.fail("swallowed")
    assert str(caught.value) == "Job a1 ran longer than its 1.5 seconds"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.job_id, again.timeout) == (str(caught.value), "a1", 1.5)
