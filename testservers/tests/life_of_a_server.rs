//! What a test may do with a server of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{path::Path, sync::Arc};

use cdc_testservers::{Crash, Options, PostgresInstall, PostgresServer, private_postgres, sweep};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn ask(url: &str, query: &str) -> String {
    connect(url).await.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_server_answers_over_tcp_and_over_its_socket() {
    let server = private_postgres(Options::new()).unwrap();
    for url in [server.url("postgres"), server.socket_url("postgres")] {
        assert_eq!(ask(&url, "show wal_level").await, "logical");
        assert_eq!(ask(&url, "show server_encoding").await, "UTF8");
    }
}

#[tokio::test]
async fn a_server_has_the_settings_and_the_encoding_that_were_asked_for() {
    let options = Options::new()
        .encoding("SQL_ASCII")
        .setting("wal_level", "replica")
        .hba("host all guest 127.0.0.1/32 trust");
    let server = private_postgres(options).unwrap();
    let url = server.url("postgres");
    assert_eq!(ask(&url, "show server_encoding").await, "SQL_ASCII");
    assert_eq!(ask(&url, "show wal_level").await, "replica");
    connect(&url).await.batch_execute("create role guest login").await.unwrap();
    let guest = url.replace("postgres:postgres@", "guest@");
    assert_eq!(ask(&guest, "select current_user::text").await, "guest");
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_crash() {
    let mut server = private_postgres(Options::new()).unwrap();
    let url = server.url("postgres");
    connect(&url).await.batch_execute("create table notes (note text)").await.unwrap();
    for crash in [Crash::Kill, Crash::Immediate, Crash::Kill] {
        let insert = format!("insert into notes values ('{crash:?}')");
        connect(&url).await.batch_execute(&insert).await.unwrap();
        server.crash(crash).unwrap();
        assert!(!server.is_running());
        assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
        server.restart(&[("wal_sender_timeout", "7s")]).unwrap();
    }
    assert_eq!(ask(&url, "select string_agg(note, ' ') from notes").await, "Kill Immediate Kill");
    assert_eq!(ask(&url, "show wal_sender_timeout").await, "7s");
    server.reload(&[("wal_sender_timeout", "8s")]).unwrap();
}

#[tokio::test]
async fn the_certificate_is_good_for_the_authority_beside_it_and_no_other() {
    let server = private_postgres(Options::new()).unwrap();
    let stranger = private_postgres(Options::new()).unwrap();
    let url = format!("{}?sslmode=require", server.url("postgres"));
    let with_tls = |ca: &Path| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tokio_postgres_rustls::MakeRustlsConnect::new(config)
    };
    let (client, connection) =
        tokio_postgres::connect(&url, with_tls(&server.ca_cert())).await.unwrap();
    tokio::spawn(connection);
    let query = "select version from pg_stat_ssl where pid = pg_backend_pid()";
    let version: String = client.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(version, "TLSv1.3");
    assert!(tokio_postgres::connect(&url, with_tls(&stranger.ca_cert())).await.is_err());
}

#[test]
fn servers_started_at_once_have_ports_and_folders_of_their_own() {
    let install = PostgresInstall::find_or_fetch(None).unwrap();
    let start = || PostgresServer::start(&install, Options::new()).unwrap();
    let servers = std::thread::scope(|scope| {
        [scope.spawn(start), scope.spawn(start), scope.spawn(start)].map(|it| it.join().unwrap())
    });
    let mut ports = servers.each_ref().map(PostgresServer::port);
    ports.sort_unstable();
    assert!(ports[0] < ports[1] && ports[1] < ports[2]);
}

#[test]
fn a_dropped_server_leaves_nothing_and_a_living_one_is_not_swept() {
    let living = private_postgres(Options::new()).unwrap();
    let dropped = private_postgres(Options::new()).unwrap();
    let data = dropped.data_dir();
    assert!(data.is_dir());
    drop(dropped);
    sweep().unwrap();
    assert!(!data.parent().unwrap().exists());
    assert!(living.is_running());
}

#[test]
fn a_server_that_does_not_start_says_what_its_log_says() {
    let options = Options::new().setting("shared_buffers", "lots");
    let error = private_postgres(options).unwrap_err().to_string();
    assert!(error.contains("shared_buffers"), "{error}");
    assert_eq!(error.lines().count(), 1);
}
