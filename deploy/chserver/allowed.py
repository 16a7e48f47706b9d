"""Allowlists for writer and reader: functions, settings, tables and formats in SQL.

Only listed names are allowed. New functions, settings, formats and system tables of a later engine
are therefore refused until someone has reviewed and added them here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final


def words(text: str) -> frozenset[str]:
    """The words of ``text``, separated by any white space."""
    return frozenset(text.split())


_LINES: Final = Path(__file__).with_name("functions.txt").read_text("ascii").splitlines()
_FUNCTIONS: Final = frozenset(
    name for line in _LINES if not line.startswith("#") for name in line.split()
) | {"cast", "columns", "exists", "grouping", "interval", "lambda", "untuple"}
_COMBINATOR: Final = re.compile(
    "(if|array|map|foreach|distinct|ordefault|ornull|resample|simplestate|state|merge|argmin|argmax"
    "|null|tuple)$"
)

TABLE_FUNCTIONS: Final = words(
    """
    generate_series generaterandom generateseries null numbers numbers_mt primes values view zeros
    zeros_mt
    """
)
# Functions whose first argument describes columns, as a string that is SQL.
STRUCTURES: Final = frozenset(["generaterandom", "null", "values"])
# Functions that take a type as a string, and which argument that is.
TYPES_IN_STRINGS: Final = {
    **dict.fromkeys(["cast", "_cast", "accuratecast", "accuratecastornull"], 1),
    **dict.fromkeys(["accuratecastordefault", "reinterpret", "kqlparametercast"], 1),
    **dict.fromkeys(["jsonextract", "jsonextractcaseinsensitive"], -1),
    **dict.fromkeys(["jsonextractkeysandvalues", "jsonextractkeysandvaluescaseinsensitive"], -1),
    "defaultvalueoftypename": 0,
}

# Words that precede a bracket in a definition without being functions.
_TYPES: Final = words(
    """
    aggregatefunction array bfloat16 bool date date32 datetime datetime32 datetime64 decimal
    decimal32 decimal64 decimal128 decimal256 dynamic enum enum8 enum16 fixedstring float32
    float64 int8 int16 int32 int64 int128 int256 ipv4 ipv6 json lowcardinality map nested
    nullable qbit simpleaggregatefunction string time time64 tuple uint8 uint16 uint32 uint64
    uint128 uint256 uuid variant varchar char numeric dec
    """
)
_DEFINITIONS: Final = words(
    """
    none default lz4 lz4hc zstd delta doubledelta gorilla fpc gcd t64 alp minmax set
    bloom_filter ngrambf_v1 tokenbf_v1 text vector_similarity tdigest uniq countmin
    """
)
ENGINES: Final = words(
    """
    mergetree replacingmergetree summingmergetree aggregatingmergetree collapsingmergetree
    versionedcollapsingmergetree coalescingmergetree memory log tinylog stripelog null set view
    materializedview atomic
    """
)

READER_SYSTEM: Final = words(
    """
    aggregate_function_combinators build_options clusters codecs collations columns completions
    constraints contributors current_roles data_skipping_index_types data_skipping_indices
    data_type_families database_engines databases dictionaries documentation enabled_roles
    formats functions keywords licenses macros merge_tree_settings numbers numbers_mt one primes
    projections settings table_engines table_functions tables time_zones tokenizers unicode
    zeros zeros_mt
    """
)

_FORMATS: Final = re.compile(
    "(tsv|tabseparated|tskv|csv|json|ndjson|pretty|rowbinary|lineasstring|customseparated|raw|arrow)"
    "[a-z]*|values|vertical|native|parquet|orc|avro|null|xml|markdown|md|sqlinsert|msgpack"
    "|bsoneachrow|npy|hash|prometheus|one|geojson|odbcdriver2|postgresqlwire"
)

# Families of settings that tune a query or the text of its result.
_FAMILIES: Final = re.compile(
    """(max|min|join|group_by|optimize|query_plan|merge_tree|preferred|partial_merge_join|cross_join
    |grace_hash_join|temporary|distinct|sort|set|read|result|transfer|date_time|bool|cast
    |formatdatetime|parsedatetime|describe|function|asterisk_include|force|compile
    |output_format_(?:arrow|avro|bson|csv|decimal|float|json|markdown|msgpack|native|orc|parquet
        |pretty|sql_insert|tsv|values|write|xml|trim|always|enable|binary|compression)
    |input_format_(?:allow_errors|arrow|avro|bson|csv|custom|defaults|force|import|ipv|json|max
        |msgpack|native|null|orc|parallel|parquet|record|skip|tsv|with|binary|try)
    |format_(?:binary|csv|custom|json|tsv|pretty))_[a-z0-9_]+""",
    re.X,
)
_NAMED: Final = words(
    """
    aggregate_functions_null_for_empty aggregation_in_order_max_block_bytes
    allow_aggregate_partitions_independently allow_experimental_dynamic_type
    allow_experimental_join_condition allow_experimental_json_type
    allow_experimental_object_type allow_experimental_variant_type
    allow_execute_multiif_columnar allow_reorder_prewhere_conditions allow_simdjson
    allow_suspicious_low_cardinality_types allow_suspicious_types_in_group_by
    allow_suspicious_types_in_order_by allow_suspicious_variant_types
    any_join_distinct_right_table_keys connect_timeout connect_timeout_with_failover_ms
    convert_query_to_cnf count_distinct_implementation count_distinct_optimization
    decimal_check_overflow distributed_product_mode do_not_merge_across_partitions_select_final
    empty_result_for_aggregation_by_constant_keys_on_empty_set
    empty_result_for_aggregation_by_empty_set enable_global_with_statement
    enable_named_columns_in_function_tuple enable_optimize_predicate_expression
    enable_positional_arguments enable_scalar_subquery_optimization enable_time_time64_type
    enable_unaligned_array_join exact_rows_before_limit extremes final flatten_nested
    http_headers_progress_interval_ms ignore_data_skipping_indices insert_null_as_default
    interactive_delay intersect_default_mode joined_subquery_requires_alias
    least_greatest_legacy_null_behavior legacy_column_name_of_tuple_literal limit load_balancing
    lock_acquire_timeout low_cardinality_allow_in_native_format network_compression_method
    network_zstd_compression_level normalize_function_names offset poll_interval
    prefer_column_name_to_alias priority receive_timeout regexp_max_matches_per_row
    rows_before_aggregation select_sequential_consistency send_timeout session_timezone
    short_circuit_function_evaluation skip_unavailable_shards
    splitby_max_substrings_includes_remaining_string timeout_before_checking_execution_speed
    totals_auto_threshold totals_mode transform_null_in union_default_mode
    use_client_time_zone use_index_for_in_with_subqueries use_legacy_to_time use_skip_indexes
    use_skip_indexes_if_final use_uncompressed_cache use_variant_as_common_type
    validate_polygons wait_end_of_query
    """
)
_WRITERS: Final = re.compile(
    """((async_insert|insert|mutations|alter|lightweight|replication|database_replicated|materialized
    |parallel_view|view|index|merge|old_parts|replicated_deduplication|non_replicated|ttl|primary_key
    )_[a-z0-9_]+)|iceberg_(snapshot_id|timestamp_ms)
    |wait_for_async_insert(_timeout)?|async_insert|deduplicate_[a-z_]+|allow_nullable_key
    |allow_nondeterministic_mutations|allow_experimental_lightweight_delete|ratio_of_[a-z_]+
    |allow_replace_partition_from_empty_source|allow_experimental_replacing_merge_with_cleanup
    |enable_(block_number_column|block_offset_column|mixed_granularity_parts|vertical_merge_algorithm)
    |(allow_)?(data_type_default_nullable|suspicious_[a-z_]+)|log_comment
    |always_use_copy_instead_of_hardlinks|add_minmax_index_for_[a-z]+_columns|ttl_only_drop_parts
    |distributed_ddl_[a-z_]+|check_table_dependencies|check_referential_table_dependencies""",
    re.X,
)
# Parts of names that exclude a setting from its family.
_RESERVED: Final = re.compile(
    "schema|path|files?(_|$)|url|uri|template|registry|disk_name|storage|collection|user|untracked"
    "|parser|_ast_|analyze_|pipeline|sleep|fault_injection|zookeeper|(for|on)_server|for_all|script|secret|password|credential|policy|interpret|deduce|dynamic_disk|distributed_cache"
)


def function(name: str) -> bool:
    """Tell whether a call of ``name`` (in lower case), with or without combinators, is listed."""
    while name not in _FUNCTIONS and name not in TABLE_FUNCTIONS:
        shorter = _COMBINATOR.sub("", name)
        if shorter == name:
            return name in _TYPES or name in _DEFINITIONS
        name = shorter
    return True


def data_type(name: str) -> bool:
    """Tell whether ``name`` (in lower case) is a type that takes arguments."""
    return name in _TYPES


def setting(name: str, role: str) -> bool:
    """Whether a role may change a setting, within the limits of its profile.

    Args:
        name: Name of the setting.
        role: ``reader`` or ``writer``; the admin is not checked.

    Returns:
        True if the setting is on the role's list.
    """
    if _RESERVED.search(name):
        return False
    listed = name in _NAMED or _FAMILIES.fullmatch(name) is not None
    return listed or (role == "writer" and _WRITERS.fullmatch(name) is not None)


def output(name: str) -> bool:
    """Whether a format needs no external schema, template or registry."""
    return _FORMATS.fullmatch(name.lower()) is not None
