"""What can go wrong, grouped by whether a retry of the task may help.

PrefectError                     Airflow retries the task
├── PrefectUnreachable           Prefect did not answer, or only with 429 and 5xx, for too long
└── PrefectRunFailed             the run ended FAILED or CRASHED, or took too long
PrefectRefusal                   Airflow fails the task at once
├── PrefectMissing               there is no such deployment or run
└── PrefectRunCancelled          somebody cancelled or deleted the run: a retry would undo that
"""

from weekahead_airflow.compat import AirflowException, AirflowFailException


class PrefectError(AirflowException):
    """Base of the errors that a retry may mend."""


class PrefectUnreachable(PrefectError):
    """Prefect could not be reached, or was busy, for longer than we wait."""


class PrefectRunFailed(PrefectError):
    """The Prefect run did not complete."""


class PrefectRefusal(AirflowFailException):
    """Prefect answered, and the answer will be the same next time."""


class PrefectMissing(PrefectRefusal):
    """Prefect has no such deployment or run."""


class PrefectRunCancelled(PrefectRefusal):
    """Somebody cancelled or deleted the Prefect run."""
