"""python -m benchmarks: sets up RQ and huey in environments of their own, measures, prints tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from benchmarks import counts
from benchmarks.environments import HOME, interpreter, versions
from benchmarks.peers import PEERS
from rqlike.store.embedded import find_binary
from rqlike.tables import table

HERE = Path(__file__).parent
PORT = 6490
ENQUEUES, BULK, LATENCIES = 3000, 20_000, 200

#: (server's CPUs, everybody else's): a wake-up across CPUs costs four times one on the same, so pinnings are not mixed
PINS = {"split": ("1", "0"), "one": ("0", "0"), "none": (None, None)}


@contextmanager
def server(binary: str, pin: str) -> Iterator[redis.Redis]:
    """A server on loopback, without persistence, for the time of the block."""
    cpu = PINS[pin][0]
    pinned = ["taskset", "-c", cpu] if cpu else []
    options = ["--port", str(PORT), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([*pinned, binary, *options], stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=PORT)
        for _ in range(200):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.02)
        yield client
    finally:
        process.terminate()
        process.wait()


def measure(python: Path, pin: str, peer: str, what: str, count: int, variant: str = "") -> dict[str, Any]:
    """One measurement in the peer's own interpreter."""
    cpu = PINS[pin][1]
    pinned = ["taskset", "-c", cpu] if cpu else []
    command = [*pinned, python, HERE / "measure.py", peer, what, "--count", str(count), "--variant", variant]
    environment = {**os.environ, "BENCH_PORT": str(PORT), "BENCH_VARIANT": variant}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=HERE)
    if done.returncode:
        print(f"{peer} {variant} {what}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return {}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def plan(peers: list[str], pin: str) -> Iterator[tuple[str, str, int, str]]:
    """(peer, what, count, variant) of one round; the peers take turns in everything."""
    for peer in peers:
        yield peer, "enqueue", ENQUEUES, ""
    for peer in peers:
        yield peer, "bulk", BULK, ""
    for peer in peers:
        for variant, count in PEERS[peer].drain.items():
            if not variant.startswith("c") or pin == "none":
                yield peer, "drain", count, variant
    for peer in peers:
        for variant in PEERS[peer].round_trips:
            yield peer, "latency", LATENCIES, variant


Runs = dict[tuple[str, str, str], list[dict[str, Any]]]


def rounds(number: int, peers: list[str], pin: str) -> Runs:
    """All measurements, interleaved by rounds."""
    pythons = {peer: interpreter(peer) for peer in peers}
    runs: Runs = defaultdict(list)
    for turn in range(number):
        for peer, what, count, variant in plan(peers, pin):
            print(f"round {turn + 1}/{number}: {peer} {variant} {what}        ", end="\r", file=sys.stderr)
            result = measure(pythons[peer], pin, peer, what, count, variant)
            if result:
                runs[what, peer, variant].append(result)
    for peer in peers:
        variant = next(iter(PEERS[peer].drain))
        result = measure(pythons[peer], pin, peer, "idle", 1, variant)
        if result:
            runs["idle", peer, variant].append(result)
    return runs


def timed_tables(runs: Runs) -> Iterator[str]:
    """One table per kind of measurement: medians, spread, and the ratio to RQ's first variant."""
    titles = {"enqueue": "enqueue, one by one", "bulk": "enqueue_many", "drain": "drain of no-op jobs, one worker"}
    for what, title in titles.items():
        yield f"\n{title}\n" + table(
            ("queue", "variant", "jobs/s", "range", "x RQ"), _rates(runs, what), right=(2, 3, 4)
        )
    yield "\nenqueue to value, idle worker\n" + table(
        ("queue", "variant", "p50 ms", "p99 ms", "x RQ"), _latencies(runs), right=(2, 3, 4)
    )
    idle = [
        (peer, variant, f"{got[0]['commands_per_s']:.1f}", f"{got[0]['pss_mb']:.1f}")
        for (kind, peer, variant), got in runs.items()
        if kind == "idle"
    ]
    yield "\nidle worker\n" + table(("queue", "variant", "commands/s", "PSS MB"), idle, right=(2, 3))


def _rates(runs: Runs, what: str) -> list[tuple[str, ...]]:
    found = {key[1:]: [run["per_s"] for run in got] for key, got in runs.items() if key[0] == what}
    base = next((statistics.median(got) for (peer, _), got in found.items() if peer == "rq"), None)
    return [
        (
            peer,
            variant,
            f"{statistics.median(got):,.0f}",
            f"{min(got):,.0f} to {max(got):,.0f}",
            f"{statistics.median(got) / base:.2f}" if base else "",
        )
        for (peer, variant), got in found.items()
    ]


def _latencies(runs: Runs) -> list[tuple[str, ...]]:
    found = {key[1:]: got for key, got in runs.items() if key[0] == "latency"}
    medians = {key: statistics.median(run["p50_ms"] for run in got) for key, got in found.items()}
    base = medians.get(("rq", "fork"))
    return [
        (
            peer,
            variant,
            f"{medians[peer, variant]:.2f}",
            f"{statistics.median(run['p99_ms'] for run in got):.2f}",
            f"{medians[peer, variant] / base:.3f}" if base else "",
        )
        for (peer, variant), got in found.items()
    ]


def counted_table(client: redis.Redis) -> str:
    """The counts, with what they are to stay under."""
    drained = counts.drain_counts(client)
    small, large = counts.bytes_per_job(client, 0), counts.bytes_per_job(client, counts.ARGUMENT)
    rows = (
        ("round trips per enqueue", f"{counts.enqueue_round_trips(client):.2f}", "1"),
        ("round trips per no-op job, busy worker", f"{drained['calls_per_job']:.3f}", "1.1"),
        ("connections opened by a drain of 2,000 jobs", f"{drained['connections']:.0f}", "3, at its start"),
        ("bytes per queued no-op job", f"{small['queued']:.0f}", "500"),
        ("bytes per finished no-op job with its result", f"{small['finished']:.0f}", "1,100"),
        ("bytes per queued job with 120 B of arguments", f"{large['queued']:.0f}", "600"),
        ("bytes per finished job with 120 B of arguments", f"{large['finished']:.0f}", "1,250"),
        ("job hash in compact form", "yes" if small["listpack"] and large["listpack"] else "no", "yes"),
    )
    return "\ncounts\n" + table(("what", "measured", "at most"), rows, right=(1, 2))


def main() -> None:
    """Reads the command line, measures, prints, keeps the raw records."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--peers", default="rq,huey,rqlike")
    options.add_argument("--pin", choices=PINS, default="split" if shutil.which("taskset") else "none")
    options.add_argument("--counts", action="store_true", help="only what is counted and not timed")
    given = options.parse_args()
    binary = shutil.which("redis-server") or str(find_binary(allow_path=True))
    with server(binary, given.pin) as client:
        info = client.info("server")
        name = f"valkey {info['valkey_version']}" if "valkey_version" in info else f"redis {info['redis_version']}"
        print(f"{name}, Python {platform.python_version()}, {os.cpu_count()} CPUs, pinning {given.pin}")
        print(counted_table(client))
        if given.counts:
            return
        runs = rounds(given.rounds, given.peers.split(","), given.pin)
        for peer in given.peers.split(","):
            print(versions(peer))
        for text in timed_tables(runs):
            print(text)
    (HOME / "results.json").write_text(json.dumps([[*key, got] for key, got in runs.items()], indent=1))


if __name__ == "__main__":
    main()
