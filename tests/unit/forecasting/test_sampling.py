"""Which rows a training looks at."""

import pytest

from lakehouse.panel.sampling import PARTS, Sampling, choose


def test_what_fits_is_used_as_it_is() -> None:
    assert choose(250_000, 2500, budget=250_000, seed=1).is_everything


@pytest.mark.parametrize("rows", [250_001, 625_000, 1_249_999, 1_250_000, 12_500_000])
def test_dates_are_thinned_first_and_the_budget_is_met(rows: int) -> None:
    found = choose(rows, 2500, budget=250_000, seed=1)
    assert 2 <= found.step <= 5 and 0 <= found.offset < found.step
    kept = rows / found.step * found.parts / PARTS
    assert 0.49 * 250_000 < kept <= 250_000
    # Rows are left out only where every fifth date alone is still too much.
    assert found.parts == PARTS or found.step == 5 or kept > 249_000


def test_the_first_date_is_drawn_anew_as_the_history_grows() -> None:
    offsets = {choose(12_500_000, dates, budget=250_000, seed=1).offset for dates in range(50)}
    assert offsets == {0, 1, 2, 3, 4}
    again = choose(12_500_000, 7, budget=250_000, seed=1)
    assert again == choose(12_500_000, 7, budget=250_000, seed=1)


def test_a_record_says_all_of_it() -> None:
    sampling = choose(12_500_000, 7, budget=250_000, seed=1)
    assert Sampling.from_json(sampling.to_json()) == sampling
    assert Sampling.from_json(None).is_everything
