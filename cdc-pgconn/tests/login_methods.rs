//! The methods of `pg_hba.conf`, on a server of the test's own.

// The whole crate is a test; clippy knows only its functions marked as such.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod server;

use std::os::unix::fs::PermissionsExt;

use cdc_pgconn::{ConnectConfig, ConnectError, Session, SslMode, connect_sql};
use cdc_testservers::Options;
use server::database::{as_role, config, own_server};

/// Rules for the roles of this test, before those of the server.
const RULES: [&str; 7] = [
    "host      all cdc_test_trust    all trust",
    "host      all cdc_test_password all password",
    "host      all cdc_test_md5      all md5",
    "host      all cdc_test_scram    all scram-sha-256",
    "hostssl   all cdc_test_tls      all scram-sha-256",
    "hostnossl all cdc_test_tls      all reject",
    "hostssl   all cdc_test_cert     all cert",
];

async fn log_in(config: &ConnectConfig) -> Result<(String, bool), ConnectError> {
    let client = connect_sql(config, &Session::default()).await?;
    let sql = "SELECT current_user::text, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = client.query_one(sql, &[]).await.unwrap();
    Ok((row.get(0), row.get(1)))
}

#[tokio::test]
async fn every_login_method_is_answered() {
    // Where the server can read it, whoever runs it.
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let client_ca = directory.path().join("client-ca.pem");
    std::fs::copy(server::data("client-ca.pem"), &client_ca).unwrap();
    std::fs::set_permissions(&client_ca, PermissionsExt::from_mode(0o644)).unwrap();
    let options = Options::new().setting("ssl_ca_file", client_ca.to_str().unwrap());
    let server = own_server(RULES.into_iter().fold(options, Options::hba));
    let config = config(&server.url("postgres"));
    let admin = server::admin(&config).await;
    for role in ["trust", "password", "md5", "scram", "tls", "cert"] {
        let encryption = if role == "md5" { "md5" } else { "scram-sha-256" };
        let sql = format!(
            "SET password_encryption = '{encryption}';
             CREATE ROLE cdc_test_{role} LOGIN PASSWORD 'pass-{role}'"
        );
        admin.batch_execute(&sql).await.unwrap();
    }
    for (what, result, expected) in try_all(&config).await {
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
    let role = |role: &str, mode| as_role(config, &format!("cdc_test_{role}")).with_ssl_mode(mode);
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
