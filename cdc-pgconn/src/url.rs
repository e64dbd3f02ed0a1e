//! Connection URLs, taken apart as libpq does (PostgreSQL manual, "Connection URIs").
//!
//! No message here repeats a part of the URL that could be a piece of a password.

use std::collections::HashMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::config::PARAMETERS;
use crate::error::ConnectError;

/// What a URL says, by parameter name (`host`, `port`, `user`, `password`, `dbname`, `sslmode`, ...).
pub(crate) type Settings = HashMap<&'static str, String>;

/// Everything that must be escaped in a part of a URL.
const PART: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'$');

/// Escapes a part of a URL for display.
pub(crate) fn encode(part: &str) -> String {
    utf8_percent_encode(part, PART).to_string()
}

/// Takes a URL apart. Empty parts count as not given.
pub(crate) fn parse(url: &str) -> Result<Settings, ConnectError> {
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or_else(|| {
            error("a connection URL starts with postgres:// or postgresql://, as in postgres://app@db:5432/shop")
        })?;
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, q)| (rest, Some(q)));
    let (authority, database) = rest.split_once('/').map_or((rest, ""), |(a, d)| (a, d));
    let (login, address) = authority.split_once('@').map_or(("", authority), |(l, a)| (l, a));
    if address.contains('@') {
        return Err(error(
            "the connection URL has more than one @ before the host: write %40 in user or password",
        ));
    }
    let (user, password) = login.split_once(':').unwrap_or((login, ""));

    let mut settings = Settings::new();
    let mut set = |name: &'static str, part: &str| -> Result<(), ConnectError> {
        if !part.is_empty() {
            settings.insert(name, decode(name, part)?);
        }
        Ok(())
    };
    set("user", user)?;
    set("password", password)?;
    set("dbname", database)?;
    let (host, port) = split_address(address)?;
    set("host", host)?;
    set("port", port)?;
    for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|p| !p.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| error("a parameter of the connection URL has no `=`"))?;
        let name = decode("parameter name", name)?;
        // libpq takes JDBC's spelling too.
        if name == "ssl" && value == "true" {
            set("sslmode", "require")?;
            continue;
        }
        let known = PARAMETERS.iter().find(|p| p.name == name).ok_or_else(|| {
            // Then it may be a piece of the password, and is not repeated.
            if query.is_some_and(|query| query.contains('@')) {
                return error("the connection URL has a `?` before its `@`: in a user name or a password it is written %3F");
            }
            let names: Vec<_> = PARAMETERS.iter().map(|p| p.name).collect();
            error(format!("unknown connection parameter `{name}`; known are {}", names.join(", ")))
        })?;
        set(known.name, value)?;
    }
    Ok(settings)
}

/// `host:port`, `[v6]:port`, either part may be missing.
fn split_address(address: &str) -> Result<(&str, &str), ConnectError> {
    if address.contains(',') {
        return Err(several_hosts());
    }
    let Some(bracketed) = address.strip_prefix('[') else {
        return Ok(address.split_once(':').unwrap_or((address, "")));
    };
    match bracketed.split_once(']') {
        Some((host, "")) if !host.is_empty() => Ok((host, "")),
        Some((host, port)) if !host.is_empty() && port.starts_with(':') => {
            Ok((host, port.get(1..).unwrap_or_default()))
        }
        _ => Err(error(
            "the IPv6 address in the connection URL is not of the form [::1] or [::1]:5432",
        )),
    }
}

/// What is said to a URL that names more than one server.
pub(crate) fn several_hosts() -> ConnectError {
    error(
        "several hosts in one connection are not supported: name one, such as the primary's address or a proxy's",
    )
}

fn decode(name: &str, part: &str) -> Result<String, ConnectError> {
    let bytes = part.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let hex = |offset: usize| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        if !(hex(1) && hex(2)) {
            return Err(error(format!(
                "the {name} in the connection URL has a % without two hexadecimal digits: write %25 for %"
            )));
        }
    }
    let text = percent_decode_str(part)
        .decode_utf8()
        .map_err(|_| error(format!("the {name} in the connection URL is not UTF-8")))?;
    if text.contains('\0') {
        return Err(error(format!("the {name} in the connection URL contains %00")));
    }
    Ok(text.into_owned())
}

fn error(reason: impl Into<String>) -> ConnectError {
    ConnectError::configuration(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Vec<(&'static str, String)> {
        let mut all: Vec<_> = parse(url).unwrap().into_iter().collect();
        all.sort();
        all
    }

    #[track_caller]
    fn refused(url: &str, with: &str) {
        let error = parse(url).unwrap_err().to_string();
        assert!(error.contains(with), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn every_part_may_be_missing() {
        assert_eq!(parsed("postgres://"), []);
        assert_eq!(parsed("postgresql://?"), []);
        assert_eq!(parsed("postgres:///shop"), [("dbname", "shop".into())]);
        assert_eq!(parsed("postgres://:5433"), [("port", "5433".into())]);
        assert_eq!(
            parsed("postgres://app:p%40%3A%2Fw@db:5432/my%20shop?sslmode=require"),
            [
                ("dbname", "my shop".into()),
                ("host", "db".into()),
                ("password", "p@:/w".into()),
                ("port", "5432".into()),
                ("sslmode", "require".into()),
                ("user", "app".into()),
            ]
        );
    }

    #[test]
    fn ipv6_literals_and_socket_directories_are_hosts() {
        assert_eq!(
            parsed("postgres://[::1]:5433"),
            [("host", "::1".into()), ("port", "5433".into())]
        );
        assert_eq!(parsed("postgres://[fe80::1%25eth0]"), [("host", "fe80::1%eth0".into())]);
        assert_eq!(parsed("postgres://%2Frun%2Fpg"), [("host", "/run/pg".into())]);
        assert_eq!(parsed("postgres:///?host=/run/pg"), [("host", "/run/pg".into())]);
        refused("postgres://[::1", "IPv6");
        refused("postgres://[]:5", "IPv6");
        refused("postgres://[::1]5", "IPv6");
    }

    #[test]
    fn what_is_not_supported_is_named() {
        refused("postgres://a,b/x", "several hosts");
        refused(
            "postgres://db?sslmod=require",
            "unknown connection parameter `sslmod`; known are host,",
        );
        refused("postgres://db?sslmode", "no `=`");
        refused("mysql://u:hunter2@db", "starts with postgres://");
    }

    #[test]
    fn a_password_that_is_not_escaped_is_not_repeated_in_the_error() {
        refused("postgres://u:hunter2%@db", "password in the connection URL has a %");
        refused("postgres://u:hunter2%4@db", "write %25");
        refused("postgres://u:x@hunter2@db", "more than one @");
        refused("postgres://u:hunter2%ff@db", "not UTF-8");
        refused("postgres://u:hunter2%00@db", "%00");
    }

    #[test]
    fn the_jdbc_spelling_of_tls_is_understood() {
        assert_eq!(parsed("postgres://?ssl=true"), [("sslmode", "require".into())]);
        refused("postgres://?ssl=false", "unknown connection parameter `ssl`");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_apart_or_refused_without_panic(text in ".*") {
            let _ = parse(&text);
            let _ = parse(&format!("postgres://{text}"));
        }

        #[test]
        fn what_is_encoded_comes_back(text in "[^\0]+") {
            let settings = parse(&format!("postgres://{}@h", encode(&text))).unwrap();
            proptest::prop_assert_eq!(&settings["user"], &text);
        }
    }
}
