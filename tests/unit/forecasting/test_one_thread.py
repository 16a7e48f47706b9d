"""Fits that overlap do not lift each other's limit."""

from threading import Event, Thread

import sklearn.ensemble  # noqa: F401 - loads OpenMP
from threadpoolctl import threadpool_info, threadpool_limits

from lakehouse.forecasting.one_thread import one_thread


def threads_of(api: str) -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == api}


def test_the_first_of_two_fits_to_end_leaves_the_other_on_one_thread() -> None:
    first_is_in, second_is_in, first_is_out = Event(), Event(), Event()
    seen: list[set[int]] = []

    def first() -> None:
        with one_thread():
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    def second() -> None:
        first_is_in.wait(10)
        with one_thread():
            second_is_in.set()
            first_is_out.wait(10)
            seen.extend((threads_of("blas"), threads_of("openmp")))

    # Somebody else in the process has a limit of their own.
    with threadpool_limits(2):
        threads = [Thread(target=first), Thread(target=second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert seen == [{1}, {1}]
