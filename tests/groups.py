"""A primary, its replicas, and the sentinels that watch them: real processes bound to the life of the test process.

Everything listens on loopback ports. The settings are fast: a primary that is gone is replaced within some seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import redis
from redis.sentinel import Sentinel

from tests.servers import Kind, Server, eventually

SERVICE = "mymaster"
#: A replica is attached at once, and nothing waits for more of them to share its copy.
SERVER_OPTIONS: Mapping[str, str] = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1"}


class SentinelProcess(Server):
    """One sentinel. It writes what it learns into its configuration file, as sentinels do. `first` are settings that
    must stand before those of the primary."""

    def __init__(
        self,
        kind: Kind,
        primary_port: int,
        *,
        host: str = "127.0.0.1",
        first: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        password: str | None = None,
    ) -> None:
        super().__init__(kind, tcp=True, start=False)
        self.password = password
        settings = {
            "port": str(self.port),
            "unixsocket": str(self.socket),
            "dir": str(self.dir),
            **(first or {}),
            f"sentinel monitor {SERVICE}": f"{host} {primary_port} 2",
            f"sentinel down-after-milliseconds {SERVICE}": "1000",
            f"sentinel failover-timeout {SERVICE}": "4000",
            f"sentinel parallel-syncs {SERVICE}": "1",
            **(options or {}),
        }
        (self.dir / "sentinel.conf").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self.start()

    def client(self, **options: object) -> redis.Redis:
        return super().client(**{"password": self.password, **options})

    def _words(self) -> list[str]:
        return [str(self.dir / "sentinel.conf"), "--sentinel"]

    def knows(self, replicas: int, others: int) -> bool:
        """Whether it has found so many replicas and other sentinels."""
        with self.client(decode_responses=True, protocol=2) as client:
            pairs: Any = client.execute_command("SENTINEL", "MASTER", SERVICE)
        said = pairs if isinstance(pairs, dict) else dict(zip(pairs[::2], pairs[1::2], strict=True))
        return (int(said["num-slaves"]), int(said["num-other-sentinels"])) == (replicas, others)

    def primary_port(self) -> int:
        """The port of what it takes for the primary."""
        with self.client(protocol=2) as client:
            host_and_port: Any = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(host_and_port[1])


class Group:
    """A primary with `replicas` replicas and `sentinels` sentinels, of which two must agree."""

    def __init__(
        self,
        kind: Kind = "valkey",
        *,
        replicas: int = 1,
        sentinels: int = 3,
        options: Mapping[str, str] | None = None,
        sentinel_options: Mapping[str, str] | None = None,
    ) -> None:
        self.servers: list[Server] = []
        self.sentinels: list[SentinelProcess] = []
        try:
            for _ in range(1 + replicas):
                self.servers.append(Server(kind, tcp=True, options={**SERVER_OPTIONS, **(options or {})}))
            for server in self.servers[1:]:
                with server.client() as client:
                    client.replicaof("127.0.0.1", str(self.servers[0].port))
            eventually(lambda: self._attached() == replicas, 20, message="the replicas are attached")
            for _ in range(sentinels):
                self.sentinels.append(SentinelProcess(kind, self.servers[0].port, options=sentinel_options))
            others = sentinels - 1
            know = "the sentinels know the replicas and each other"
            eventually(lambda: all(one.knows(replicas, others) for one in self.sentinels), 30, message=know)
        except BaseException:
            self.close()
            raise

    @property
    def hosts(self) -> list[tuple[str, int]]:
        """The addresses of the sentinels, as `redis.sentinel.Sentinel` takes them."""
        return [("127.0.0.1", one.port) for one in self.sentinels]

    @property
    def url(self) -> str:
        """The URL of the group, for `rqlike.connect` and workers."""
        return f"redis+sentinel://{','.join(f'{host}:{port}' for host, port in self.hosts)}/{SERVICE}"

    def primary(self) -> Server:
        """The server that most sentinels take for the primary now."""
        ports = sorted(one.primary_port() for one in self.sentinels)
        return next(server for server in self.servers if server.port == ports[len(ports) // 2])

    def client(self, **options: Any) -> redis.Redis:
        """A client as users make it: by `master_for`."""
        sentinel = Sentinel(self.hosts, sentinel_kwargs={"socket_timeout": 1.0})  # type: ignore[no-untyped-call]
        made: redis.Redis = sentinel.master_for(SERVICE, **options)  # type: ignore[no-untyped-call]
        return made

    def after_failover(self, lost: Server, timeout: float = 30.0) -> Server:
        """Waits until all sentinels name another server than `lost`, and it takes writes; that one."""

        def settled() -> Server | None:
            ports = {one.primary_port() for one in self.sentinels}
            if len(ports) != 1 or lost.port in ports:
                return None
            return next(server for server in self.servers if server.port in ports and _is_primary(server))

        found = eventually(settled, timeout, message="the sentinels agree on another primary")
        assert found is not None
        return found

    def demoted(self, server: Server, timeout: float = 30.0) -> None:
        """Waits until a primary of old has become a replica: the sentinels leave it alone for its first 8 seconds."""

        def is_replica() -> bool:
            with suppress(redis.ConnectionError):  # it closes its connections when it is demoted
                return not _is_primary(server)
            return False

        eventually(is_replica, timeout, 0.05, "the old primary is a replica")

    def _attached(self) -> int:
        with self.servers[0].client() as client:
            facts: dict[str, Any] = client.info("replication")
        return sum(facts.get(f"slave{n}", {}).get("state") == "online" for n in range(len(self.servers)))

    def close(self) -> None:
        """Ends all of them."""
        for one in (*self.sentinels, *self.servers):
            one.close()

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_primary(server: Server) -> bool:
    with server.client() as client:
        return bool(client.info("replication")["role"] == "master")
