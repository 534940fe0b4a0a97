"""Commands that take the common options wherever they stand, and the program that turns errors into exit codes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

import click

from rqlike.cli.context import Session, explained
from rqlike.cli.output import note

_A_SENTENCE: Final = 500  #: characters; more than any has


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    session = ctx.find_object(Session)
    if session is not None and value not in (None, (), False):
        setattr(session, str(param.name), value)


def _common() -> list[click.Option]:
    """The options that may stand before and after any subcommand; the last one said counts."""
    return [
        click.Option(
            ["-u", "--url"],
            metavar="URL",
            expose_value=False,
            callback=_keep,
            help="Server; default RQLIKE_REDIS_URL, REDIS_URL, the embedded one, redis://localhost:6379/0.",
        ),
        click.Option(
            ["-N", "--namespace"],
            metavar="NAME",
            expose_value=False,
            callback=_keep,
            help="Key space; default RQLIKE_NAMESPACE, rqlike.",
        ),
        click.Option(
            ["-P", "--path", "paths"],
            metavar="DIR",
            multiple=True,
            expose_value=False,
            callback=_keep,
            help="Where the code of jobs is imported from; default the current directory. May be repeated.",
        ),
        click.Option(["--json", "json"], is_flag=True, expose_value=False, callback=_keep, help="Data as JSON."),
    ]


class Command(click.Command):
    """A command with the common options, listed apart from its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.common = _common()
        self.params = [*self.params, *self.common]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Its own options, then the common ones, then subcommands."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Options of every command": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                sections["Options of every command" if param in self.common else "Options"].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


class Group(Command, click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Its commands, each with the first sentence of its help; click would cut one that is longer than a line."""
        found = [self.get_command(ctx, name) for name in self.list_commands(ctx)]
        listed = [(one.name or "", one.get_short_help_str(_A_SENTENCE)) for one in found if one and not one.hidden]
        if listed:
            with formatter.section("Commands"):
                formatter.write_dl(listed)


class Program(Group):
    """The outermost group. Commands return an exit code, None being 0; errors become one line on stderr and a code.

    `modules`: its commands, each in the module of `rqlike.cli` that has its name. One is imported when it is asked for,
    so that a worker does not wait for all the others.
    """

    def __init__(self, *args: Any, modules: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = frozenset(modules)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names in order."""
        return sorted(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; None where there is none."""
        if cmd_name in self._modules and cmd_name not in self.commands:
            self.add_command(getattr(import_module(f"rqlike.cli.{cmd_name}"), cmd_name))
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command to call. From here on there may be garbage, see `__main__`, but not among what is there already:
        that is not looked through any more, nor written to in each horse that looks through it."""
        if args and self.get_command(ctx, args[0]) is None:
            for name in self._modules:  # click proposes one of those it has
                self.get_command(ctx, name)
        found = super().resolve_command(ctx, args)
        gc.freeze()
        gc.enable()
        return found

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs and leaves with the exit code; with `standalone_mode=False` returns or raises, as click's own."""
        standalone = extra.pop("standalone_mode", True)
        session = extra.setdefault("obj", Session())
        run: Callable[..., Any] = super().main
        if not standalone:
            return run(*args, standalone_mode=False, **extra)
        try:
            code = run(*args, standalone_mode=False, **extra)
        except Exception as error:
            told = explained(error, session)
            if told is None:
                raise
            code, line = told
            if line:
                note(line)
        finally:
            session.close()
        sys.exit(code or 0)
