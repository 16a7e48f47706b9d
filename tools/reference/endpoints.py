"""The page of the embedded ClickHouse server: addresses, options, accounts, error codes."""

import argparse
import ast
import inspect
import xml.etree.ElementTree as ET

from deploy.chserver import __main__ as program
from deploy.chserver import errors, handler
from deploy.chserver.auth import ROLES
from tools.reference.markdown import code, table

HEAD = """# HTTP interface

The embedded server (`deploy/chserver`) answers on loopback like ClickHouse's HTTP interface.
`weekahead status` shows its port, [Other clients](../clients.md) how programs connect,
[Security](../security.md) what protects it.
"""
# By path: what it answers, and who may ask. `page` checks the paths against the handler.
ENDPOINTS = {
    "/": (
        "GET, POST, PUT, HEAD",
        "a login, except GET without parameters",
        "A query, in the parameter `query`, the body, or both; GET only reads. "
        "Without parameters: `Ok.`",
    ),
    "/ping": ("any", "nothing", "`Ok.`; the header `X-Confined` says what the kernel confines."),
    "/replicas_status": ("any", "nothing", "The same as `/ping`."),
    "/metrics": (
        "any",
        "nothing",
        "Prometheus text: requests, errors, bytes, latency, sessions, confinement, and the "
        "engine's memory.",
    ),
}
LOGIN = """A login is HTTP basic authentication, the headers `X-ClickHouse-User` and
`X-ClickHouse-Key`, or the parameters `user` and `password`. A request for an unknown host name is
answered with 421, one that another site's page sent with 403, and another path with 404.
"""


def page() -> str:
    """The page as Markdown.

    Raises:
        ValueError: The handler answers other paths than this page describes.
    """
    tree = ast.parse(inspect.getsource(handler))
    answered = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and str(node.value).startswith("/")
    }
    if answered != ENDPOINTS.keys():
        raise ValueError(f"The handler's paths and ENDPOINTS differ: {answered ^ ENDPOINTS.keys()}")
    parts = [HEAD, "## Addresses\n"]
    rows = [(code(path), *cells) for path, cells in ENDPOINTS.items()]
    parts.append(table(("path", "methods", "requires", "answers"), rows) + "\n")
    parts += [LOGIN, "## Roles\n", _roles(), "## Options of `python -m deploy.chserver`\n"]
    parts += [_options(), "## Error codes\n"]
    parts.append("Codes are ClickHouse's own; other codes of the engine are passed on.\n")
    known = sorted(errors.NAMES.items())
    codes = (
        (str(number), name, str(errors.HTTP_STATUS.get(number, 500))) for number, name in known
    )
    parts.append(table(("code", "name", "HTTP status"), codes) + "\n")
    return "\n".join(parts)


def _roles() -> str:
    """What ``access.xml`` grants to each role."""
    root = ET.parse(program.__file__.replace("__main__.py", "access.xml")).getroot()  # noqa: S314
    rows = []
    for role in ROLES:
        grants = [query.text or "" for query in root.iterfind(f"roles/{role}/grants/query")]
        rows.append((code(role), "<br>".join(code(grant.strip()) for grant in grants)))
    return table(("role", "grants in `access.xml`"), rows) + "\n"


def _options() -> str:
    parser = program._parser()
    rows = []
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            default = "" if action.default in (None, []) else code(action.default)
            rows.append((code(action.option_strings[-1]), default, action.help or ""))
    return table(("option", "default", "meaning"), rows) + "\n"
