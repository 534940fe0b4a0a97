"""`python -m rqlike`: the command line without its script."""

from rqlike.cli import main

main(prog_name="rqlike")
