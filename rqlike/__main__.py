"""The program: `rqlike`, or `python -m rqlike`."""

import gc

# What imports make is no garbage, and looking for some of it takes a tenth of the start. `Program` turns it on again.
gc.disable()

from rqlike.cli import main  # noqa: E402

if __name__ == "__main__":
    main(prog_name="rqlike")
