//! Changes that are hard to copy, made by one session, reproducible by their seed.

use tokio_postgres::Client;

/// The tables of the workload. `version` always grows, so that a copy that goes back is noticed.
pub(crate) const SCHEMA: &str = r#"
CREATE SEQUENCE oracle_version;
CREATE TABLE items (id bigint PRIMARY KEY, version bigint NOT NULL, big text, note text, amount numeric(12,2));
ALTER TABLE items ALTER COLUMN big SET STORAGE EXTERNAL;
CREATE TABLE "Odd Table" ("Key A" text, "key b" int, version bigint NOT NULL, "val,ue" text, PRIMARY KEY ("key b", "Key A"));
CREATE TABLE big_keys (k text PRIMARY KEY, version bigint NOT NULL, note text);
ALTER TABLE big_keys ALTER COLUMN k SET STORAGE EXTERNAL;
CREATE TABLE by_index (a int NOT NULL, b text, version bigint NOT NULL);
CREATE UNIQUE INDEX by_index_a ON by_index (a);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_a;
CREATE TABLE log (n bigint NOT NULL, message text);
CREATE TABLE keyless_full (n int, note text);
ALTER TABLE keyless_full REPLICA IDENTITY FULL;
CREATE TABLE emptied (id bigint PRIMARY KEY, version bigint NOT NULL);
CREATE TABLE seats (seat int PRIMARY KEY, version bigint NOT NULL, guest text, luggage text);
ALTER TABLE seats ALTER COLUMN luggage SET STORAGE EXTERNAL;
CREATE TABLE never_used (id int PRIMARY KEY, note text);
"#;

/// The rows that are there before the copy begins.
pub(crate) const ROWS: &str = r#"
INSERT INTO items SELECT i, nextval('oracle_version'), repeat(md5(i::text), 100), 'n' || i, i FROM generate_series(1, 2000) i;
INSERT INTO seats SELECT i, nextval('oracle_version'), 'guest ' || i, repeat(md5(i::text), 120) FROM generate_series(1, 50) i;
INSERT INTO log SELECT i, 'before' FROM generate_series(-1000, -1) i;
INSERT INTO keyless_full SELECT i % 7, 'twin' FROM generate_series(1, 50) i;
INSERT INTO by_index SELECT i, 'b' || i, nextval('oracle_version') FROM generate_series(1, 200) i;
"#;

/// Triggers on a target with the tables of [`SCHEMA`]: a row that goes back to an older version is written down.
pub(crate) const VERSION_WATCH: &str = r#"
CREATE TABLE oracle_seen (who text PRIMARY KEY, version bigint NOT NULL);
CREATE TABLE oracle_violations (who text, had bigint, got bigint);
CREATE FUNCTION oracle_watch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE me text := TG_TABLE_NAME || ':' || md5((to_jsonb(NEW)->>TG_ARGV[0]) || coalesce(to_jsonb(NEW)->>TG_ARGV[1], ''));
        had bigint;
BEGIN
  SELECT version INTO had FROM oracle_seen s WHERE s.who = me;
  IF had > NEW.version THEN INSERT INTO oracle_violations VALUES (me, had, NEW.version); END IF;
  INSERT INTO oracle_seen AS s VALUES (me, NEW.version) ON CONFLICT ON CONSTRAINT oracle_seen_pkey
    DO UPDATE SET version = greatest(s.version, excluded.version);
  RETURN NEW;
END $$;
CREATE TRIGGER watch BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION oracle_watch('id', '');
CREATE TRIGGER watch BEFORE INSERT OR UPDATE ON "Odd Table" FOR EACH ROW EXECUTE FUNCTION oracle_watch('Key A', 'key b');
CREATE TRIGGER watch BEFORE INSERT OR UPDATE ON big_keys FOR EACH ROW EXECUTE FUNCTION oracle_watch('k', '');
CREATE TRIGGER watch BEFORE INSERT OR UPDATE ON by_index FOR EACH ROW EXECUTE FUNCTION oracle_watch('a', '');
CREATE TRIGGER watch BEFORE INSERT OR UPDATE ON seats FOR EACH ROW EXECUTE FUNCTION oracle_watch('seat', '');
CREATE TRIGGER watch BEFORE INSERT OR UPDATE ON emptied FOR EACH ROW EXECUTE FUNCTION oracle_watch('id', '');
"#;

/// Makes changes until at least `rows` rows have changed; returns how many did.
pub(crate) struct Workload {
    random: fastrand::Rng,
    next_log: i64,
    added_columns: usize,
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        Workload { random: fastrand::Rng::with_seed(seed), next_log: 1, added_columns: 0 }
    }

    /// One transaction of some kind; returns how many rows it changed, and fails only when the connection does.
    pub(crate) async fn step(&mut self, sql: &Client) -> Result<u64, tokio_postgres::Error> {
        let id = self.random.i64(1..3000);
        let other = self.random.i64(1..3000);
        let seat = self.random.i32(1..=50);
        let neighbour = self.random.i32(1..=50);
        let first = self.next_log;
        let (statements, rows) = match self.random.u32(0..100) {
            0..15 => (
                format!(
                    "INSERT INTO items VALUES ({id}, nextval('oracle_version'), repeat(md5('{other}'), 100), 'new', {id}) \
                 ON CONFLICT (id) DO UPDATE SET note = 'again', version = excluded.version"
                ),
                1,
            ),
            // The large value stays as it is.
            15..35 => (
                format!(
                    "UPDATE items SET note = md5('{other}'), amount = amount + 1, version = nextval('oracle_version') \
                 WHERE id BETWEEN {id} AND {id} + 20"
                ),
                15,
            ),
            // The key changes, the large value does not.
            35..43 => (
                format!(
                    "UPDATE items SET id = {id} + 100000, version = nextval('oracle_version') \
                 WHERE id = {id} AND NOT EXISTS (SELECT FROM items WHERE id = {id} + 100000)"
                ),
                1,
            ),
            43..48 => {
                (format!("DELETE FROM items WHERE id IN ({id}, {other}, {other} + 100000)"), 2)
            }
            48..52 => (
                format!(
                    "BEGIN; DELETE FROM items WHERE id = {id}; \
                 INSERT INTO items VALUES ({id}, nextval('oracle_version'), NULL, 'reborn', NULL); COMMIT"
                ),
                2,
            ),
            52..56 => (
                format!(
                    "BEGIN; SAVEPOINT s; UPDATE items SET note = 'never', version = nextval('oracle_version') WHERE id < 100; \
                 ROLLBACK TO s; UPDATE items SET note = 'kept', version = nextval('oracle_version') WHERE id = {id}; \
                 SAVEPOINT t; DELETE FROM items WHERE id = {other}; RELEASE t; COMMIT"
                ),
                2,
            ),
            // Two keys are swapped; the large values stay with their rows.
            56..64 if seat != neighbour => (
                format!(
                    "BEGIN; UPDATE seats SET seat = -1, version = nextval('oracle_version') WHERE seat = {seat}; \
                 UPDATE seats SET seat = {seat}, version = nextval('oracle_version') WHERE seat = {neighbour}; \
                 UPDATE seats SET seat = {neighbour}, version = nextval('oracle_version') WHERE seat = -1; COMMIT"
                ),
                3,
            ),
            64..72 => (
                format!(
                    "INSERT INTO \"Odd Table\" VALUES ('k{}', {}, nextval('oracle_version'), E'quote '' tab\\t back\\\\ ünï') \
                 ON CONFLICT (\"key b\", \"Key A\") DO UPDATE SET \"val,ue\" = md5('{other}'), version = excluded.version",
                    id % 30,
                    other % 10
                ),
                1,
            ),
            72..75 => (format!("DELETE FROM \"Odd Table\" WHERE \"key b\" = {}", other % 10), 3),
            // A key that is itself a large value.
            75..81 => (
                format!(
                    "INSERT INTO big_keys VALUES (repeat(md5('{k}'), 75), nextval('oracle_version'), 'new') \
                 ON CONFLICT (k) DO UPDATE SET note = md5('{other}'), version = excluded.version",
                    k = id % 40
                ),
                1,
            ),
            81..85 => (
                format!(
                    "UPDATE by_index SET b = md5('{other}'), version = nextval('oracle_version') WHERE a % 50 = {}",
                    id % 50
                ),
                4,
            ),
            85..91 => {
                self.next_log += 20;
                (
                    format!(
                        "INSERT INTO log SELECT i, 'row ' || i FROM generate_series({first}, {first} + 19) i"
                    ),
                    20,
                )
            }
            91..94 => (
                format!(
                    "INSERT INTO keyless_full VALUES ({n}, 'twin'), ({n}, 'twin'), ({n}, NULL)",
                    n = id % 7
                ),
                3,
            ),
            94..96 => (
                format!(
                    "UPDATE keyless_full SET note = md5('{other}') WHERE ctid IN (SELECT ctid FROM keyless_full WHERE n = {} LIMIT 2)",
                    id % 7
                ),
                2,
            ),
            96..97 => (
                format!(
                    "DELETE FROM keyless_full WHERE ctid IN (SELECT ctid FROM keyless_full WHERE n = {} LIMIT 1)",
                    id % 7
                ),
                1,
            ),
            97..99 => (
                format!(
                    "INSERT INTO emptied SELECT i, nextval('oracle_version') FROM generate_series({id}, {id} + 10) i \
                 ON CONFLICT DO NOTHING"
                ),
                5,
            ),
            _ if self.random.u32(0..4) == 0 && self.added_columns < 6 => {
                self.added_columns += 1;
                (
                    format!(
                        "ALTER TABLE items ADD COLUMN extra_{} text; UPDATE items SET extra_{} = 'x', \
                          version = nextval('oracle_version') WHERE id < 20",
                        self.added_columns, self.added_columns
                    ),
                    20,
                )
            }
            _ => ("TRUNCATE emptied".to_owned(), 1),
        };
        sql.batch_execute(&statements).await?;
        Ok(rows)
    }

    /// One transaction of many rows.
    pub(crate) async fn large_transaction(
        &mut self,
        sql: &Client,
        rows: u64,
    ) -> Result<u64, tokio_postgres::Error> {
        let first = self.next_log;
        self.next_log += i64::try_from(rows).unwrap();
        sql.batch_execute(&format!(
            "INSERT INTO log SELECT i, 'large ' || i FROM generate_series({first}, {first} + {rows} - 1) i"
        ))
        .await?;
        Ok(rows)
    }
}
