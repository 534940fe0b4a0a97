"""How many commands a script gives: what a server does for a job that is enqueued, run and recorded, and for a worker
that has nothing to do. Counts grow by a choice or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from rqlike.store import turns
from tests.servers import Server
from tests.store.builders import Scene, new_job, returned, scene_on


@pytest.fixture(params=["redis7_server", "valkey_server"])
def real_scene(request: pytest.FixtureRequest, namespace: str) -> Iterator[Scene]:
    """fakeredis counts no commands."""
    server: Server = request.getfixturevalue(request.param)
    client = server.client()
    yield scene_on(client, namespace)
    client.close()


def commands(client: redis.Redis) -> int:
    """All commands the server has carried out, those inside scripts too, without the asking."""
    stats: dict[str, Any] = client.info("commandstats")
    aside = ("cmdstat_info", "cmdstat_script|load", "cmdstat_client|setinfo", "cmdstat_hello")
    return sum(stat["calls"] for name, stat in stats.items() if name not in aside)


def given_by(scene: Scene, act: Callable[[], object]) -> int:
    """Commands of one call, its EVALSHA among them. The scene injects the time, which spares one TIME."""
    act()  # the script is loaded by then
    before = commands(scene.client)
    act()
    return commands(scene.client) - before


def test_a_job_is_enqueued_by_seven_commands(real_scene: Scene) -> None:
    ids = iter(f"j{number}" for number in range(10))
    assert given_by(real_scene, lambda: real_scene.enqueue(new_job(next(ids)))) <= 7 + 1


def test_a_chunk_is_enqueued_by_two_commands_per_job_and_a_few(real_scene: Scene) -> None:
    batches = iter([[new_job(f"{batch} {number}") for number in range(250)] for batch in range(2)])
    assert given_by(real_scene, lambda: real_scene.enqueue(*next(batches))) <= 2 * 250 + 7


def test_a_busy_turn_gives_twelve_commands_per_job_and_a_few(real_scene: Scene) -> None:
    scene = real_scene
    scene.enqueue(*(new_job(f"j{number}") for number in range(100)))
    held = list(scene.claim(16))

    def turn() -> None:
        settlements = [scene.judged(execution, returned()) for execution in held]
        held[:] = scene.turn("w", *settlements, want=16).granted

    assert (
        given_by(scene, turn) <= 12 * 16 + 9
    )  # two of these ask whether anything is paused, and whether events are told


def test_an_idle_turn_gives_four_commands_however_many_queues_there_are(real_scene: Scene) -> None:
    scene = real_scene
    for queues in (("q",), ("q", "r", "s")):
        assert given_by(scene, lambda: scene.turn(want=2, sweep=True, queues=queues)) <= 4  # noqa: B023


def test_a_renewal_of_an_idle_worker_gives_six_commands(real_scene: Scene) -> None:
    scene = real_scene
    scene.run(turns.register("w", "i", {"host": "h"}))
    assert given_by(scene, lambda: scene.run(turns.renew("w", {"state": "idle"}, []))) <= 6
