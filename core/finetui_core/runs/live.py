"""Which runs are under way, asked again and again at the cost of one stat a run."""

from pathlib import Path

from finetui_core.runs.liveness import Here, judge
from finetui_core.runs.paths import RunPaths, run_ids
from finetui_core.runs.records import Attempt, Heartbeat, read_small


class LiveRuns:
    """Remembers the runs that have ended: their folder of attempts changes when they are resumed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ended: dict[str, int] = {}

    def find(self) -> list[Path]:
        """The folders of the runs under way, newest first. May be called from any one thread."""
        here = Here()
        ids = run_ids(self._root)
        self._ended = {run_id: at for run_id, at in self._ended.items() if run_id in set(ids)}
        return [self._root / run_id for run_id in reversed(ids) if self._is_live(run_id, here)]

    def _is_live(self, run_id: str, here: Here) -> bool:
        paths = RunPaths(self._root / run_id)
        try:
            changed = paths.attempts.stat().st_mtime_ns
        except OSError:
            return False
        if self._ended.get(run_id) == changed:
            return False
        numbers = paths.attempt_numbers()
        attempt = read_small(paths.attempt(numbers[-1]), Attempt) if numbers else None
        if attempt is None:
            return False
        if attempt.end is not None and attempt.end.again is None:
            self._ended[run_id] = changed
            return False
        return judge(attempt, read_small(paths.heartbeat, Heartbeat), None, None, 0.0, None, here).live
