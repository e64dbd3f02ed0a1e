//! The options that [`FromProperties`](cdc_core::connector::FromProperties) reads, as docs/postgres-options.md lists them: the tests
//! see to it that each of them is read, and that the page says the same.

/// An option that is supported.
pub(crate) struct Supported {
    pub(crate) name: &'static str,
    /// The default here; empty where there is none.
    pub(crate) default: &'static str,
    pub(crate) what: &'static str,
    /// A value that is accepted.
    pub(crate) example: &'static str,
}

const fn option(
    name: &'static str,
    default: &'static str,
    example: &'static str,
    what: &'static str,
) -> Supported {
    Supported { name, default, what, example }
}

/// All options that are supported.
pub(crate) const SUPPORTED: &[Supported] = &[
    option("database.hostname", "required", "db", "host name or IP address, IPv6 too; one host"),
    option("database.port", "5432", "5433", ""),
    option("database.user", "required", "app", ""),
    option("database.password", "", "secret", ""),
    option("database.dbname", "required", "shop", ""),
    option(
        "database.sslmode",
        "prefer",
        "require",
        "disable, allow, prefer, require, verify-ca, verify-full, as libpq has them: with `database.sslrootcert` the modes from prefer on verify at least as verify-ca does",
    ),
    option("database.sslrootcert", "", "/etc/ssl/root.pem", "file of root certificates in PEM"),
    option(
        "database.sslcert",
        "",
        "/etc/ssl/client.pem",
        "client certificate in PEM; `database.sslkey` goes with it",
    ),
    option("database.sslkey", "", "/etc/ssl/client.key", "its key in PEM, without a password"),
    option("database.tcpKeepAlive", "true", "true", "only true"),
    option(
        "database.initial.statements",
        "",
        "SET search_path = shop;SELECT 'a;;b'",
        "run first in every session for SQL, not in the one that reads the log; settings that values depend on (time zone, formats) are set again after them; `;;` is one `;`",
    ),
    option(
        "database.query.timeout.ms",
        "600000",
        "1000",
        "the longest time of a statement, but for the reading of rows; 0 is no limit",
    ),
    option(
        "plugin.name",
        "pgoutput",
        "pgoutput",
        "only pgoutput (Debezium's default, decoderbufs, is an extension to be installed)",
    ),
    option(
        "slot.name",
        "debezium",
        "shop_1",
        "made at the first start; one that no offset speaks of is refused, see `cdc.slot.adopt`",
    ),
    option(
        "slot.drop.on.stop",
        "false",
        "true",
        "the next start makes a new slot and copies all rows again; Debezium goes on without what was changed in between",
    ),
    option(
        "slot.failover",
        "false",
        "true",
        "PostgreSQL 17 and later; on an older server an error, where Debezium makes an ordinary slot",
    ),
    option(
        "slot.stream.params",
        "",
        "origin=none",
        "only `origin=any` or `origin=none` (PostgreSQL 16 and later); how the log is sent is not to be chosen",
    ),
    option(
        "slot.max.retries",
        "",
        "6",
        "times `slot.retry.delay.ms` (10000): how long a slot that is in use is waited for. Where neither is set as long as it takes: a second instance is a hot standby",
    ),
    option("slot.retry.delay.ms", "", "1000", "see `slot.max.retries` (6)"),
    option("publication.name", "dbz_publication", "Shop", "any name: it is quoted"),
    option(
        "publication.autocreate.mode",
        "all_tables",
        "filtered",
        "all_tables, disabled, filtered, no_tables. A copy reads what is published; tables that `filtered` adds later are followed, their older rows are not copied",
    ),
    option(
        "publish.via.partition.root",
        "false",
        "true",
        "for a publication that is made; rows come under the root or under the leaves, in the copy as in the stream, never both",
    ),
    option(
        "skipped.operations",
        "",
        "t",
        "where set, a publication that is made publishes the other operations alone; the skipping itself is the pipeline's",
    ),
    option(
        "replica.identity.autoset.values",
        "",
        "public.orders:FULL,shop.*:INDEX orders_code",
        "DEFAULT, FULL, NOTHING or INDEX name",
    ),
    option(
        "schema.include.list",
        "",
        "public,shop_\\d+",
        "list of Java's regular expressions for whole names, whatever the case; not with `schema.exclude.list`",
    ),
    option("schema.exclude.list", "", "", "the same"),
    option(
        "table.include.list",
        "",
        "public\\.orders,shop\\..*",
        "for `schema.table`; a partition also by the names of the tables above it. Tables are copied in the order of the list",
    ),
    option("table.exclude.list", "", "", "the same; not with `table.include.list`"),
    option(
        "table.ignore.builtin",
        "true",
        "true",
        "leaves PostGIS's `spatial_ref_sys` out; the system's schemas are out in any case",
    ),
    option(
        "column.include.list",
        "",
        "public\\.orders\\.(id|note)",
        "for `schema.table.column`; the record's key keeps its columns",
    ),
    option("column.exclude.list", "", "", "the same; not with `column.include.list`"),
    option(
        "column.mask.with.N.chars",
        "",
        "public\\.orders\\.note",
        "columns of text and enums as N asterisks, NULL included; of several rules for a column the one that shows least holds",
    ),
    option(
        "column.mask.hash.ALGORITHM.with.salt.SALT",
        "",
        "public\\.orders\\.note",
        "MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512, SHA-512/224, SHA-512/256 of salt and Java's serialisation of the text, in hexadecimal and cut to the column's length; what was not sent stays unavailable",
    ),
    option(
        "column.mask.hash.v2.ALGORITHM.with.salt.SALT",
        "",
        "public\\.orders\\.note",
        "the same of salt and text",
    ),
    option(
        "column.truncate.to.N.chars",
        "",
        "public\\.orders\\.note",
        "the first N characters; what was not sent stays unavailable",
    ),
    option(
        "message.key.columns",
        "",
        "public.orders:id,note;shop.(.*):code",
        "the record's key; its columns are never masked. A deleted row has them only where they are of its replica identity",
    ),
    option(
        "message.prefix.include.list",
        "",
        "app.*",
        "prefixes of logical messages; not with `message.prefix.exclude.list`",
    ),
    option("message.prefix.exclude.list", "", "", "the same"),
    option(
        "skip.messages.without.change",
        "false",
        "true",
        "leaves out updates that change no column that is shown; needs REPLICA IDENTITY FULL",
    ),
    option(
        "snapshot.mode",
        "initial",
        "no_data",
        "initial, always, initial_only, no_data, when_needed. `always` copies again at each later start, beside the changes (`source.snapshot` of its rows is `incremental`); after `initial_only` the pipeline ends; `when_needed` copies again, after the targets are emptied, where the slot is gone, has lost log, was read by somebody else or is of another timeline",
    ),
    option(
        "snapshot.isolation.mode",
        "serializable",
        "repeatable_read",
        "serializable or repeatable_read: rows are read in one REPEATABLE READ transaction, at one point of the log, as Debezium's are with a new slot",
    ),
    option(
        "snapshot.locking.mode",
        "none",
        "shared",
        "none or shared: tables are locked in ACCESS SHARE mode, which reading them does in any case",
    ),
    option(
        "snapshot.lock.timeout.ms",
        "10000",
        "5000",
        "how long these locks are waited for with `snapshot.locking.mode=shared`, or where it is set; else as long as it takes",
    ),
    option("snapshot.fetch.size", "", "2000", "the most rows of a copy in a batch"),
    option(
        "snapshot.max.threads",
        "1",
        "4",
        "how many connections read chunks, in the first copy and beside the stream; with more than one the rows of a table come in another order than that of its key, without the marks of the first and the last in the table",
    ),
    option(
        "snapshot.include.collection.list",
        "",
        "public\\.orders,shop\\..*",
        "of the tables that are followed those whose rows are copied, in the form of `table.include.list`; of the others come changes alone, unless a snapshot of them is asked for",
    ),
    option(
        "snapshot.select.statement.overrides",
        "",
        "public.orders",
        "tables as `schema.table`, each with an option of its own, `snapshot.select.statement.overrides.schema.table`: the query that is read in place of the table. It has to give the table's columns by their names; the publication's row filter holds for its rows too",
    ),
    option(
        "incremental.snapshot.chunk.size",
        "5000",
        "1024",
        "rows of the first chunk of a table that is read beside the stream; later ones are as large as 8 MiB and half a second allow, or 512 KiB in pieces while others write",
    ),
    option(
        "signal.enabled.channels",
        "source",
        "source,file",
        "source and file: execute-snapshot (incremental and blocking alike are merged into the stream), stop-snapshot, pause-snapshot, resume-snapshot and log. A signal that cannot be carried out is told in the log and left out",
    ),
    option(
        "signal.data.collection",
        "",
        "public.debezium_signal",
        "the table for signals as `schema.table`, which has to be followed; nothing is written into it",
    ),
    option(
        "signal.file",
        "file-signals.txt",
        "/run/signals",
        "a line of JSON for each signal; it is emptied when what it asks for is saved, so that a kill forgets none",
    ),
    option("signal.poll.interval.ms", "5000", "1000", "how often the file is looked at"),
    option(
        "status.update.interval.ms",
        "10000",
        "1000",
        "at least this often, and at least three times in the server's `wal_sender_timeout`",
    ),
    option(
        "lsn.flush.mode",
        "connector",
        "connector",
        "only connector: the server is told what is saved",
    ),
    option("flush.lsn.source", "true", "true", "only true"),
    option(
        "schema.refresh.mode",
        "columns_diff",
        "columns_diff",
        "only columns_diff: a schema is always the log's",
    ),
    option("read.only", "false", "false", "only false"),
    option("xmin.fetch.interval.ms", "0", "0", "only 0"),
    option(
        "provide.transaction.metadata",
        "false",
        "true",
        "the source tells begin and end of transactions; the pipeline numbers what is between them",
    ),
    option(
        "max.batch.size",
        "",
        "2048",
        "the most events in a batch; where not set the pipeline's limit",
    ),
    option(
        "max.queue.size.in.bytes",
        "",
        "1048576",
        "how much of the log is read ahead; 0 or not set is 1 MiB",
    ),
    option(
        "poll.interval.ms",
        "",
        "500",
        "the longest time that an event waits for others, where that is shorter than the pipeline's",
    ),
    option(
        "cdc.slot.adopt",
        "false",
        "true",
        "an option of this library: takes over a slot of this name that no offset speaks of; all tables are copied and what the slot has kept is followed",
    ),
];
