"""Hooks of MkDocs: the generated pages of the site, of which none is committed."""

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.reference import endpoints, errors, settings, tables

PAGES = {
    "reference/settings.md": settings.page,
    "reference/lake-tables.md": tables.lake_page,
    "reference/marts.md": tables.marts_page,
    "reference/http.md": endpoints.page,
    "reference/errors.md": errors.page,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Leave the default of an option that has none empty; mkdocs-click shows click's own mark."""
    return html.replace("<code>Sentinel.UNSET</code>", "")
