//! The server that the tests run on.

use std::path::PathBuf;

use cdc_pgconn::{ConnectConfig, Environment, Session, SqlClient, connect_sql};

/// The server named by an environment variable as a superuser's URL; none: the test is skipped.
pub(crate) fn from_variable(variable: &str) -> Option<ConnectConfig> {
    let Ok(url) = std::env::var(variable) else {
        println!("skipped: {variable} is not set");
        return None;
    };
    Some(ConnectConfig::from_url_in(&url, &Environment::empty()).unwrap())
}

/// A session of the superuser.
pub(crate) async fn admin(config: &ConnectConfig) -> SqlClient {
    connect_sql(config, &Session::default()).await.unwrap()
}

/// The first column of the first row.
pub(crate) async fn text(client: &SqlClient, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// The contents of the server's file that a setting names.
pub(crate) async fn server_file(admin: &SqlClient, setting: &str) -> String {
    text(admin, &format!("SELECT pg_read_file(current_setting('{setting}'))")).await
}

/// A file of `tests/data`.
pub(crate) fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}
