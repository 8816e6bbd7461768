"""Changes to a recipe as the command line takes them."""

import json
import shlex
from collections.abc import Sequence

from finetui_core.preflight.figures import Change


def settings(changes: Sequence[Change]) -> str:
    """The changes as arguments of `ftui train` and `ftui preflight`."""
    return " ".join(
        f"--set {shlex.quote(f'{change.table}.{change.key}={_value(change.value)}')}" for change in changes
    )


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
