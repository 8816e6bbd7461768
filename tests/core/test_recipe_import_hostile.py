"""Whatever stands in a config, the import ends with a valid recipe or with named faults, never otherwise."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.recipe import exchange
from finetui_core.recipe.exchange.importing import import_config
from finetui_core.recipe.load import parse_recipe

SOURCES = "".join(path.read_text() for path in Path(exchange.__file__).parent.glob("*.py"))
KEYS = sorted(set(re.findall(r'"([a-z][a-z0-9_]{2,40})"', SOURCES)))
"""Every word that the importers could take for a key."""
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["1e-5", "no", "auto", "a/b", "x.json", "../x", "hub:", "train[:5%]", "all", "\x1b[31m", "a\nb", "~"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=6,
)
GOOD = {
    "trl": {"model_name_or_path": "a/b", "dataset_name": "c/d", "use_peft": True},
    "axolotl": {"base_model": "a/b", "datasets": [{"path": "c/d", "type": "alpaca"}], "adapter": "lora"},
    "llamafactory": {"model_name_or_path": "a/b", "dataset": "ours", "finetuning_type": "lora"},
}


@pytest.mark.parametrize("trainer", list(GOOD))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6),
    entry=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
)
def test_any_values_end_in_a_recipe_or_in_named_faults(
    tmp_path: Path, trainer: str, changes: dict[str, Any], entry: dict[str, Any]
) -> None:
    (tmp_path / "ours.json").write_text("[]")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"ours": {"file_name": "ours.json", **entry}}))
    config = {**GOOD[trainer], **changes}
    if trainer == "axolotl" and entry:
        config["datasets"] = [{"path": "c/d", "type": "alpaca", **entry}]
    (tmp_path / "c.json").write_text(json.dumps(config))
    try:
        done = import_config(tmp_path / "c.json", trainer, tmp_path)
    except InputError as error:
        assert all(problem.what for problem in error.problems)
        return
    parse_recipe(done.text, "recipe", tmp_path)
    assert "\x1b" not in done.text
    named = {re.split(r"[.\[]", one.key)[0] for one in (*done.carried, *done.left)}
    assert {key for key, value in config.items() if value not in (None, "", [], {})} <= named
