"""Show on stderr how many function calls of a run are done.

If stderr is not a terminal, the progress bar is written only every 30 seconds. Papermill keeps each
update of a bar in the notebook, so a long run would otherwise add thousands of outputs to the
notebook.
"""

import sys
from typing import TypeAlias

from tqdm import tqdm

Bar: TypeAlias = "tqdm[None]"
_SECONDS_BETWEEN_UPDATES = {True: 0.1, False: 30.0}  # by whether stderr is a terminal


def progress_bar(total: int, *, shown: bool = True) -> Bar:
    """Return a progress bar for ``total`` function calls; if ``shown`` is False, it prints
    nothing.
    """
    pause = _SECONDS_BETWEEN_UPDATES[sys.stderr.isatty()]
    # With miniters=0, only the time since the last update decides whether tqdm prints again.
    return tqdm(
        total=total, unit="step", file=sys.stderr, disable=not shown, mininterval=pause, miniters=0
    )


def say(bar: Bar, text: str) -> None:
    """Write ``text`` behind the progress bar, now or at the bar's next update."""
    bar.set_postfix_str(text, refresh=False)
    bar.update(0)
