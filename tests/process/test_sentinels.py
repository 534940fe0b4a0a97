"""Clients, workers and the command line find a primary by its sentinels, whichever of these answer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.sentinel import Sentinel

from rqlike import Queue, SimpleWorker, Worker, connect
from rqlike.exceptions import RqlikeError
from rqlike.keys import Keys
from rqlike.store import verbs
from rqlike.store.endpoint import Endpoint
from rqlike.store.link import Link
from rqlike.store.resp import INCOMPLETE
from tests.conftest import skip_or_fail, start_or_skip
from tests.groups import SERVICE, Group, SentinelProcess
from tests.process import jobs
from tests.process.workers import Stable, outcome
from tests.servers import ROOT, Server, ServerMissing, eventually, free_port
from tests.surface import tasks
from tests.surface.waiters import waiting


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    """A primary, a replica and three sentinels, shared: any of the two servers may be the primary."""
    try:
        made = Group()
    except ServerMissing as missing:
        skip_or_fail(missing)
    yield made
    made.close()


@pytest.fixture
def stable(group: Group, namespace: str, tmp_path: Path) -> Iterator[Stable]:
    made = Stable(group.primary(), namespace, tmp_path)
    yield made
    made.close()


def url_of(*sentinels: tuple[str, int], service: str = SERVICE, options: str = "") -> str:
    return f"redis+sentinel://{','.join(f'{host}:{port}' for host, port in sentinels)}/{service}{options}"


def trouble_of(url: str, steps: int = 1) -> str:
    """What a worker's link says when it cannot get through."""
    with connect(url) as client:
        link = Link(Endpoint.of(client), Keys("two"), "test")
    link.call(verbs.queues())

    def stuck() -> bool:
        assert link.step() is INCOMPLETE
        return link.trouble is not None and link.connections >= steps

    eventually(stuck, 10)
    link.close()
    return str(link.trouble)


# -- clients -----------------------------------------------------------------------------------------------------------


def test_a_url_names_the_sentinels_and_leads_to_the_primary(group: Group, namespace: str) -> None:
    with connect(group.url, decode_responses=True) as client:
        queue = Queue("q", client, namespace=namespace)
        job = queue.enqueue(tasks.add, 3)
        SimpleWorker(["q"], connection=group.url, namespace=namespace).work(burst=True, logging_level=None)
        assert job.wait(timeout=5) == 3
        assert client.info("replication")["role"] == "master"


def test_a_client_of_valkey_py_that_asks_sentinels_is_a_connection(stable: Stable, group: Group) -> None:
    valkey = pytest.importorskip("valkey.sentinel")
    client = valkey.Sentinel(group.hosts, socket_timeout=1.0).master_for(SERVICE, db=3, decode_responses=True)
    job = Queue("default", client, namespace=stable.namespace).enqueue(tasks.add, 4)
    stable.burst(url=group.url + "/3")
    assert job.wait(timeout=5) == 4


def test_a_client_that_reads_from_replicas_makes_no_worker(group: Group) -> None:
    replicas = Sentinel(group.hosts).slave_for(SERVICE)  # type: ignore[no-untyped-call]
    with pytest.raises(RqlikeError, match="master_for"):
        Worker("q", connection=replicas).work(burst=True, logging_level=None)


def test_an_old_primary_that_says_readonly_sends_all_to_the_new_one(group: Group, stable: Stable) -> None:
    """It keeps the connections it has. The client sends its call again, to the new one, and waiters go on there."""
    worker = stable.start(url=group.url)
    with connect(group.url) as client, stable.server.client() as old:
        queue = Queue("default", client, namespace=stable.namespace)
        outcome(queue.enqueue(jobs.nothing))
        awaited = queue.enqueue(jobs.mark, stable.file("long"), "long", 3.0)
        waiters = waiting(old, lambda: awaited.wait(timeout=30), 2)
        with group.sentinels[0].client() as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", SERVICE)
        primary = group.after_failover(stable.server)
        old.replicaof("127.0.0.1", str(primary.port))  # long before the sentinels do it
        assert queue.enqueue(jobs.echo, 1).wait(timeout=20) == 1
        assert waiters.outcomes(20) == ["long"] * 2
        assert len(awaited.results()) == 1
    worker.terminate()
    assert worker.ends() == 0, worker.log
    assert worker.log.count("is away") <= 2, worker.log


# -- sentinels that do not answer, or not what is wanted ---------------------------------------------------------------


def test_any_sentinel_that_answers_will_do(group: Group, stable: Stable) -> None:
    group.sentinels[0].pause()
    try:
        url = url_of(("127.0.0.1", free_port()), *group.hosts, ("no-such-host.invalid", 1))
        worker = stable.start(url=url)
        with connect(url) as client:
            queue = Queue("default", client, namespace=stable.namespace)
            assert queue.enqueue(jobs.echo, 1).wait(timeout=20) == 1
        worker.terminate()
        assert worker.ends() == 0, worker.log
    finally:
        group.sentinels[0].proceed()


def test_a_sentinel_that_cannot_be_reached_is_named() -> None:
    port = free_port()
    told = trouble_of(url_of(("127.0.0.1", port)))
    assert told.startswith(f"sentinel 127.0.0.1:{port}: ") and "refused" in told


def test_a_service_that_no_sentinel_knows_is_named(group: Group) -> None:
    assert "it knows no primary named 'other'" in trouble_of(url_of(*group.hosts, service="other"))


def test_a_server_that_a_sentinel_names_is_named_in_turn(group: Group) -> None:
    """A password that only the servers lack."""
    host, port = group.hosts[0]
    told = trouble_of(f"redis+sentinel://:s3cret@{host}:{port}/{SERVICE}", 2)
    assert told.startswith(f"primary 127.0.0.1:{group.primary().port}: ")
    assert "s3cret" not in told


def test_a_replica_that_a_sentinel_takes_for_the_primary_is_not_used(group: Group) -> None:
    with Server("valkey", tcp=True) as alone, alone.client() as client:
        late = SentinelProcess("valkey", alone.port)
        try:
            eventually(lambda: late.primary_port() == alone.port)
            client.replicaof("127.0.0.1", "1")
            assert "it is a replica" in trouble_of(url_of(("127.0.0.1", late.port)), 2)
        finally:
            late.close()


def test_a_primary_that_is_named_by_its_host_name_is_refused_with_the_remedy() -> None:
    names = {"sentinel resolve-hostnames": "yes", "sentinel announce-hostnames": "yes"}
    with Server("valkey", tcp=True) as alone:
        namer = SentinelProcess("valkey", alone.port, host="localhost", first=names)
        try:
            assert "announce-hostnames no" in trouble_of(url_of(("127.0.0.1", namer.port)))
        finally:
            namer.close()


def test_servers_and_sentinels_have_passwords_of_their_own(namespace: str, tmp_path: Path) -> None:
    known = {f"sentinel auth-pass {SERVICE}": "s3cret", "user default on >0ther ~* &* +@all": ""}
    with Server("valkey", tcp=True) as alone, alone.client() as client:
        watcher = SentinelProcess("valkey", alone.port, options=known, password="0ther")
        stable = Stable(alone, namespace, tmp_path)
        try:
            client.config_set("requirepass", "s3cret")
            place = f"127.0.0.1:{watcher.port}/{SERVICE}"
            url = f"redis+sentinel://:s3cret@{place}?sentinel_password=0ther"
            worker = stable.start(url=url)
            with connect(url) as by_url:
                queue = Queue("default", by_url, namespace=namespace)
                assert queue.enqueue(jobs.echo, 1).wait(timeout=10) == 1
            assert "s3cret" not in worker.log and "0ther" not in worker.log
            wrong = trouble_of(f"redis+sentinel://:s3cret@{place}?sentinel_password=wr0ng")
            assert wrong.startswith("sentinel ") and "wr0ng" not in wrong
        finally:
            stable.close()
            watcher.close()


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """(certificate, key) of 127.0.0.1, which vouches for itself."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH")
    folder = tmp_path_factory.mktemp("tls")
    made, key = str(folder / "cert.pem"), str(folder / "key.pem")
    words = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=x"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *words, *names, "-keyout", key, "-out", made]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return made, key


def test_servers_and_sentinels_are_spoken_to_by_tls(
    certificate: tuple[str, str], namespace: str, tmp_path: Path
) -> None:
    made, key = certificate
    tls = {"tls-cert-file": made, "tls-key-file": key, "tls-ca-cert-file": made, "tls-auth-clients": "no"}
    tls["tls-replication"] = "yes"  # by which a sentinel speaks to a server, too
    port, sentinel_port = free_port(), free_port()
    start_or_skip("redis7").close()
    alone = Server("redis7", options={**tls, "tls-port": str(port)})
    stable = Stable(alone, namespace, tmp_path)
    watcher = SentinelProcess("redis7", port, first={**tls, "tls-port": str(sentinel_port)})
    place = f"127.0.0.1:{sentinel_port}/{SERVICE}"
    url = f"rediss+sentinel://{place}?ssl_ca_certs={made}"
    try:
        worker = stable.start(url=url)
        with connect(url) as client:
            assert Queue("default", client, namespace=namespace).enqueue(jobs.echo, 1).wait(timeout=10) == 1
        with connect(f"rediss+sentinel://{place}", ssl_ca_certs=made) as client:
            assert client.ping()
        worker.terminate()
        assert worker.ends() == 0, worker.log
        assert "CERTIFICATE_VERIFY_FAILED" in trouble_of(f"rediss+sentinel://{place}")
    finally:
        stable.close()
        watcher.close()
        alone.close()


# -- the command line --------------------------------------------------------------------------------------------------


def rqlike(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rqlike", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_line_takes_the_url(group: Group, namespace: str) -> None:
    made = rqlike("enqueue", "-u", group.url, "-N", namespace, "operator.neg", "%1")
    assert made.returncode == 0, made.stderr
    asked = rqlike("info", "-u", group.url, "-N", namespace)
    assert (asked.returncode, group.url in asked.stdout) == (0, True), asked.stderr
    done = rqlike("worker", "-u", group.url, "-N", namespace, "--burst")
    assert done.returncode == 0, done.stderr
    assert group.url in done.stderr


def test_the_command_line_says_in_one_line_that_there_is_no_such_service(group: Group) -> None:
    url = f"{url_of(*group.hosts, service='other')}?sentinel_password=s3cret"
    asked = rqlike("info", "-u", url)
    assert asked.returncode == 4
    assert "No master found for 'other'" in asked.stderr
    assert "s3cret" not in asked.stderr + asked.stdout


def test_a_sentinel_is_asked_again_when_a_call_is_sent_again(group: Group) -> None:
    """redis-py alone asks when a connection leaves the pool; a call sent again would go to where the primary was."""
    with connect(group.url) as client:
        line: Any = client.connection_pool.get_connection()
        there = line.port
        line.disconnect()
        line.port = free_port()
        line.send_command("PING")
        assert (line.read_response(), line.port) == (b"PONG", there)
        client.connection_pool.release(line)
    assert isinstance(client, redis.Redis)
