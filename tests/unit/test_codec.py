"""Records to bytes and back: nothing is lost, and what cannot be read says so."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqlike import codec, fields
from rqlike.dependency import ON_FAILURE, Need
from rqlike.durations import to_ms
from rqlike.exceptions import DeserializationError
from rqlike.options import Policy
from rqlike.policies import Callback, Repeat, Retry
from rqlike.records import CallRecord, NoticeRecord, ResultRecord
from rqlike.settings import BLOB_LIMIT, DESCRIPTION_LIMIT, TRACEBACK_LIMIT
from rqlike.states import JobStatus, Notice, Reason, ResultType, Unkept

SECONDS = st.integers(1, 10_000_000).map(lambda tenths: tenths / 10)
CALLBACK = st.builds(Callback, st.just("tasks.done"), SECONDS)
MAYBE_CALLBACK = st.one_of(st.none(), CALLBACK)
POLICY = st.builds(
    Policy,
    job_timeout=st.one_of(st.just(-1.0), SECONDS),
    result_ttl=st.one_of(st.none(), st.sampled_from([0.0, -1.0]), SECONDS),
    failure_ttl=st.one_of(st.just(-1.0), SECONDS),
    ttl=st.one_of(st.none(), SECONDS),
    description=st.one_of(st.none(), st.text(max_size=80)),
    retry=st.one_of(st.none(), st.builds(Retry, st.integers(1, 99), st.lists(SECONDS, min_size=1, max_size=3))),
    repeat=st.one_of(st.none(), st.builds(Repeat, st.integers(1, 99), SECONDS)),
    on_success=MAYBE_CALLBACK,
    on_failure=MAYBE_CALLBACK,
    on_stopped=MAYBE_CALLBACK,
    serializer=st.sampled_from(["msgpack", "json", "pickle"]),
    priority=st.integers(-100, 100),
    depends_on=st.lists(
        st.builds(Need, st.text(min_size=1), st.sampled_from(ON_FAILURE), st.booleans()), max_size=3
    ).map(tuple),
    store_result=st.booleans(),
)
CALL = st.builds(
    CallRecord,
    st.text(min_size=1, max_size=40),
    st.binary(max_size=700),
    st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3),
    POLICY,
)


def stored(call: bytes, **values: bytes) -> list[bytes]:
    """The flat fields of a queued job, its call in one field."""
    return [b"s", b"queued", b"q", b"q", b"t", b"5", *chunks("c", call), *flat(values)]


def flat(values: dict[str, bytes]) -> list[bytes]:
    return [part for name, value in values.items() for part in (fields.JOB[name].encode(), value)]


def chunks(prefix: str, data: bytes) -> list[bytes]:
    """As the store keeps a blob: 64 bytes per field up to 512, in one piece above."""
    if len(data) > 512:
        return [f"{prefix}0".encode(), data]
    pieces = [data[at : at + 64] for at in range(0, len(data), 64)]
    return [part for number, piece in enumerate(pieces) for part in (f"{prefix}{number}".encode(), piece)]


@given(call=CALL)
def test_a_call_comes_back_as_it_was(call: CallRecord) -> None:
    assert codec.decode_call(codec.encode_call(call)) == call


@given(st.text(min_size=1, max_size=300), st.one_of(st.binary(max_size=300), st.integers(60_000, 70_000).map(bytes)))
def test_a_plain_call_has_the_same_bytes_by_its_shorter_way(func_name: str, payload: bytes) -> None:
    assert codec.encode_plain_call(func_name, payload) == codec.encode_call(CallRecord(func_name, payload))


@given(call=CALL, data=st.randoms())
def test_a_job_is_read_whatever_the_order_of_its_fields(call: CallRecord, data: object) -> None:
    fields = stored(codec.encode_call(call))
    pairs = list(zip(fields[::2], fields[1::2], strict=True))
    data.shuffle(pairs)  # type: ignore[attr-defined]
    job = codec.decode_job("j", [part for pair in pairs for part in pair])
    assert job is not None and job.call == call and job.call_error == ""


def test_what_is_not_said_does_not_travel() -> None:
    plain = codec.encode_call(CallRecord("f", b""))
    assert len(plain) <= 9
    assert codec.encode_policy(Policy()) == {}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "valid msgpack"),
        (b"\xc1", "valid msgpack"),
        (msgpack.packb({"a": 1}), "not a list"),
        (msgpack.packb([]), "not a list"),
        (msgpack.packb([2, "f", b"", {}, {}]), "format version 2.*reads version 1"),
        (msgpack.packb([1, "f", b""]), "3 parts instead of 5"),
        (msgpack.packb([1, 7, b"", {}, {}]), "wrong types"),
        (msgpack.packb([1, "f", b"", {}, [1]]), "policy is not a map"),
        (msgpack.packb([1, "f", b"", {}, {"t": "soon"}]), "job_timeout"),
        (msgpack.packb([1, "f", b"", {}, {"y": [0]}]), "policy"),
        (msgpack.packb([1, "f", b"", {}, {"i": 101}]), "101 for priority"),
        (msgpack.packb([1, "f", b"", {}, {"i": 1.0}]), "priority"),
        (msgpack.packb([1, "f", b"", {}, {"k": 0}]), "0 for store_result"),
        (b"\x91" * 5000, "valid msgpack"),
    ],
)
def test_a_call_that_cannot_be_read_says_why_and_does_not_hide_its_job(data: bytes, problem: str) -> None:
    with pytest.raises(DeserializationError, match=problem):
        codec.decode_call(data)
    job = codec.decode_job("j", stored(data))
    assert job is not None and job.call is None and job.call_error
    assert job.policy == Policy()


@given(data=st.binary(max_size=200))
def test_foreign_bytes_never_raise_from_a_job(data: bytes) -> None:
    job = codec.decode_job("j", stored(data, meta=b"x", attempt=data, cycle=data, started=data))
    assert job is not None


def test_no_fields_are_no_job_and_an_unknown_status_is_an_error() -> None:
    assert codec.decode_job("j", []) is None
    with pytest.raises(DeserializationError, match="unknown status"):
        codec.decode_job("j", [b"s", b"lost"])


def test_the_later_of_two_fields_holds() -> None:
    job = codec.decode_job("j", [*stored(b""), b"s", b"started", b"k", b"token", b"a", b"3"])
    assert job is not None
    assert (job.status, job.token, job.attempt) == (JobStatus.STARTED, "token", 3)


def test_overrides_lie_over_the_call_and_none_is_the_default() -> None:
    call = CallRecord("f", b"", {}, Policy(job_timeout=5.0, result_ttl=9.0, retry=Retry(2), description="old"))
    over = codec.encode_overrides(Policy(job_timeout=7.0, description="new"))
    job = codec.decode_job("j", [*stored(codec.encode_call(call)), *chunks("o", over)])
    assert job is not None
    assert job.policy == Policy(job_timeout=7.0, retry=Retry(2), description="new")


def test_callback_errors_are_read_by_execution() -> None:
    job = codec.decode_job("j", [*stored(b""), b"!x-1", b"boom", b"!x-2", b"bang"])
    assert job is not None and job.callback_errors == {"x-1": "boom", "x-2": "bang"}


def entry(*fields: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    return (b"7-1", fields)


def test_an_entry_reads_as_an_execution_with_what_was_left_out() -> None:
    record = codec.decode_entry("j", entry(b"t", b"1", b"i", b"x", b"w", b"w1", b"b", b"5", b"d", b"6", b"v", b"\x01"))
    assert isinstance(record, ResultRecord)
    assert (record.type, record.cycle, record.attempt, record.serializer) == (ResultType.SUCCESSFUL, 1, 1, "msgpack")
    assert (record.created_ms, record.started_ms, record.ended_ms, record.value) == (7, 5, 6, b"\x01")
    failed = codec.decode_entry(
        "j", entry(b"t", b"2", b"i", b"x", b"r", b"timeout", b"x", b"tb", b"e", b"T"), {"x": "cb"}
    )
    assert isinstance(failed, ResultRecord)
    assert (failed.reason, failed.exc_string, failed.exc_type, failed.callback_error) == (
        Reason.TIMEOUT,
        "tb",
        "T",
        "cb",
    )


def test_a_notice_is_no_result() -> None:
    notice = codec.decode_entry("j", entry(b"q", b"canceled", b"y", b"3"))
    assert notice == NoticeRecord("7-1", Notice.CANCELED, 3)
    assert codec.decode_results("j", [entry(b"q", b"deleted")]) == []


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ((b"t", b"1", b"k", b"disabled"), Unkept.DISABLED),
        ((b"t", b"1", b"k", b"maxmemory"), Unkept.MAXMEMORY),
        ((b"t", b"1"), Unkept.MAXMEMORY),  # of a version that did not say why
        ((b"t", b"1", b"k", b"\xff"), Unkept.MAXMEMORY),
        ((b"t", b"1", b"v", b"\x01"), None),
        ((b"t", b"2"), None),
    ],
)
def test_an_entry_tells_why_its_value_was_not_kept(fields: tuple[bytes, ...], why: Unkept | None) -> None:
    (record,) = codec.decode_results("j", [entry(b"i", b"x", *fields)])
    assert record.unkept is why


@pytest.mark.parametrize(
    "foreign", [(b"a", b"b"), (b"t", b"9", b"i", b"x"), (b"t", b"x", b"i", b"x"), (b"q", b"what"), (b"t", b"1"), ()]
)
def test_an_entry_of_somebody_else_is_left_out(foreign: tuple[bytes, ...]) -> None:
    assert codec.decode_entry("j", entry(*foreign)) is None


def test_a_worker_comes_back_as_it_was_told() -> None:
    facts = {
        "host": "h",
        "pid": 7,
        "queues": ["a", "ü"],
        "jobs": ("x",),
        "state": "busy",
        "concurrency": 4,
        "working": 9,
    }
    flat_facts = [part if isinstance(part, bytes) else str(part).encode() for part in codec.encode_worker(facts)]
    record = codec.decode_worker("w", flat_facts)
    assert (record.hostname, record.pid, record.queues, record.current_job_ids) == ("h", 7, ("a", "ü"), ("x",))
    assert (record.state, record.concurrency, record.working_ms) == ("busy", 4, 9)


def test_a_worker_with_foreign_fields_is_still_a_worker() -> None:
    record = codec.decode_worker(
        "w", [b"pid", b"x", b"queues", b"\xc1", b"jobs", msgpack.packb([1, "a"]), b"new", b"1"]
    )
    assert (record.pid, record.queues, record.current_job_ids) == (0, (), ("a",))


# -- hostile input -----------------------------------------------------------------------------------------------------

WIRE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=16)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 9) | st.text(max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)
ODD_POLICY = st.dictionaries(st.sampled_from("trfldypsxoz"), WIRE, max_size=4)


def soundness(data: bytes) -> None:
    """It reads as a job, and whatever its policy says can be calculated with."""
    job = codec.decode_job("j", stored(data))
    assert job is not None
    policy = job.policy
    for seconds in (policy.job_timeout, policy.failure_ttl, policy.ttl or 1.0, policy.result_ttl or 1.0):
        assert seconds == -1 or 0 < to_ms(seconds) < 10**14
    assert codec.encode_policy(policy) == codec.encode_policy(codec.decode_policy(codec.encode_policy(policy)))


@given(WIRE.map(msgpack.packb) | st.binary(max_size=300))
def test_any_call_is_read_or_is_a_call_error(data: bytes) -> None:
    soundness(data)


@given(ODD_POLICY, st.dictionaries(WIRE.filter(lambda key: not isinstance(key, list | dict)), WIRE, max_size=2))
def test_any_policy_and_any_headers_are_read_or_are_a_call_error(policy: object, headers: object) -> None:
    soundness(msgpack.packb([codec.CALL_VERSION, "tasks.f", b"", headers, policy]))


@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * 1000 + b"\x01",
        b"\x95" + b"\x91" * 1000 + b"\x01",
        b"\x95\x01\xa1f\xc4\x00\x80\x81\xa1t" + b"\x91" * 1000 + b"\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x00",
        b"x" * (BLOB_LIMIT + 1),
    ],
)
def test_a_nest_or_a_length_beyond_all_bounds_is_a_call_error(data: bytes) -> None:
    job = codec.decode_job("j", stored(data))
    assert job is not None and job.call is None and job.call_error


@given(st.dictionaries(st.sampled_from([name.encode() for name in fields.JOB.values()]), st.binary(max_size=40)))
def test_any_bytes_in_any_field_are_a_job_or_say_that_they_are_none(fields: dict[bytes, bytes]) -> None:
    flat_fields = [part for pair in fields.items() for part in pair]
    try:
        job = codec.decode_job("j", flat_fields)
    except DeserializationError:
        job = codec.unreadable("j", "why", flat_fields)
    assert job is None or abs(job.created_ms) < 10**19


@pytest.mark.parametrize("stored_number", [b"9" * 400, b"1e400", b"nan", b"-inf", b"", b"0x10", b"\xff", b"1" * 19])
def test_a_number_that_rqlike_cannot_have_written_is_none(stored_number: bytes) -> None:
    assert codec.number(stored_number) is None


def test_a_huge_traceback_or_description_of_somebody_else_is_cut() -> None:
    entry = (b"1-0", [b"i", b"e", b"t", b"2", b"x", b"x" * 10**6])
    (record,) = codec.decode_results("j", [entry])
    assert record.exc_string is not None and len(record.exc_string) == 4 * TRACEBACK_LIMIT
    assert len(codec.decode_policy({"d": "x" * 10**6}).description or "") == DESCRIPTION_LIMIT
