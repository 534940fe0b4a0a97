"""Short chaos runs. The long form is `python -m tests.chaos`.

A seed fixes the jobs and the faults, not the instants at which they meet, so each run is another one; what is judged is
what is promised for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rqlike.results import Result
from rqlike.states import JobStatus
from tests.chaos.driver import Run, Settings, run
from tests.chaos.kinds import ALL_QUEUES, LIMITS
from tests.chaos.report import as_text
from tests.chaos.scenes import slots
from tests.conftest import start_or_skip

MIXES = ("kills", "points", "everything")


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    """One of each mix that is asked for, all at the same time: most of it they wait, for leases and retries."""
    start_or_skip("valkey").close()
    given = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    mixes = [mix for mix in MIXES if {"mix": mix} in given]
    settings = [Settings(seed=7, mix=mix, jobs=200, seconds=4.0) for mix in mixes]
    folders = [tmp_path_factory.mktemp(mix) for mix in mixes]
    with ThreadPoolExecutor(len(mixes)) as pool:
        return dict(zip(mixes, pool.map(run, settings, folders), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("mix", MIXES)
def test_whatever_happens_each_job_comes_to_what_is_promised(mix: str, runs: Mapping[str, Run]) -> None:
    done = runs[mix]
    assert not done.violations, as_text(done)
    assert len(done.evidence.strikes) > 2
    assert len(done.evidence.acked) > 100
    assert done.evidence.held
    assert {order.limit for order in done.evidence.orders.values()} > set(LIMITS)
    # those that a look has caught, which are some: a quick job is claimed and gone between two looks
    assert {done.evidence.orders[claim.job_id].limit for claim in done.evidence.claims} & set(LIMITS)
    assert {order.wish for order in done.evidence.orders.values() if order.holds} == {"raise", "return", "replace"}
    # how often each happens in a few seconds is chance
    assert len({given.how for given in done.evidence.given} & {"held", "joined", "cached"}) > 1
    assert {wait.error for wait in done.evidence.waits} > {"", "WaitTimeout"}
    assert done.evidence.unique
    assert done.evidence.denied
    assert done.evidence.batches
    assert {need.on_failure for needs in done.evidence.needs.values() for need in needs} == {"cancel", "run", "wait"}
    assert {done.evidence.jobs[name].status for name in done.evidence.needs.keys() & done.evidence.jobs.keys()} >= {
        JobStatus.FINISHED,
        JobStatus.CANCELED,
    }
    assert any(seen.completed for seen in done.evidence.groups.values() if seen is not None)
    assert len({one.sweep.what for one in done.evidence.swept if one.done}) > 1
    assert {heard.queue for heard in done.evidence.heard if heard.events} == set(ALL_QUEUES)
    assert any(told.lines and told.progress for told in done.evidence.told)
    assert any(isinstance(watched.news[-1], Result) for watched in done.evidence.watched if watched.news)


@pytest.mark.slow
def test_each_second_wise_slot_is_one_job_while_workers_and_the_server_are_killed(tmp_path: Path) -> None:
    start_or_skip("valkey").close()
    figures = slots(tmp_path, count=100, seconds=3.5, gap_s=0.8)
    assert figures["violations"] == []
    assert int(str(figures["slots"])) > 100
    assert figures["kills"]
