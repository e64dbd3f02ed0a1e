//! Connecting to a real server.

// The whole crate is a test; clippy knows only its functions marked as such.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod server;

use std::time::{Duration, Instant};

use cdc_pgconn::{
    ConnectConfig, ConnectError, ConnectErrorKind, Host, RootCertificates, Session, SqlClient,
    SslMode, connect_sql, open,
};
use cdc_testservers::Options;
use server::database::{TestDatabase, as_role, config, own_server, shared};
use tokio::net::{TcpListener, TcpStream};

/// The same server for another host and port.
fn moved(config: &ConnectConfig, host: &str, port: u16) -> ConnectConfig {
    let moved = ConnectConfig::new(host, config.user())
        .with_port(port)
        .with_database(config.database())
        .with_ssl_mode(config.ssl_mode());
    match config.password() {
        Some(password) => moved.with_password(password.reveal()),
        None => moved,
    }
}

/// The first column of the first row.
async fn text(client: &SqlClient, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn failure(config: &ConnectConfig) -> ConnectError {
    let error = connect_sql(config, &Session::default()).await.unwrap_err();
    let text = error.to_string();
    println!("{text}");
    assert!(!text.contains('\n') && !text.contains("wrong-password"), "{text}");
    error
}

#[tokio::test]
async fn a_session_knows_its_server_and_shows_its_name() {
    let config = shared();
    let session = Session::default().with_application_name("cdc test").with_synchronous_commit();
    let client = connect_sql(&config, &session).await.unwrap();
    assert_eq!(text(&client, "SHOW server_version_num").await, client.server_version().to_string());
    assert_eq!(text(&client, "SHOW application_name").await, "cdc test");
    assert_eq!(text(&client, "SHOW synchronous_commit").await, "on");
}

#[tokio::test]
async fn a_wrong_password_a_missing_user_and_a_missing_database_are_told_apart() {
    let config = shared();
    let error = failure(&config.clone().with_password("wrong-password")).await;
    assert!(matches!(error, ConnectError::Authentication { .. }), "{error:?}");
    assert_eq!((error.sqlstate(), error.kind()), (Some("28P01"), ConnectErrorKind::Configuration));

    let error = failure(&config.clone().with_database("no_such_database")).await;
    assert!(matches!(error, ConnectError::DatabaseMissing { .. }), "{error:?}");
    assert_eq!(error.kind(), ConnectErrorKind::Configuration);

    let nobody = as_role(&config, config.user());
    let error = failure(&nobody).await;
    assert!(error.to_string().contains("PGPASSWORD"), "{error:?}");
}

#[tokio::test]
async fn a_host_without_name_and_a_port_without_server_are_unreachable() {
    let config = ConnectConfig::new("no-such-host.invalid", "app");
    let error = failure(&config).await;
    assert!(matches!(error, ConnectError::HostNotFound { .. }) && error.is_unreachable());

    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = failure(&ConnectConfig::new("127.0.0.1", "app").with_port(port)).await;
    assert!(matches!(error, ConnectError::Refused { .. }) && error.is_unreachable());
    assert_eq!(error.kind(), ConnectErrorKind::Transient);

    let directory = tempfile::tempdir().unwrap();
    let error = failure(&ConnectConfig::new(directory.path().to_str().unwrap(), "app")).await;
    assert!(matches!(error, ConnectError::Refused { .. }) && error.is_unreachable());
}

#[tokio::test]
async fn a_server_that_never_answers_ends_in_a_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = ConnectConfig::new("127.0.0.1", "app")
        .with_port(silent.local_addr().unwrap().port())
        .with_connect_timeout(Some(Duration::from_millis(300)));
    let started = Instant::now();
    let error = failure(&config).await;
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error:?}");
    assert!(!error.is_unreachable() && started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_of_another_kind_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    let error = failure(&ConnectConfig::new("127.0.0.1", "app").with_port(port)).await;
    assert!(matches!(error, ConnectError::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn a_unix_socket_is_reached_by_its_directory() {
    let server = own_server(Options::new());
    let socket = config(&server.socket_url("postgres"));
    assert!(matches!(socket.host(), Host::Unix(_)));
    let client = connect_sql(&socket, &Session::default()).await.unwrap();
    assert_eq!(text(&client, "SELECT inet_server_addr() IS NULL || ''").await, "true");
    assert!(open(&socket).await.unwrap().tcp().is_none());
}

#[tokio::test]
async fn tls_verifies_what_the_mode_says() {
    let server = own_server(Options::new());
    let config = config(&server.url("postgres"));
    let encrypted = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let directory = tempfile::tempdir().unwrap();
    let (ca, own) = (server.ca_cert(), server.data_dir().join("server.pem"));
    let with = |mode, root: Option<&std::path::Path>| {
        let config = config.clone().with_ssl_mode(mode);
        match root {
            Some(path) => config.with_ssl_root(RootCertificates::File(path.into())),
            None => config,
        }
    };
    let foreign = server::data("client-ca.pem");
    for (mode, root, expected) in [
        (SslMode::Disable, None, "false"),
        (SslMode::Allow, None, "false"),
        (SslMode::Prefer, None, "true"),
        (SslMode::Require, None, "true"),
        (SslMode::Require, Some(ca.as_path()), "true"),
        (SslMode::VerifyCa, Some(&ca), "true"),
        (SslMode::VerifyFull, Some(&ca), "true"),
        // A certificate that is named itself is trusted as it is.
        (SslMode::VerifyFull, Some(&own), "true"),
        // The handshake fails, and the connection is made without.
        (SslMode::Prefer, Some(&foreign), "false"),
    ] {
        let client = connect_sql(&with(mode, root), &Session::default()).await.unwrap();
        assert_eq!(text(&client, encrypted).await, expected, "{mode} {root:?}");
    }
    assert!(open(&with(SslMode::Require, None)).await.unwrap().tcp().is_some());

    for mode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
        let error = failure(&with(mode, Some(&foreign))).await;
        assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
        assert!(error.to_string().contains("sslrootcert"), "{error}");
    }
    let error = failure(&with(SslMode::VerifyFull, None)).await;
    assert!(matches!(error, ConnectError::Configuration { .. }), "{error:?}");
    let missing = directory.path().join("missing.pem");
    let error = failure(&with(SslMode::Require, Some(&missing))).await;
    assert!(matches!(error, ConnectError::Configuration { .. }), "{error:?}");
    let error =
        failure(&with(SslMode::VerifyFull, None).with_ssl_root(RootCertificates::System)).await;
    assert!(
        matches!(error, ConnectError::Tls { .. } | ConnectError::Configuration { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_name_in_the_certificate_counts_with_verify_full_only() {
    let server = own_server(Options::new());
    let config = config(&server.url("postgres"));
    // The server under an address that its certificate does not have.
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server_port = config.port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
            tokio::spawn(
                async move { tokio::io::copy_bidirectional(&mut client, &mut server).await },
            );
        }
    });
    let config =
        moved(&config, "127.0.0.2", port).with_ssl_root(RootCertificates::File(server.ca_cert()));
    let error = failure(&config.clone().with_ssl_mode(SslMode::VerifyFull)).await;
    assert!(error.to_string().contains("subjectAltName"), "{error}");
    let config = config.with_ssl_mode(SslMode::VerifyCa);
    assert!(connect_sql(&config, &Session::default()).await.is_ok());
}

#[tokio::test]
async fn a_session_that_the_server_ends_says_why() {
    let config = shared();
    let admin = server::admin(&config).await;
    let client = connect_sql(&config, &Session::default()).await.unwrap();
    // A simple query leaves no statement to be closed, whose answer the last words would be taken for.
    let answers = client.simple_query("SELECT pg_backend_pid()").await.unwrap();
    let pid: i32 = answers
        .iter()
        .find_map(|answer| match answer {
            cdc_pgconn::tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        })
        .unwrap();
    admin.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    while !client.is_closed() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = client.error(client.query("SELECT 1", &[]).await.unwrap_err());
    assert!(matches!(error, ConnectError::ShuttingDown { .. }), "{error:?}");
    assert_eq!(error.kind(), ConnectErrorKind::Transient);
}

#[tokio::test]
async fn a_dropped_client_closes_its_connection() {
    let config = shared();
    let admin = server::admin(&config).await;
    let client = connect_sql(&config, &Session::default()).await.unwrap();
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    drop(client);
    let gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)";
    let mut tries = 0;
    while !admin.query_one(gone, &[&pid]).await.unwrap().get::<_, bool>(0) {
        tries += 1;
        assert!(tries < 500, "session {pid} is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn settings_of_the_role_change_no_text_that_arrives() {
    let database = TestDatabase::create().await;
    let role = database.contrary_role().await;
    let session = Session::default().with_synchronous_commit();
    let client = connect_sql(&role, &session).await.unwrap();
    for (sql, expected) in [
        ("SELECT date '2024-02-29'::text", "2024-02-29"),
        ("SELECT timestamptz '2024-02-29 12:00+09'::text", "2024-02-29 03:00:00+00"),
        ("SELECT interval '1 month 2 days 03:04'::text", "1 mon 2 days 03:04:00"),
        (r"SELECT '\x00ff'::bytea::text", r"\x00ff"),
        ("SELECT (0.1::float8 + 0.2::float8)::text", "0.30000000000000004"),
        ("SELECT 'ä€'", "ä€"),
        ("SHOW client_encoding", "UTF8"),
        ("SHOW synchronous_commit", "on"),
        ("SHOW statement_timeout", "0"),
    ] {
        assert_eq!(text(&client, sql).await, expected, "{sql}");
    }
}
