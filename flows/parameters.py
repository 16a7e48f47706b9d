"""Parameter types of the flows; Prefect's UI builds forms from them and validates input."""

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field

from lakehouse.landing.request import SYMBOL_CHARACTERS
from lakehouse.sources import SOURCES, find_source


def _known(name: str) -> str:
    find_source(name)
    return name


Source = Annotated[
    str,
    AfterValidator(_known),
    Field(json_schema_extra={"enum": list(SOURCES)}),
]
# The server validates patterns, but not formats.
Day = Annotated[date, Field(json_schema_extra={"pattern": r"^\d{4}-\d{2}-\d{2}$"})]
Symbol = Annotated[str, Field(min_length=1, max_length=40, pattern=rf"^[{SYMBOL_CHARACTERS}]+$")]

SourceParameter = Annotated[
    Source | None,
    Field(title="Source", description="Quote source; empty: the setting ingest.source."),
]
SymbolsParameter = Annotated[
    list[Symbol] | None,
    Field(title="Symbols", description="Only these symbols, such as AAPL; empty: all."),
]
BoardParameter = Annotated[
    str | None,
    Field(title="Board", description="A whole board day by day, such as TQBR (source moex)."),
]
StartParameter = Annotated[
    Day | None,
    Field(title="Start", description="First trading date to fetch; empty: where the lake ends."),
]
EndParameter = Annotated[
    Day | None, Field(title="End", description="Last trading date to fetch; empty: today.")
]
ForceParameter = Annotated[
    bool, Field(title="Force", description="Train although nothing has changed.")
]
