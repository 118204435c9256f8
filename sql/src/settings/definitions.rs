//! The settings there are: name, type, PostgreSQL's default, and whether clients are told of a change.

use super::Kind;

/// One setting.
#[derive(Debug)]
pub struct Definition {
    /// As PostgreSQL spells it.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The value of a new session.
    pub default: &'static str,
    /// Clients are told of it at the start and of each change (ParameterStatus).
    pub report: bool,
    /// What it is for, one line (`pg_settings.short_desc`).
    pub description: &'static str,
}

const fn entry(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    description: &'static str,
) -> Definition {
    Definition { name, kind, default, report: false, description }
}

const fn told(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    description: &'static str,
) -> Definition {
    Definition { name, kind, default, report: true, description }
}

const BOOL: Kind = Kind::Bool;
const TEXT: Kind = Kind::Text;
const FIXED: Kind = Kind::Fixed;
const MILLISECONDS: Kind = Kind::Milliseconds;
const LEVELS: Kind = Kind::Enum(&[
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error",
]);
const ISOLATION: Kind =
    Kind::Enum(&["serializable", "repeatable read", "read committed", "read uncommitted"]);

/// All settings, sorted by lower-case name.
pub const DEFINITIONS: &[Definition] = &[
    told("application_name", TEXT, "", "The application's name, as it is reported in statistics."),
    entry("array_nulls", Kind::Only("on"), "on", "NULL in an array's text is a NULL."),
    entry("block_size", FIXED, "8192", "PostgreSQL's page size; Stele has no pages."),
    entry("bytea_output", Kind::Only("hex"), "hex", "Output format for bytea."),
    entry("check_function_bodies", BOOL, "on", "Checks routine bodies; Stele has none."),
    told("client_encoding", Kind::Encoding, "UTF8", "The client's character set encoding."),
    entry("client_min_messages", LEVELS, "notice", "The message levels sent to the client."),
    entry(
        "constraint_exclusion",
        Kind::Enum(&["partition", "on", "off"]),
        "partition",
        "A planner's hint, without effect.",
    ),
    entry("cpu_index_tuple_cost", Kind::Cost, "0.005", "A planner's hint, without effect."),
    entry("cpu_operator_cost", Kind::Cost, "0.0025", "A planner's hint, without effect."),
    entry("cpu_tuple_cost", Kind::Cost, "0.01", "A planner's hint, without effect."),
    entry("cursor_tuple_fraction", Kind::Cost, "0.1", "A planner's hint, without effect."),
    told("DateStyle", Kind::DateStyle, "ISO, MDY", "Display format for dates and times."),
    entry("deadlock_timeout", MILLISECONDS, "1000", "Deadlocks are looked for at once."),
    entry(
        "default_statistics_target",
        Kind::Integer { min: 1, max: 10000 },
        "100",
        "A planner's hint, without effect.",
    ),
    entry("default_table_access_method", Kind::Only("ledger"), "ledger", "Default access method."),
    entry("default_tablespace", Kind::Only(""), "", "Default tablespace; there is only one."),
    entry("default_transaction_deferrable", BOOL, "off", "Deferrable status of new transactions."),
    entry(
        "default_transaction_isolation",
        ISOLATION,
        "read committed",
        "Isolation of new transactions.",
    ),
    told("default_transaction_read_only", BOOL, "off", "Read-only status of new transactions."),
    entry("effective_cache_size", Kind::Memory, "4194304", "A planner's hint, without effect."),
    entry("enable_async_append", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_bitmapscan", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_gathermerge", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_hashagg", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_hashjoin", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_incremental_sort", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_indexonlyscan", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_indexscan", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_material", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_memoize", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_mergejoin", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_nestloop", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_parallel_append", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_parallel_hash", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_partition_pruning", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_partitionwise_aggregate", BOOL, "off", "A planner's hint, without effect."),
    entry("enable_partitionwise_join", BOOL, "off", "A planner's hint, without effect."),
    entry("enable_seqscan", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_sort", BOOL, "on", "A planner's hint, without effect."),
    entry("enable_tidscan", BOOL, "on", "A planner's hint, without effect."),
    entry("escape_string_warning", BOOL, "on", "There is nothing to warn of."),
    entry(
        "extra_float_digits",
        Kind::Integer { min: 1, max: 3 },
        "1",
        "Digits of floating-point values: always the shortest exact form.",
    ),
    entry(
        "from_collapse_limit",
        Kind::Integer { min: 1, max: 2147483647 },
        "8",
        "A planner's hint, without effect.",
    ),
    entry("geqo", BOOL, "on", "A planner's hint, without effect."),
    entry(
        "geqo_threshold",
        Kind::Integer { min: 2, max: 2147483647 },
        "12",
        "A planner's hint, without effect.",
    ),
    entry(
        "idle_in_transaction_session_timeout",
        MILLISECONDS,
        "0",
        "The longest idle time inside a transaction.",
    ),
    entry(
        "idle_session_timeout",
        MILLISECONDS,
        "0",
        "The longest idle time outside a transaction; 0 is the node's own.",
    ),
    told("in_hot_standby", FIXED, "off", "Whether another node leads the chain."),
    told("integer_datetimes", FIXED, "on", "Dates and times are integers."),
    told("IntervalStyle", Kind::Only("postgres"), "postgres", "Display format for intervals."),
    told("is_superuser", FIXED, "off", "Whether the current user is a superuser."),
    entry("jit", BOOL, "off", "A planner's hint, without effect."),
    entry("jit_above_cost", Kind::Cost, "100000", "A planner's hint, without effect."),
    entry(
        "join_collapse_limit",
        Kind::Integer { min: 1, max: 2147483647 },
        "8",
        "A planner's hint, without effect.",
    ),
    entry("lc_collate", FIXED, "C", "Collation order."),
    entry("lc_ctype", FIXED, "C.UTF-8", "Character classification."),
    entry("lc_messages", Kind::Only("C"), "C", "Language of messages."),
    entry("lc_monetary", Kind::Only("C"), "C", "Format of money."),
    entry("lc_numeric", Kind::Only("C"), "C", "Format of numbers."),
    entry("lc_time", Kind::Only("C"), "C", "Format of dates and times."),
    entry(
        "ledger.as_of",
        Kind::AsOf,
        "",
        "Reads see the chain as of this block, transaction or time.",
    ),
    entry("ledger.commit_receipt", BOOL, "off", "The receipt of each commit comes as a notice."),
    entry(
        "ledger.idempotency_key",
        TEXT,
        "",
        "A second transaction of this key gets the first one's receipt.",
    ),
    entry(
        "ledger.read",
        Kind::Freshness,
        "linearizable",
        "How new the state is that statements read: linearizable, bounded 500ms, stale, block:120.",
    ),
    entry(
        "ledger.short_path",
        BOOL,
        "on",
        "Statements by key go beside the planner; off is for comparing both.",
    ),
    entry("lock_timeout", MILLISECONDS, "0", "The longest wait for a lock; 0 is no limit."),
    entry("maintenance_work_mem", Kind::Memory, "65536", "A planner's hint, without effect."),
    entry("max_connections", FIXED, "1000", "The most connections."),
    entry("max_identifier_length", FIXED, "63", "The longest identifier, in bytes."),
    entry("max_index_keys", FIXED, "32", "The most columns of an index."),
    entry(
        "max_parallel_workers",
        Kind::Integer { min: 0, max: 1024 },
        "8",
        "A planner's hint, without effect.",
    ),
    entry(
        "max_parallel_workers_per_gather",
        Kind::Integer { min: 0, max: 1024 },
        "2",
        "A planner's hint, without effect.",
    ),
    entry("max_prepared_transactions", FIXED, "0", "Two-phase commit isn't supported."),
    entry("parallel_leader_participation", BOOL, "on", "A planner's hint, without effect."),
    entry("parallel_setup_cost", Kind::Cost, "1000", "A planner's hint, without effect."),
    entry("parallel_tuple_cost", Kind::Cost, "0.1", "A planner's hint, without effect."),
    entry(
        "password_encryption",
        Kind::Only("scram-sha-256"),
        "scram-sha-256",
        "How passwords are kept.",
    ),
    entry(
        "plan_cache_mode",
        Kind::Enum(&["auto", "force_generic_plan", "force_custom_plan"]),
        "auto",
        "A planner's hint, without effect.",
    ),
    entry("quote_all_identifiers", BOOL, "off", "Quotes all identifiers in generated SQL."),
    entry("random_page_cost", Kind::Cost, "4", "A planner's hint, without effect."),
    entry("row_security", BOOL, "on", "Row security; Stele has no policies."),
    told(
        "search_path",
        Kind::Names,
        "\"$user\", public",
        "Where names without a schema are looked up.",
    ),
    entry("seq_page_cost", Kind::Cost, "1", "A planner's hint, without effect."),
    told("server_encoding", FIXED, "UTF8", "The server's character set encoding."),
    told("server_version", FIXED, "15.8 (Stele 0.1.0)", "The server's version."),
    entry("server_version_num", FIXED, "150008", "The server's version as a number."),
    told("session_authorization", FIXED, "", "The session's user."),
    entry(
        "session_replication_role",
        Kind::Only("origin"),
        "origin",
        "Constraints are always checked.",
    ),
    entry("ssl", FIXED, "on", "Connections over TLS are taken."),
    told("standard_conforming_strings", Kind::Only("on"), "on", "Backslashes in '…' are ordinary."),
    entry("statement_timeout", MILLISECONDS, "0", "The longest run of a statement; 0 is no limit."),
    entry(
        "synchronous_commit",
        Kind::Only("on"),
        "on",
        "A commit is durable before it is acknowledged, always.",
    ),
    entry("temp_buffers", Kind::Memory, "8192", "A planner's hint, without effect."),
    entry("temp_tablespaces", Kind::Only(""), "", "Temporary tables lie in memory."),
    told("TimeZone", Kind::Zone, "UTC", "The time zone for showing and reading times."),
    entry(
        "transaction_deferrable",
        BOOL,
        "off",
        "Whether this transaction waits for a safe snapshot.",
    ),
    entry("transaction_isolation", ISOLATION, "read committed", "This transaction's isolation."),
    entry("transaction_read_only", BOOL, "off", "Whether this transaction only reads."),
    entry("transform_null_equals", Kind::Only("off"), "off", "NULL = NULL is NULL."),
    entry("wal_level", FIXED, "replica", "Blocks hold every change."),
    entry("work_mem", Kind::Memory, "4096", "A planner's hint, without effect."),
    entry("xmlbinary", Kind::Only("base64"), "base64", "Stele has no xml."),
    entry("xmloption", Kind::Only("content"), "content", "Stele has no xml."),
];
