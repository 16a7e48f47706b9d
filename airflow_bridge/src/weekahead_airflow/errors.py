"""Errors, grouped by whether a retry of the task may help.

PrefectError                     Airflow retries the task
├── PrefectUnreachable           Prefect did not answer, or only with 429 and 5xx, for too long
└── PrefectRunFailed             the run ended FAILED or CRASHED, or took too long
PrefectRefusal                   Airflow fails the task at once
├── PrefectMissing               there is no such deployment or run
└── PrefectRunCancelled          the run was cancelled or deleted: a retry would undo that
"""

from weekahead_airflow.compat import AirflowException, AirflowFailException


class PrefectError(AirflowException):
    """Base of the errors for which a retry may help."""


class PrefectUnreachable(PrefectError):
    """Prefect was unreachable or busy for longer than we wait."""


class PrefectRunFailed(PrefectError):
    """The Prefect run did not complete."""


class PrefectRefusal(AirflowFailException):
    """Prefect refused, and would refuse again."""


class PrefectMissing(PrefectRefusal):
    """Prefect has no such deployment or run."""


class PrefectRunCancelled(PrefectRefusal):
    """Someone cancelled or deleted the Prefect run."""
