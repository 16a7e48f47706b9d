"""Writes the configuration files of the embedded engine: limits, logging, roles.

chDB has a single engine user. It holds every role and no grants of its own; each connection assumes
one role, so that the engine itself enforces the role's rights.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ACCESS_FILE: Final = Path(__file__).with_name("access.xml")

# chDB always grants SELECT on every system table, so row policies have to hide them.
_ADMIN_ONLY: Final = [
    "asynchronous_inserts",
    "asynchronous_insert_log",
    "backup_log",
    "backups",
    "blob_storage_log",
    "certificates",
    "crash_log",
    "error_log",
    "errors",
    "grants",
    "iceberg_history",
    "iceberg_metadata_log",
    "jemalloc_bins",
    "metric_log",
    "named_collections",
    "opentelemetry_span_log",
    "part_log",
    "part_moves_between_shards",
    "processes",
    "processors_profile_log",
    "query_log",
    "query_metric_log",
    "query_thread_log",
    "query_views_log",
    "quota_usage",
    "quotas_usage",
    "remote_data_paths",
    "s3queue_log",
    "server_settings",
    "session_log",
    "stack_trace",
    "text_log",
    "trace_log",
    "user_processes",
    "zookeeper_log",
]
_NOT_FOR_READERS: Final = [
    "data_skipping_indices",
    "detached_parts",
    "detached_tables",
    "dictionaries",
    "disks",
    "distribution_queue",
    "dropped_tables",
    "filesystem_cache",
    "kafka_consumers",
    "merges",
    "moves",
    "mutations",
    "parts",
    "parts_columns",
    "projection_parts",
    "projection_parts_columns",
    "projections",
    "query_cache",
    "query_condition_cache",
    "replicas",
    "replication_queue",
    "rocksdb",
    "schema_inference_cache",
    "storage_policies",
    "user_directories",
    "view_refreshes",
    "warnings",
]


_MIB: Final = 1024**2
# Caches whose defaults would be gigabytes; each gets this share of the memory.
_CACHES: Final = {
    "mark_cache_size": 1 / 32,
    "primary_index_cache_size": 1 / 32,
    "index_mark_cache_size": 1 / 64,
    "query_condition_cache_size": 1 / 64,
    "parquet_metadata_cache_size": 1 / 64,
    "iceberg_metadata_files_cache_size": 1 / 64,
    "compiled_expression_cache_size": 1 / 64,
}


@dataclass(frozen=True)
class EngineLimits:
    """Sizes that keep the engine within its memory.

    Attributes:
        max_memory: Limit of all queries and caches together, in bytes.
        log_file: Size of a log file, in bytes.
        memory_setting: The setting behind ``max_memory`` and its value in GiB, as ``NAME=VALUE``.
    """

    max_memory: int = 2 * 1024**3
    log_file: int = 10 * _MIB
    memory_setting: str = ""

    @property
    def spilling(self) -> dict[str, str]:
        """Settings with which larger operations use the disk.

        The limit itself is the server's. All connections share one engine user, and that user's own
        account of its memory is not usable: it grows by megabytes with each statement until, for a
        moment, none runs.
        """
        # Allows two large statements at once, each with a sort, a join and blocks to write.
        spill = self.max_memory // 12
        found = {
            "max_bytes_before_external_sort": spill,
            # What is merged from disk is read in blocks of this size, one of each part at a time.
            "prefer_external_sort_block_bytes": min(self.max_memory // 512, 16 * _MIB),
            "max_bytes_before_external_group_by": spill,
            "max_bytes_before_external_join": spill,
            "max_bytes_before_external_distinct": spill,
            "min_insert_block_size_bytes": min(self.max_memory // 32, 256 * _MIB),
            "max_insert_threads": 1,
        }
        return {name: str(value) for name, value in found.items()}

    @property
    def caches(self) -> dict[str, int]:
        """Sizes of the engine's caches, in bytes."""
        return {name: int(share * self.max_memory) for name, share in _CACHES.items()}


def write_config(directory: Path, log_dir: Path, limits: EngineLimits) -> Path:
    """Write ``config.xml`` and ``users.xml``.

    Args:
        directory: Directory for both files; created if missing.
        log_dir: Directory of the engine's error log.
        limits: Memory and log sizes.

    Returns:
        The path of ``config.xml``.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    users = directory / "users.xml"
    users.write_bytes(ET.tostring(_users()))
    config = directory / "config.xml"
    config.write_bytes(ET.tostring(_server(users, log_dir, limits)))
    return config


def role_settings() -> dict[str, dict[str, str]]:
    """Return the settings of each role's profile, without constraints.

    chDB applies a profile's constraints but not its values, so the connection sets the values
    itself.
    """
    return {
        profile.tag: {
            setting.tag: (setting.text or "").strip()
            for setting in profile
            if setting.tag != "constraints"
        }
        for profile in _access().iterfind("profiles/*")
    }


def _server(users: Path, log_dir: Path, limits: EngineLimits) -> ET.Element:
    root = ET.Element("clickhouse")
    logger = _add(root, "logger")
    # In chDB the plain log ignores its level; the error log honours it.
    _add(logger, "errorlog", log_dir / "clickhouse-errors.log")
    _add(logger, "errorlog_level", "error")
    _add(logger, "size", limits.log_file)
    _add(logger, "count", 2)
    _add(logger, "console", 0)
    # Clients get the errors of their statements; the log would contain the statements' text.
    statements = _add(_add(logger, "levels"), "logger")
    _add(statements, "name", "executeQuery")
    _add(statements, "level", "none")
    _add(_add(_add(root, "user_directories"), "users_xml"), "path", users)
    _add(root, "max_server_memory_usage", limits.max_memory)
    _add(root, "merges_mutations_memory_usage_soft_limit", limits.max_memory // 4)
    # Large operations spill here, inside the only directory that the engine may write.
    _add(root, "tmp_path", f"{users.parent.parent / 'tmp'}/")
    for name, size in limits.caches.items():
        _add(root, name, size)
    _add(root, "display_secrets_in_show_and_select", 0)
    _add(_add(root, "send_crash_reports"), "enabled", 0)
    return root


def _users() -> ET.Element:
    root = _access()
    user = _add(_add(root, "users"), "default")
    _add(user, "no_password")
    _add(user, "profile", "default")
    _add(user, "quota", "default")
    networks = _add(user, "networks")
    _add(networks, "ip", "127.0.0.1")
    _add(networks, "ip", "::1")
    grants = _add(user, "grants")
    for role in root.iterfind("roles/*"):
        _add(grants, "query", f"GRANT {role.tag}")
    system = _add(_add(user, "databases"), "system")
    for table in _ADMIN_ONLY:
        _add(_add(system, table), "filter", "has(currentRoles(), 'admin')")
    for table in _NOT_FOR_READERS:
        _add(_add(system, table), "filter", "NOT has(currentRoles(), 'reader')")
    return root


def _access() -> ET.Element:
    return ET.parse(ACCESS_FILE).getroot()  # noqa: S314 (a file of this package)


def _add(parent: ET.Element, tag: str, text: object = None) -> ET.Element:
    element = ET.SubElement(parent, tag)
    if text is not None:
        element.text = str(text)
    return element
