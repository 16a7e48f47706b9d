"""The page of all settings, from the pydantic models."""

from collections.abc import Iterator

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from lakehouse.settings import Settings
from tools.reference.markdown import code, table

HEAD = """# Settings

Each setting has a default. Stronger than the default are, in this order: `weekahead.toml` in the
current folder, `.env` beside it, the environment, and options of a command. `weekahead init` writes
a commented `weekahead.toml`.

```toml
[ingest]
source = "yahoo"          # in the environment: WEEKAHEAD_INGEST__SOURCE=yahoo
symbols = ["AAPL", "MSFT"]
```

An unknown name or a value out of range stops the command with an error that names it. Values of
type *secret* never appear in logs. `WEEKAHEAD_HOME` (default `.weekahead`) is the folder of state,
data and secrets.
"""
BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            parts.append(f"## {name}\n\n{(section.__doc__ or '').strip()}\n")
            parts.append(table(("setting", "default", "meaning"), _rows(name, section)) + "\n")
    return "\n".join(parts)


def _rows(name: str, section: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for key, field in section.model_fields.items():
        environment = f"WEEKAHEAD_{name}__{key}".upper()
        meaning = f"{field.description or ''} {_bounds(field)}"
        yield f"`{name}.{key}`<br>`{environment}`", _default(field), meaning


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr) or "SecretStr" in str(field.annotation):
        return "secret"
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(value)


def _bounds(field: FieldInfo) -> str:
    found = [
        text.format(f"{value:,}" if isinstance(value, int) else value)
        for limit in field.metadata
        for name, text in BOUNDS.items()
        if (value := getattr(limit, name, None)) is not None
    ]
    return f"({', '.join(found)})" if found else ""
