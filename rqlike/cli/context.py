"""What every command shares: which server and namespace are meant, and which exit code an error becomes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import click

from rqlike.exceptions import NoSuchJobError, NoSuchScheduleError, RqlikeError, ServerNotConfigured, WaitTimeout
from rqlike.store.connecting import DEFAULT_URL, Address, checked, client_of, describe, resolve_server
from rqlike.store.store import Store

OK: Final = 0
FAILED: Final = 1  #: a job or an operation failed
USAGE: Final = 2
NOT_FOUND: Final = 3
NO_SERVER: Final = 4
TIMED_OUT: Final = 5
INTERRUPTED: Final = 130

_CONNECT_S: Final = 5.0  #: seconds a person should have to wait for a host that does not answer


class Failure(click.ClickException):
    """Something could not be done; the message says what."""

    exit_code = FAILED


class NotFound(click.ClickException):
    """What was named is not there."""

    exit_code = NOT_FOUND


@dataclass
class Session:
    """One run of the command line: what the options that hold everywhere have said."""

    url: str | None = None
    namespace: str | None = None
    paths: tuple[str, ...] = ()
    json: bool = False

    @cached_property
    def address(self) -> Address:
        """The server that is meant; nothing is sent. Raises click.UsageError, ServerNotConfigured."""
        with usage():
            return resolve_server() if self.url is None else Address(checked(self.url, "-u/--url"), "-u/--url")

    @cached_property
    def store(self) -> Store:
        """The store of the namespace on that server, whose embedded form is started where it does not run."""
        with usage():
            return Store(client_of(self.address, socket_connect_timeout=_CONNECT_S), self.namespace)

    @property
    def client(self) -> Any:
        """The client of the store."""
        return self.store.client

    @property
    def folders(self) -> list[str]:
        """Where user code is imported from: `--path`, by default the current directory; absolute."""
        return [str(Path(path).resolve()) for path in self.paths or (".",)]

    def close(self) -> None:
        """Lets go of the server, where it was talked to."""
        store: Store | None = self.__dict__.get("store")
        if store is not None:
            store.client.close()

    def use(self, address: Address) -> None:
        """Takes `address`, whatever the options and the environment say."""
        self.__dict__["address"] = address


pass_session = click.make_pass_decorator(Session)


@contextmanager
def usage() -> Iterator[None]:
    """Values that the package refuses came from the command line: a usage error in its words."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def explained(error: BaseException, session: Session) -> tuple[int, str] | None:
    """Exit code and line of an error that a user can do something about; None for a defect."""
    if isinstance(error, click.Abort):
        return INTERRUPTED, ""
    if isinstance(error, click.UsageError):
        return USAGE, _usage_line(error)
    if isinstance(error, click.ClickException):
        return error.exit_code, f"rqlike: {error.format_message()}"
    if isinstance(error, RqlikeError):
        return _code_of(error), f"rqlike: {error}"
    if _is_redis(error, "ConnectionError") or _is_redis(error, "TimeoutError"):
        return NO_SERVER, f"rqlike: {unreachable(error, session.address)}"
    if _is_redis(error, "RedisError"):
        return FAILED, f"rqlike: the server {describe(session.address)} refuses: {error}"
    return None


def unreachable(error: BaseException, address: Address) -> str:
    """One line: which server, who chose it, what happened, what to do."""
    why = " ".join(str(error).split()).rstrip(".")
    if type(error).__name__ == "MasterNotFoundError":  # goes on with the objects that redis-py works with
        why = why.partition(" : ")[0]
    if _is_redis(error, "AuthenticationError"):
        remedy = "Put user name and password into the URL: redis://user:password@host:6379/0"
    elif address.url == DEFAULT_URL and not address.embedded:
        remedy = "Start a server there, name one with -u/--url or RQLIKE_REDIS_URL, or pip install 'rqlike[server]'"
    elif address.embedded:
        remedy = "See `rqlike server logs`"
    else:
        remedy = "Start it, or name another with -u/--url or RQLIKE_REDIS_URL"
    return f"cannot reach {describe(address)}: {why}. {remedy}"


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the server cannot be reached."""
    return _is_redis(error, "ConnectionError") or _is_redis(error, "TimeoutError")


def _is_redis(error: BaseException, name: str) -> bool:
    # By name: only the store imports the client library.
    return any(kind.__name__ == name and kind.__module__ == "redis.exceptions" for kind in type(error).__mro__)


def _code_of(error: RqlikeError) -> int:
    if isinstance(error, NoSuchJobError | NoSuchScheduleError):
        return NOT_FOUND
    if isinstance(error, ServerNotConfigured):
        return NO_SERVER
    return TIMED_OUT if isinstance(error, WaitTimeout) else FAILED


def _usage_line(error: click.UsageError) -> str:
    where = error.ctx.command_path if error.ctx is not None else "rqlike"
    if type(error).__name__ == "NoArgsIsHelpError":  # not in all versions of click
        return error.format_message()
    said = " ".join(error.format_message().split()).rstrip(".")
    stop = "" if said.endswith(("?", "?)")) else "."
    return f"{where}: {said[:1].lower()}{said[1:]}{stop} See `{where} --help`"
