//! The methods of `pg_hba.conf`, on a server of the test's own: `CDC_TEST_POSTGRES_PRIVATE_URL` names one, as a
//! superuser with a password over TCP. Its `pg_hba.conf` and `ssl_ca_file` are changed, and changed back.

// The whole crate is a test; clippy knows only its functions marked as such.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod server;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cdc_pgconn::{ConnectConfig, ConnectError, Host, Session, SqlClient, SslMode, connect_sql};

/// Rules for the roles of this test only, before those of the server.
const RULES: &str = "
local   all cdc_test_trust             trust
host    all cdc_test_trust    all      trust
host    all cdc_test_password all      password
host    all cdc_test_md5      all      md5
host    all cdc_test_scram    all      scram-sha-256
hostssl all cdc_test_tls      all      scram-sha-256
hostnossl all cdc_test_tls    all      reject
hostssl all cdc_test_cert     all      cert
";

/// Writes a file on the server, a line for each row.
async fn write_file(admin: &SqlClient, path: &str, text: &str) {
    let text = text.replace('\t', " ").replace('\'', "''");
    let lines = format!("SELECT line FROM regexp_split_to_table('{text}', chr(10)) AS line");
    admin.batch_execute(&format!("COPY ({lines}) TO '{path}'")).await.unwrap();
}

async fn reload(admin: &SqlClient) {
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    // The postmaster reads its files when it gets to it.
    tokio::time::sleep(Duration::from_millis(500)).await;
}

async fn log_in(config: &ConnectConfig) -> Result<(String, bool), ConnectError> {
    let client = connect_sql(config, &Session::default()).await?;
    let sql = "SELECT current_user::text, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = client.query_one(sql, &[]).await.unwrap();
    Ok((row.get(0), row.get(1)))
}

#[tokio::test]
async fn every_login_method_is_answered() {
    let Some(config) = server::from_variable("CDC_TEST_POSTGRES_PRIVATE_URL") else { return };
    let admin = server::admin(&config).await;
    let hba_path = server::text(&admin, "SHOW hba_file").await;
    let hba = server::server_file(&admin, "hba_file").await;
    let client_ca = std::fs::read_to_string(server::data("client-ca.pem")).unwrap();
    let authorities = server::server_file(&admin, "ssl_ca_file").await + &client_ca;
    let data_directory = server::text(&admin, "SHOW data_directory").await;
    write_file(&admin, &format!("{data_directory}/cdc_test_ca.pem"), &authorities).await;
    let roles = ["trust", "password", "md5", "scram", "tls", "cert"];
    for role in roles {
        let encryption = if role == "md5" { "md5" } else { "scram-sha-256" };
        let sql = format!(
            "SET password_encryption = '{encryption}'; DROP ROLE IF EXISTS cdc_test_{role};
             CREATE ROLE cdc_test_{role} LOGIN PASSWORD 'pass-{role}'"
        );
        admin.batch_execute(&sql).await.unwrap();
    }
    admin.batch_execute("ALTER SYSTEM SET ssl_ca_file = 'cdc_test_ca.pem'").await.unwrap();
    write_file(&admin, &hba_path, &format!("{RULES}{hba}")).await;
    reload(&admin).await;

    // Everything is changed back before anything is judged.
    let seen = try_all(&config).await;
    admin.batch_execute("ALTER SYSTEM RESET ssl_ca_file").await.unwrap();
    write_file(&admin, &hba_path, &hba).await;
    reload(&admin).await;
    for role in roles {
        admin.batch_execute(&format!("DROP ROLE cdc_test_{role}")).await.unwrap();
    }
    for (what, result, expected) in seen {
        match result {
            Ok((user, encrypted)) => {
                assert_eq!(format!("{user} {encrypted}"), expected, "{what}");
            }
            Err(error) => {
                println!("{what}: {error}");
                assert!(format!("{error:?}").contains(expected), "{what}: {error:?}");
            }
        }
    }
}

type Seen = (&'static str, Result<(String, bool), ConnectError>, &'static str);

async fn try_all(config: &ConnectConfig) -> Vec<Seen> {
    let Host::Tcp(host) = config.host() else { panic!("the URL is not of TCP") };
    let role = |role: &str, mode| {
        ConnectConfig::new(host, format!("cdc_test_{role}"))
            .with_port(config.port())
            .with_database(config.database())
            .with_ssl_mode(mode)
    };
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key.pem");
    std::fs::copy(server::data("client-key.pem"), &key).unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let exposed = directory.path().join("exposed.pem");
    std::fs::copy(server::data("client-key.pem"), &exposed).unwrap();
    std::fs::set_permissions(&exposed, PermissionsExt::from_mode(0o644)).unwrap();
    let certificate = server::data("client.pem");
    let passfile = directory.path().join("pgpass");
    std::fs::write(&passfile, "*:*:*:cdc_test_scram:pass-scram\n").unwrap();
    std::fs::set_permissions(&passfile, PermissionsExt::from_mode(0o600)).unwrap();
    let (off, need) = (SslMode::Disable, SslMode::Require);

    let cert = |key| role("cert", need).with_client_certificate(&certificate, key);
    let attempts = [
        ("trust", role("trust", off), "cdc_test_trust false"),
        (
            "password",
            role("password", need).with_password("pass-password"),
            "cdc_test_password true",
        ),
        ("md5", role("md5", off).with_password("pass-md5"), "cdc_test_md5 false"),
        ("scram", role("scram", off).with_password("pass-scram"), "cdc_test_scram false"),
        ("scram over TLS", role("scram", need).with_password("pass-scram"), "cdc_test_scram true"),
        ("password file", role("scram", off).with_passfile(&passfile), "cdc_test_scram false"),
        ("md5, wrong", role("md5", off).with_password("nonsense"), "28P01"),
        ("scram, wrong", role("scram", off).with_password("nonsense"), "28P01"),
        ("scram, none", role("scram", off), "PGPASSWORD"),
        ("TLS needed, off", role("tls", off).with_password("pass-tls"), "Authentication"),
        (
            "TLS needed, allow",
            role("tls", SslMode::Allow).with_password("pass-tls"),
            "cdc_test_tls true",
        ),
        ("certificate", cert(&key), "cdc_test_cert true"),
        ("certificate, none", role("cert", need), "Authentication"),
        ("certificate, key exposed", cert(&exposed), "chmod 600"),
    ];
    let mut seen = Vec::new();
    for (what, config, expected) in attempts {
        seen.push((what, log_in(&config).await, expected));
    }
    seen
}
