"""Prices with their age, energy, and from which volume tuning pays."""

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.preflight.break_even import Assumed, break_even, ways
from finetui_core.preflight.cost import estimate_cost, read_prices
from finetui_core.preflight.devices import find_device
from finetui_core.preflight.figures import Duration, Span
from finetui_core.recipe.options import CostOptions

TODAY = datetime.date(2026, 11, 24)
HOUR = Duration(Span(1800, 3600, 7200), Span(1, 2, 3), 500_000, 100, 200, 2, 2, "table", "")
MINI = {"input": 0.4, "cached_input": 0.1, "output": 1.6, "tuned_input": 0.8, "tuned_output": 3.2}


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "ftui").mkdir()
    return tmp_path / "ftui" / "prices.toml"


def test_the_users_own_price_is_what_counts() -> None:
    options = CostOptions(gpu_hour_price=2.0, currency="EUR")
    cost, warnings = estimate_cost(options, find_device("4090"), HOUR, read_prices(), TODAY)
    assert (cost.currency, cost.gpu_hour_price) == ("EUR", 2.0)
    assert cost.price == Span(1.0, 2.0, 4.0)
    assert cost.energy is not None and cost.energy.middle == pytest.approx(0.36)
    assert "your price of 2 EUR" in cost.says and warnings == []


def test_without_one_the_table_gives_a_range_with_its_date() -> None:
    cost, _ = estimate_cost(CostOptions(), find_device("4090"), HOUR, read_prices(), TODAY)
    assert cost.price == Span(pytest.approx(0.145), pytest.approx(0.345), pytest.approx(0.8))  # type: ignore[arg-type]
    assert "2026-08-31" in cost.says


def test_the_guides_prices_stand_as_history() -> None:
    cost, _ = estimate_cost(CostOptions(), find_device("4090"), HOUR, read_prices(), TODAY)
    old = {one.model: one for one in cost.hosted if "guide" in one.service}
    assert old["gpt-3.5-turbo"].price == pytest.approx(1_000_000 / 1000 * 0.008)
    assert old["gpt-4"].price == pytest.approx(1_000_000 / 1000 * 0.03)
    assert not old["gpt-4"].open and old["gpt-4"].as_of == "2023-11-06"


@pytest.mark.parametrize(("days", "warned"), [(0, False), (90, False), (91, True)])
def test_prices_older_than_90_days_are_warned_about(own_settings: Path, days: int, warned: bool) -> None:
    read = TODAY - datetime.timedelta(days=days)
    own_settings.write_text(
        f'as_of = {read}\n[[gpu_hour]]\ngpu = "NVIDIA GeForce RTX 4090"\nprovider = "mine"\nprice = 1\n'
    )
    cost, warnings = estimate_cost(CostOptions(), find_device("4090"), HOUR, read_prices(), TODAY)
    assert cost.price == Span(0.5, 1.0, 2.0)
    assert any(str(read) in one for one in warnings) == warned


def test_all_that_ships_is_old_some_day_and_then_says_so() -> None:
    later = TODAY + datetime.timedelta(days=400)
    _, warnings = estimate_cost(CostOptions(), find_device("4090"), HOUR, read_prices(), later)
    assert len(warnings) == 1 and "older than 90 days" in warnings[0] and "prices.toml" in warnings[0]


def test_faults_of_the_users_prices_have_line_and_column(own_settings: Path) -> None:
    own_settings.write_text(
        '[[training]]\nservice = "X"\nmodel = "Y"\nprice = -1\n[[gpu_hours]]\nprice = 3\n'
    )
    with pytest.raises(InputError) as error:
        read_prices()
    assert [one.where.rpartition("prices.toml")[2] for one in error.value.problems] == [":4:9", ":5:3"]


@given(st.floats(0, 1e6), st.floats(0, 1), st.floats(0, 1))
def test_tuning_that_costs_more_for_a_request_never_pays(standing: float, tuned: float, plain: float) -> None:
    found = break_even(standing, tuned, plain)
    assert (found is None) == (tuned >= plain)
    if found is not None and found < 1e12:
        assert standing + found * tuned == pytest.approx(found * plain, rel=1e-6, abs=1e-6)


def test_the_worked_numbers_of_the_notes() -> None:
    by_name = {way.name: way for way in ways(MINI, Assumed(), 10_000)}
    assert by_name["prompting with caching"].request * 1000 == pytest.approx(0.56)
    assert by_name["hosted tuning"].request * 1000 == pytest.approx(0.80)
    assert by_name["hosted tuning"].pays_from is None
    own = by_name["own GPU"]
    assert own.standing == pytest.approx(292)
    assert own.pays_from == pytest.approx(521_429, rel=0.001)
    long = {way.name: way for way in ways(MINI, Assumed(fixed=8000), 10_000)}
    assert long["prompting with caching"].request * 1000 == pytest.approx(1.16)
    assert long["hosted tuning"].pays_from == 0


def test_prompting_without_a_cache_pays_the_full_price() -> None:
    plain = ways(MINI, Assumed(hits=0.0), 1)[0]
    assert plain.request * 1000 == pytest.approx(1.16)
