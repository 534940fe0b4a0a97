"""The servers of the tests themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import AnyServer
from tests.servers import ROOT, Server, eventually, is_gone


def test_each_kind_answers_and_keeps_to_its_namespace(any_server: AnyServer, namespace: str) -> None:
    client = any_server.client(decode_responses=True)
    assert client.set(f"{{{namespace}}}:x", "1")
    assert any_server().get(f"{{{namespace}}}:x") == b"1"


def test_a_killed_server_comes_back_with_its_aof(own_server: Server) -> None:
    with own_server.client() as client:
        client.set("kept", "yes")
    pid = own_server.pid
    own_server.kill()
    assert is_gone(pid)
    own_server.start()
    with own_server.client() as client:
        assert client.get("kept") == b"yes"


def test_a_paused_server_can_be_closed(own_server: Server) -> None:
    own_server.pause()
    pid = own_server.pid
    own_server.close()
    assert is_gone(pid)
    assert not own_server.dir.exists()


def test_a_server_listens_on_tcp_where_asked() -> None:
    with Server(tcp=True) as server, server.tcp_client() as client:
        assert client.ping()


def test_a_forked_child_does_not_tear_the_server_down(server: Server) -> None:
    child = os.fork()
    if child == 0:
        server.close()
        os._exit(0)
    os.waitpid(child, 0)
    with server.client() as client:
        assert client.ping()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_test_process_leaves_no_server_even_if_a_child_of_it_lives(signum: signal.Signals) -> None:
    script = (
        "import os, time\n"
        "from tests.servers import Server\n"
        "server = Server()\n"
        "child = os.fork()\n"
        "if child: print(server.pid, child, server.dir, flush=True)\n"
        "time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        server_pid, child, directory = owner.stdout.readline().split()
        owner.send_signal(signum)
        eventually(lambda: is_gone(int(server_pid)), message="the server is gone")
        eventually(lambda: not Path(directory).exists(), message="its files are gone")
        os.kill(int(child), signal.SIGKILL)
