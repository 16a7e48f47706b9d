"""Commands about the lake's and the services' upkeep."""

from datetime import timedelta

import click

from lakehouse.cli import options, show


@click.command()
@options.as_json
def maintain(machine: bool) -> None:
    """Keep the lake small: compact small files, expire old snapshots, delete orphan files.

    Snapshots that a model was trained on are tagged and stay. Safe beside a running ingest. The
    settings maintenance.* say what is old.
    """
    from catalog.connect import ensure_tables, open_catalog
    from catalog.maintenance import maintain as clean
    from catalog.tables import TABLES
    from lakehouse.cli.context import services_up
    from lakehouse.services import LAKE

    reports = []
    with services_up(LAKE) as settings:
        catalog = open_catalog(settings.catalog, settings.s3)
        ensure_tables(catalog)
        limits = settings.maintenance
        for definition in TABLES:
            show.progress(f"maintain {definition.name}")
            reports.append(
                clean(
                    catalog,
                    settings.s3,
                    definition,
                    keep=timedelta(days=limits.keep_days),
                    orphan_age=timedelta(hours=limits.orphan_age_hours),
                    small_files=limits.small_files,
                )
            )
    if machine:
        show.as_json([report.to_dict() for report in reports])
        return
    show.table(
        "The lake before → after",
        ["table", "files", "KiB", "snapshots", "objects", "orphans deleted"],
        [
            (
                report.table,
                f"{report.before.files} → {report.after.files}",
                f"{report.before.bytes // 1024} → {report.after.bytes // 1024}",
                f"{report.before.snapshots} → {report.after.snapshots}",
                f"{report.before.objects} → {report.after.objects}",
                report.orphans_deleted,
            )
            for report in reports
        ],
    )
    for report in reports:
        if report.skipped:
            show.warning(f"{report.table}: {report.skipped}; run it again later.")


COMMANDS = (maintain,)
