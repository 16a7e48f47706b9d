"""The closes of 20 large US stocks, 1990 to 2022, which ``skfolio`` ships, as a dataset."""

from skfolio.datasets import load_sp500_dataset

from lakehouse.panel.dataset import Dataset
from tests.unit.forecasting.conftest import make_dataset


def stocks() -> Dataset:
    """All rows, with the features that closes alone give."""
    return make_dataset(load_sp500_dataset())
