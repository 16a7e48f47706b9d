"""Options that several commands share."""

from collections.abc import Callable
from datetime import date
from typing import Any

import click


class SymbolsType(click.ParamType[Any]):
    """Comma-separated symbols, upper-cased and without duplicates."""

    name = "A,B,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Split the text; click calls this.

        Args:
            value: The text, or symbols that are already split.
            param: The parameter, for error messages.
            ctx: The command's context, for error messages.

        Returns:
            A tuple of symbols, in the given order.

        Raises:
            click.BadParameter: The text contains no symbol.
        """
        if isinstance(value, tuple):
            return value
        symbols = tuple(
            dict.fromkeys(part.strip().upper() for part in value.split(",") if part.strip())
        )
        if not symbols:
            self.fail("there is no symbol in it; write for example AAPL,MSFT", param, ctx)
        return symbols


class DateType(click.ParamType[Any]):
    """A calendar date."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse an ISO date; click calls this.

        Args:
            value: The text, or a date.
            param: The parameter, for error messages.
            ctx: The command's context, for error messages.

        Returns:
            The date.

        Raises:
            click.BadParameter: The text is not a date.
        """
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a date; write for example 2012-12-31", param, ctx)


class DatesType(DateType):
    """One date, or an inclusive range of dates."""

    name = "DATE[..DATE]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse one date, or two separated by two dots; click calls this.

        Args:
            value: The text, or a date.
            param: The parameter, for error messages.
            ctx: The command's context, for error messages.

        Returns:
            A date, or a tuple of first and last date.

        Raises:
            click.BadParameter: A part is not a date, or the range is reversed.
        """
        if not isinstance(value, str) or ".." not in value:
            return super().convert(value, param, ctx)
        first, _, last = value.partition("..")
        dates = super().convert(first, param, ctx), super().convert(last, param, ctx)
        if dates[1] < dates[0]:
            self.fail(f"the range {value} ends before it begins", param, ctx)
        return dates


Command = Callable[..., Any]


def quotes(command: Command) -> Command:
    """Add the options that select quotes to fetch."""
    options = (
        click.option("--source", help="sample, moex or yahoo; default: the setting ingest.source."),
        click.option("--symbols", type=SymbolsType(), help="Only these symbols."),
        click.option("--board", help="A whole board, for example TQBR."),
        click.option("--start", type=DateType(), help="First trading date to fetch."),
        click.option("--end", type=DateType(), help="Last trading date to fetch."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def as_json(command: Command) -> Command:
    """Add the option ``--json``."""
    return click.option("--json", "machine", is_flag=True, help="Write the result as JSON.")(
        command
    )
