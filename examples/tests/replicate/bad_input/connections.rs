//! What is wrong with the address, the password or the rights.

use super::{Case, error, says};
use crate::database::with_database;

#[tokio::test]
async fn a_wrong_password() {
    let case = Case::new("password").await;
    let role = format!("nobody_{}", case.source.name);
    case.source.run(&format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'right'")).await;
    let message = error(&case.arguments_from(&case.url_as(&role, "secret")));
    says(&message, &["password", &role]);
    case.source.run(&format!("DROP ROLE {role}")).await;
    case.source.drop_now().await;
}

#[tokio::test]
async fn a_host_that_does_not_resolve() {
    let case = Case::new("host").await;
    let message = error(&case.arguments_from("postgres://app:secret@no-such-host.invalid/shop"));
    says(&message, &["no-such-host.invalid"]);
    case.source.drop_now().await;
}

#[tokio::test]
async fn a_port_where_nothing_listens() {
    let case = Case::new("port").await;
    let message = error(&case.arguments_from("postgres://app:secret@127.0.0.1:1/shop"));
    says(&message, &["127.0.0.1", "1", "refused"]);
    case.source.drop_now().await;
}

#[tokio::test]
async fn a_database_that_does_not_exist() {
    let case = Case::new("database").await;
    let message = error(&case.arguments_from(&with_database(&case.source.url, "no_such_database")));
    says(&message, &["no_such_database"]);
    case.source.drop_now().await;
}

#[tokio::test]
async fn a_role_without_replication() {
    let case = Case::new("role").await;
    let role = format!("plain_{}", case.source.name);
    case.source.run(&format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'")).await;
    let message = error(&case.arguments_from(&case.url_as(&role, "secret")));
    says(&message, &["REPLICATION", "ALTER ROLE"]);
    case.source.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    case.source.drop_now().await;
}

#[tokio::test]
async fn an_unknown_property_of_the_url() {
    let case = Case::new("property").await;
    let message = error(&case.arguments_from(&format!("{}?slotname=x", case.source.url)));
    says(&message, &["slotname"]);
    case.source.drop_now().await;
}

#[tokio::test]
async fn no_piece_of_a_password_is_repeated() {
    let case = Case::new("redacted").await;
    for target in [
        "host=db password=secret",
        "mysql://db/shop?user=app&password=secret",
        "mysql://app:a@secret@db/shop",
        "postgres://app:a?secret=1@db/shop",
    ] {
        let arguments = [case.source.url.clone(), target.into(), "--state".into(), case.state()];
        says(&error(&arguments), &["error: "]);
    }
    says(&error(&case.arguments_from("postgres://app:a?secret=1@db/shop")), &["%3F"]);
    case.source.drop_now().await;
}
