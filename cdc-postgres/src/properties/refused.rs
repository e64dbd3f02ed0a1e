//! Options of Debezium's PostgreSQL connector that are refused by name. docs/postgres-options.md is made of these lists.

/// Options of the original that are not supported, with what to do instead. A name that ends in `*` stands for all that
/// begin so.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    (
        "database.sslfactory",
        "leave it out: TLS is built in; set database.sslmode and the certificates",
    ),
    (
        "database.sslpassword",
        "decrypt the key (openssl pkey -in client.key -out plain.key) and protect it by its permissions",
    ),
    (
        "driver.*",
        "leave it out: there is no JDBC driver; what it was for may be in database.* or database.initial.statements",
    ),
    ("snapshot.mode.custom.name", "leave it out: snapshot.mode=custom needs a class of Java's"),
    (
        "snapshot.mode.configuration.based.*",
        "set snapshot.mode to initial, always, initial_only, no_data or when_needed",
    ),
    ("snapshot.locking.mode.custom.name", "leave it out: tables are locked in ACCESS SHARE mode"),
    ("snapshot.query.mode*", "leave it out: tables are read as they are published"),
    ("snapshot.tables.order.by.row.count", "order the tables in table.include.list"),
    (
        "snapshot.max.threads.multiplier",
        "leave it out: into how many ranges a table is parted follows from its size",
    ),
    ("legacy.snapshot.max.threads", "leave it out: connections share the ranges of a large table"),
    ("snapshot.delay.ms", "start the program later"),
    (
        "streaming.delay.ms",
        "leave it out: the stream is held from the moment at which the copy begins",
    ),
    ("signal.kafka.*", "use the channels source or file, or the handle of the running pipeline"),
    ("signal.consumer.*", "use the channels source or file, or the handle of the running pipeline"),
    ("signal.emit.*", "leave it out: nothing is written into the table for signals"),
    (
        "incremental.snapshot.watermarking.strategy",
        "leave it out: nothing is written into the database to read tables beside the stream",
    ),
    (
        "incremental.snapshot.allow.schema.changes",
        "leave it out: tables may be altered while they are read",
    ),
    ("lsn.flush.timeout.*", "leave it out: nothing waits for the server to take a position"),
    (
        "offset.mismatch.strategy",
        "leave it out: an offset that does not fit the slot is an error with its remedies",
    ),
    ("max.queue.size", "set max.queue.size.in.bytes: queues are bounded in bytes"),
    ("query.fetch.size", "set snapshot.fetch.size"),
    ("connection.validation.timeout.ms", "leave it out: a connection has 15 s to be made"),
    (
        "executor.shutdown.timeout.ms",
        "set the time that a stop may take where the pipeline is built",
    ),
];

/// What `snapshot.mode` may say in the original and not here.
pub(crate) const REFUSED_SNAPSHOT_MODES: &[(&str, &str)] = &[
    ("never", "its name is no_data"),
    ("configuration_based", "use initial, always, initial_only, no_data or when_needed"),
    (
        "custom",
        "it needs a class of Java's; use initial, always, initial_only, no_data or when_needed",
    ),
];
