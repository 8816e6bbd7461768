"""What a run records of the consent to its model's own code, and its trainer goes by."""

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.remote_code import may_run_code, pin_of
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import Identity, read_small


def check_recorded_consent(paths: RunPaths, recipe: Recipe) -> None:
    """Raise InputError where the code that the run's recipe wants to run is not the code that it was started with.

    The record alone is no consent, since a run directory may be anybody's: this user must have agreed as well.
    """
    pin = pin_of(recipe.model)
    if pin is None:
        return
    identity = read_small(paths.identity, Identity)
    recorded = (
        identity.remote_code.pin if identity is not None and identity.remote_code is not None else "none"
    )
    if recorded != pin:
        what = f"the run was started with the consent to the code {recorded}, and the model's code is {pin}"
        raise InputError(Problem(what, str(paths.identity), "Put that code back, or start a new run."))
    may_run_code(recipe.model)


def accepts_data_errors(paths: RunPaths, *, resumes: bool) -> bool:
    """Whether rows with errors are trained on: the person said so, or the run has begun with these rows."""
    identity = read_small(paths.identity, Identity)
    return resumes or (identity is not None and identity.accept_data_errors)
