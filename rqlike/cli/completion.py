"""`rqlike completion`: the script that teaches a shell to complete `rqlike`."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from rqlike.cli.output import emit
from rqlike.cli.program import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    bash and zsh: eval "$(rqlike completion bash)"; fish: rqlike completion fish | source
    """
    kind = get_completion_class(shell)
    assert kind is not None, "the choice above lists what click knows"
    # The script itself, without the look at the installed bash that BashComplete adds.
    emit(ShellComplete.source(kind(ctx.find_root().command, {}, "rqlike", "_RQLIKE_COMPLETE")))
