"""Numbers that are not finite, in words: what it was, in which rows, what was done, and the way out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from finetui_core.runs.checkpoints import published
from finetui_core.train.nonfinite import Finding, Row
from finetui_core.train.setup import Session

KIND = "nonfinite"
IN_EVALUATION = "nonfinite_evaluation"
_SHOWN = 3
_RATE = "Lower train.learning_rate, or raise train.warmup_steps"


def alarm_of(
    session: Session, finding: Finding, deed: Literal["stop", "skip", "rollback"], why: str, step: int
) -> dict[str, Any]:
    """The fields of the alarm; `why` says why it is not what the recipe asks for, `step` where the run now stands."""
    done = {
        "stop": "the run stops, " + _last_good(session, finding, step),
        "skip": "its update is left out and the run goes on",
        "rollback": f"the run goes on from step {step:,} and leaves the batch of step {finding.step:,} out",
    }[deed]
    if why:
        done = f"{why}, so {done}"
    evidence = "; ".join(_evidence(session, finding))
    return {
        "kind": KIND,
        "severity": "act" if deed == "stop" else "watch",
        "step": finding.step,
        "message": f"{_what(session, finding)}: {done}" + (f" ({evidence})" if evidence else ""),
        "go_back_to": None,
        "remedy": _remedy(session, finding, deed),
    }


def left_out_again(steps: Sequence[int], step: int) -> dict[str, Any]:
    """The alarm of a run that is resumed before steps that an earlier attempt left out."""
    them = listed([f"step {one:,}" for one in steps])
    message = f"{them} will be left out, as decided when something there was not finite"
    remedy = "The events of the run name the rows (type nonfinite)."
    return {
        "kind": KIND,
        "severity": "watch",
        "step": step,
        "message": message,
        "go_back_to": None,
        "remedy": remedy,
    }


def refusal(tensors: Sequence[str]) -> dict[str, Any]:
    """The alarm of a checkpoint that is not written because of them, but for its step."""
    return {
        "kind": KIND,
        "severity": "act",
        "message": f"no checkpoint of this state is saved: {not_finite(tensors)}",
        "go_back_to": None,
        "remedy": "The checkpoints that are there are good.",
    }


def evaluation_alarm(step: int, loss: float, rows: Sequence[Row], of: int, file: str) -> dict[str, Any]:
    """The alarm of a validation loss that is not finite; `rows` are those whose own loss is not, `of` so many."""
    where = f" ({_rows(rows, file)}; {len(rows):,} of {of:,} rows)" if rows else ""
    return {
        "kind": IN_EVALUATION,
        "severity": "act",
        "step": step,
        "message": f"the validation loss is {loss} and counts for nothing{where}",
        "go_back_to": None,
        "remedy": f"Mend or take out the rows. If it is most of them: {_RATE[0].lower()}{_RATE[1:]}.",
    }


def listed(names: Sequence[str], shown: int = _SHOWN) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _what(session: Session, finding: Finding) -> str:
    if finding.where == "weights":
        of_moments = all("/" in name for name in finding.tensors) and finding.tensors
        return f"{'a moment of the optimizer' if of_moments else 'a trained weight'} is not finite"
    result = f"loss {finding.loss}"
    if finding.where == "gradient":
        result = f"gradient norm {finding.grad_norm}"
    if not _is_of_rows(finding):
        return result
    file = Path(session.recipe.data.train).name
    return f"{_rows(finding.alone, file)} alone {'gives' if len(finding.alone) == 1 else 'give'} {result}"


def _is_of_rows(finding: Finding) -> bool:
    """Whether it is some rows of the batch, and not all of them."""
    return 0 < len(finding.alone) < len(finding.rows)


def not_finite(names: Sequence[str]) -> str:
    """That these weights or moments are; none are named where another process has them."""
    if not names:
        return "a weight of another process is not finite"
    return f"{_named(names)} {'is' if len(names) == 1 else 'are'} not finite"


def _named(tensors: Sequence[str]) -> str:
    """The first of them, without what peft puts before every name."""
    return listed([name.removeprefix("base_model.model.") for name in tensors], 1)


def _last_good(session: Session, finding: Finding, step: int) -> str:
    if finding.where != "weights":
        return f"with the weights of step {step:,}, which are good"
    return (
        "and the newest checkpoint is the last good state"
        if _has_checkpoint(session)
        else "without a checkpoint"
    )


def _has_checkpoint(session: Session) -> bool:
    return bool(published(session.paths.checkpoints))


def _evidence(session: Session, finding: Finding) -> list[str]:
    file = Path(session.recipe.data.train).name
    said = []
    if finding.where != "weights" and not _is_of_rows(finding):
        said.append("every row of the batch gives it alone" if finding.alone else "no row gives it alone")
    if finding.rows:
        said.append(f"the batch: {_rows(finding.rows, file)}")
    if finding.tensors:
        said.append(f"not finite: {_named(finding.tensors)}")
    return said


def _rows(rows: Sequence[Row], file: str) -> str:
    """`row 3 of train.jsonl`, `rows 3, 7, 9 and 5 more of train.jsonl`, or the places of rows from elsewhere."""
    lines = [f"{one:,}" for one in rows if isinstance(one, int)]
    others = [one for one in rows if isinstance(one, str)]
    said = []
    if lines:
        said.append(f"row{'s' if len(lines) > 1 else ''} {listed(lines)} of {file}")
    if others:
        said.append(listed(others, 1))
    return " and ".join(said)


def _remedy(session: Session, finding: Finding, deed: str) -> str:
    if _is_of_rows(finding):
        first = "Look at the rows in the Data station, and mend them or take them out"
    else:
        first = _RATE
    if session.recipe.train.on_nonfinite != "stop" or deed != "stop":
        return f"{first}, in a new run."
    choice = '"rollback"' if finding.where == "weights" else '"skip" or "rollback"'
    return f"{first}, in a new run; or set train.on_nonfinite = {choice} there."
