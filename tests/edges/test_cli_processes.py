"""The command line as a shell sees it: real processes, their exit codes, signals, terminals, and what goes where."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import redis

from rqlike.queue import Queue
from rqlike.states import JobStatus
from rqlike.store import embedded
from rqlike.worker.worker import Worker
from tests.servers import ROOT, Server, eventually, is_gone

LIMIT = 30
TASKS = """
import time

def add(a, b=2):
    return a + b

def boom():
    raise ValueError("as ordered")

def nap(seconds):
    time.sleep(seconds)
    return "slept"
"""

Process = subprocess.Popen[str]
Start = Callable[..., Process]
Finish = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(server: Server, namespace: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RQLIKE_")}
    kept.pop("NO_COLOR", None)
    return {**kept, "PYTHONPATH": str(ROOT), "RQLIKE_REDIS_URL": server.url, "RQLIKE_NAMESPACE": namespace}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with a tasks.py."""
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


@pytest.fixture
def start(environment: Mapping[str, str], project: Path) -> Iterator[Start]:
    """Starts `rqlike ARGS` in the project; what still runs at the end is killed."""
    started: list[Process] = []

    def begin(*words: str, env: Mapping[str, str] | None = None, stderr: int = subprocess.PIPE) -> Process:
        process = subprocess.Popen(
            [sys.executable, "-m", "rqlike", *words],
            cwd=project,
            env={**environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def finish(start: Start) -> Finish:
    """Runs `rqlike ARGS` to its end."""

    def run(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        process = start(*words, env=env)
        out, err = process.communicate(timeout=LIMIT)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    return run


@pytest.fixture
def queue(client: redis.Redis, namespace: str) -> Queue:
    return Queue(connection=client, namespace=namespace)


def lives(client: redis.Redis, namespace: str, *names: str) -> bool:
    return {worker.name for worker in Worker.all(client, namespace=namespace)} >= set(names or ("w",))


# -- worker ------------------------------------------------------------------------------------------------------------


def test_a_burst_does_the_work_and_logs_to_stderr_only(finish: Finish, queue: Queue, server: Server) -> None:
    good, bad = queue.enqueue("tasks.add", 1), queue.enqueue("tasks.boom")
    ended = finish("worker", "--burst")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert f"{server.url} (from RQLIKE_REDIS_URL)" in ended.stderr
    assert good.wait(0) == 3
    assert bad.get_status() is JobStatus.FAILED


def test_a_worker_finds_code_by_its_path_only(finish: Finish, queue: Queue, project: Path) -> None:
    (project / "src").mkdir()
    (project / "src" / "deep.py").write_text("def where(): return __file__\n")
    job = queue.enqueue("deep.where")
    assert finish("worker", "-b", "-q", "-P", "src").stderr == ""
    assert job.wait(0) == str(project / "src" / "deep.py")


def test_a_worker_runs_only_what_allow_names(finish: Finish, queue: Queue) -> None:
    done, refused = queue.enqueue("tasks.add", 1), queue.enqueue("os.getcwd")
    finished = finish("worker", "--burst", "--allow", "nothing.*", "--allow", "tasks.add", queue.name)
    assert finished.returncode == 0, finished.stderr
    assert (done.get_status(), refused.get_status()) == (JobStatus.FINISHED, JobStatus.FAILED)
    assert (
        "os.getcwd is not among the functions this worker is allowed to run (nothing.*, tasks.add)" in finished.stderr
    )


def test_log_lines_can_be_json(finish: Finish, queue: Queue) -> None:
    job = queue.enqueue("tasks.add", 1)
    said = [json.loads(line) for line in finish("worker", "-b", "--log-format", "json").stderr.splitlines()]
    assert [line["job_id"] for line in said if line.get("event") == "job_ended"] == [job.id]


def test_a_warm_shutdown_lets_the_job_end_and_exits_with_0(
    start: Start, queue: Queue, client: redis.Redis, namespace: str, project: Path
) -> None:
    job = queue.enqueue("tasks.nap", 0.3)
    process = start("worker", "-n", "w", "--pid", "w.pid")
    eventually(lambda: job.is_started, LIMIT)
    assert int((project / "w.pid").read_text()) == process.pid
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert job.wait(0) == "slept"
    assert not (project / "w.pid").exists()


def test_workers_stop_sends_a_worker_home(
    start: Start, finish: Finish, queue: Queue, client: redis.Redis, namespace: str
) -> None:
    process = start("worker", "-n", "w")
    eventually(lambda: lives(client, namespace), LIMIT)
    (told,) = json.loads(finish("workers", "ls", "--json").stdout)
    assert (told["name"], told["pid"], told["queues"]) == ("w", process.pid, ["default"])
    assert "w " in finish("info").stdout
    assert finish("workers", "stop", "w").stdout == "w\n"
    assert process.wait(LIMIT) == 0


def test_the_name_of_a_living_worker_is_refused(
    start: Start, finish: Finish, client: redis.Redis, namespace: str
) -> None:
    start("worker", "-n", "w")
    eventually(lambda: lives(client, namespace), LIMIT)
    second = finish("worker", "-n", "w", "-q")
    assert second.returncode == 1
    assert "named 'w' is alive" in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_what_cannot_be_imported_is_told_apart_from_what_raises(finish: Finish, project: Path) -> None:
    (project / "broken.py").write_text("1 / 0\n")
    for option in ("--preload", "--middleware"):
        missing = finish("worker", "-b", option, "nosuch.thing")
        assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1), missing.stderr
        assert "nosuch" in missing.stderr
    raised = finish("worker", "-b", "--preload", "broken")
    assert raised.returncode == 1
    assert "broken.py" in raised.stderr
    assert "ZeroDivisionError" in raised.stderr.splitlines()[-1]


def test_rqs_scheduler_option_is_a_warning(finish: Finish) -> None:
    ended = finish("worker", "-b", "-s")
    assert ended.returncode == 0
    assert "every worker runs due jobs" in ended.stderr


def test_outcomes_that_could_not_be_written_are_exit_code_75(start: Start, own_server: Server, namespace: str) -> None:
    with own_server.client() as client:
        job = Queue(connection=client, namespace=namespace).enqueue("tasks.nap", 0.5)
        process = start("worker", "--shutdown-timeout", "1", env={"RQLIKE_REDIS_URL": own_server.url})
        eventually(lambda: job.is_started, LIMIT)
    own_server.kill()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 75, err
    assert job.id in err


# -- enqueue and wait --------------------------------------------------------------------------------------------------


@pytest.fixture
def working(start: Start, client: redis.Redis, namespace: str) -> Process:
    """A living worker."""
    process = start("worker", "-n", "w", "-c", "2", "-q")
    eventually(lambda: lives(client, namespace), LIMIT)
    return process


def test_enqueue_wait_prints_the_value(finish: Finish, working: Process) -> None:
    assert finish("enqueue", "tasks.add", ":[1]", "b:=[2]", "--wait").stdout == "[1, 2]\n"
    # After --wait comes an argument, not its seconds.
    assert finish("enqueue", "--json", "--wait", "tasks.add", "a", "b=b").stdout == '"ab"\n'
    failed = finish("enqueue", "tasks.boom", "--wait=20")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "ValueError: as ordered" in failed.stderr
    late = finish("enqueue", "tasks.nap", ":5", "--wait=0.2")
    assert (late.returncode, late.stdout) == (5, "")


def test_ctrl_c_while_waiting_is_130_and_the_job_goes_on(start: Start, queue: Queue) -> None:
    process = start("enqueue", "tasks.nap", ":0.1", "--job-id", "j", "--wait")
    assert process.stderr is not None
    assert "j is queued" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert "rqlike jobs wait j" in err
    assert queue.count == 1


def test_a_reader_that_leaves_early_is_no_traceback(start: Start, queue: Queue) -> None:
    queue.enqueue_many([Queue.prepare_data("tasks.add", (1,), description="x" * 900) for _ in range(400)])
    process = start("jobs", "ls", "--json", "-n", "400")
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(LIMIT)
    process.stdout = process.stderr = None


# -- terminals ---------------------------------------------------------------------------------------------------------


def on_a_terminal(start: Start, *words: str, until: str, env: Mapping[str, str] | None = None) -> str:
    """What `rqlike ARGS` writes to a terminal that is its stderr, up to `until`."""
    ours, theirs = pty.openpty()
    try:
        start(*words, stderr=theirs, env=env)
        os.close(theirs)
        seen = ""
        while until not in seen:
            assert select.select([ours], [], [], LIMIT)[0], f"nothing more after {seen!r}"
            try:
                seen += os.read(ours, 4096).decode()
            except OSError:  # Linux says so when the other end is closed.
                raise AssertionError(f"ended after {seen!r}") from None
        return seen
    finally:
        os.close(ours)


def test_whoever_waits_at_a_terminal_learns_that_no_worker_listens(start: Start) -> None:
    on_a_terminal(start, "enqueue", "tasks.add", "1", "--wait", until="start one in another terminal: rqlike worker")


def test_a_module_that_is_not_here_is_told_to_a_terminal_only(start: Start, finish: Finish) -> None:
    assert finish("enqueue", "elsewhere.f").stderr == ""
    on_a_terminal(start, "enqueue", "elsewhere.f", until="there is no module 'elsewhere'")


def test_colours_are_for_terminals_and_not_for_no_color(start: Start, finish: Finish) -> None:
    words = ("worker", "-b", "-s")
    assert "\x1b[33mwarning:" in on_a_terminal(start, *words, until="stopped")
    assert "\x1b" not in on_a_terminal(start, *words, until="stopped", env={"NO_COLOR": "1"})
    assert "\x1b" not in finish(*words).stderr


def test_whoever_deletes_much_at_a_terminal_sees_how_far_it_is(start: Start, queue: Queue) -> None:
    queue.enqueue_many(Queue.prepare_data("tasks.add", (1,)) for _ in range(5_100))
    on_a_terminal(start, "queues", "obliterate", "default", "--yes", until="100%")


# -- server and dev ----------------------------------------------------------------------------------------------------


@pytest.fixture
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of an embedded server, which is stopped in the end."""
    made = tmp_path_factory.mktemp("data") / ".rqlike"
    yield made
    embedded.stop(made)


@pytest.fixture
def ours(data_dir: Path) -> dict[str, str]:
    """An environment whose server is the embedded one."""
    return {"RQLIKE_DATA_DIR": str(data_dir), "RQLIKE_REDIS_URL": ""}


@pytest.mark.usefixtures("valkey_server")
def test_the_embedded_server_starts_tells_of_itself_and_stops(
    finish: Finish, data_dir: Path, ours: Mapping[str, str]
) -> None:
    assert finish("server", "status", env=ours).returncode == 3
    assert finish("server", "logs", env=ours).returncode == 3
    url = finish("server", "start", env=ours).stdout.strip()
    assert url == embedded.url_of(data_dir)
    again = finish("server", "start", env=ours)
    assert (again.stdout.strip(), again.stderr.startswith("runs already")) == (url, True)
    status = finish("server", "status", "--json", env=ours)
    told = json.loads(status.stdout)
    assert (status.returncode, told["running"], told["url"]) == (0, True, url)
    assert "Ready to accept connections" in finish("server", "logs", env=ours).stdout
    assert json.loads(finish("server", "stop", "--json", env=ours).stdout)["stopped"] is True
    assert is_gone(told["pid"])
    assert finish("server", "stop", env=ours).returncode == 0


@pytest.mark.usefixtures("valkey_server")
def test_dev_runs_a_server_and_a_worker_that_reloads(
    start: Start, finish: Finish, project: Path, data_dir: Path, ours: Mapping[str, str]
) -> None:
    process = start("dev", env=ours)
    wait = ("enqueue", "tasks.add", ":1", "--wait=20")
    assert finish(*wait, env=ours).stdout == "3\n"
    (project / "tasks.py").write_text(TASKS.replace("b=2", "b=20"))
    eventually(lambda: finish(*wait, env=ours).stdout == "21\n", LIMIT)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    for part in (embedded.url_of(data_dir), str(data_dir), "rqlike enqueue", "Ctrl-C"):
        assert part in err
    assert "warning" not in err
    assert embedded.status(data_dir).running


@pytest.mark.usefixtures("valkey_server")
def test_dev_can_take_the_server_with_it_and_warns_of_another(
    start: Start, finish: Finish, data_dir: Path, ours: Mapping[str, str], server: Server
) -> None:
    process = start("dev", "--stop-server", env={**ours, "RQLIKE_REDIS_URL": server.url})
    assert finish("enqueue", "tasks.add", ":1", "--wait=20", env=ours).stdout == "3\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert "RQLIKE_REDIS_URL names another server" in err
    assert "server stopped" in err
    assert not embedded.status(data_dir).running


# -- completion --------------------------------------------------------------------------------------------------------


def test_a_shell_gets_the_names_of_commands(finish: Finish) -> None:
    asked = {"_RQLIKE_COMPLETE": "bash_complete", "COMP_WORDS": "rqlike jobs re", "COMP_CWORD": "2"}
    process = finish(env=asked)
    assert process.stdout == "plain,requeue\n"
