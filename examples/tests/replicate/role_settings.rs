//! Settings of the role change no value that arrives.

use crate::database::{Database, with_database};
use crate::program::drain;

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, d date, ts timestamp, tz timestamptz, tt timetz, i interval, b bytea, f float8, r real, m money, a timestamptz[]);";
const ROW: &str = "'2026-02-01', '2026-02-03 04:05:06.789', '2026-02-03 04:05:06+02', '10:00:00+03', '1 year 2 mons -3 days 04:05:06.7', '\\x00ff', 0.1::float8 + 0.2, 0.1::real / 3, 12.5, ARRAY['2026-02-03 04:05:06+02'::timestamptz]";

#[tokio::test]
async fn date_style_time_zone_and_their_like_change_nothing() {
    let source = Database::shared("styles").await;
    source.run(TABLE).await;
    source.run(&format!("INSERT INTO t VALUES (1, {ROW})")).await;
    let role = format!("styled_{}", source.name);
    source
        .run(&format!(
            "CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'secret'; ALTER ROLE {role} SET DateStyle = 'SQL, DMY'; \
             ALTER ROLE {role} SET IntervalStyle = 'iso_8601'; ALTER ROLE {role} SET TimeZone = 'Asia/Kolkata'; \
             ALTER ROLE {role} SET bytea_output = 'escape'; ALTER ROLE {role} SET extra_float_digits = -5"
        ))
        .await;
    let address = source.url.split_once('@').unwrap().1.to_owned();
    let styled = format!("postgres://{role}:secret@{address}");
    let target = Database::shared("styles_copy").await;
    let styled_target = with_database(&styled, &target.name);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let arguments = [styled.as_str(), styled_target.as_str(), "--state", state.to_str().unwrap()];

    drain(&arguments);
    source.run(&format!("INSERT INTO t VALUES (2, {ROW})")).await;
    drain(&arguments);

    // Money is kept as its text, so it is compared as text alone.
    let columns: Vec<String> = "id d ts tz tt i b f r m a".split(' ').map(str::to_owned).collect();
    assert_eq!(source.digest("t", &columns).await, target.digest("t", &columns).await);
    let same = "SELECT count(DISTINCT ROW(d, ts, tz, tt, i, b, f, r, m, a)::text) FROM t";
    assert_eq!(
        target.one(same).await.as_deref(),
        Some("1"),
        "snapshot and stream give the same values"
    );
    for database in [source, target] {
        database.drop_now().await;
    }
}
