//! Passwords that no output shows, and the password file.
//!
//! The file's format, the meaning of its wildcards and the rule about its permissions are libpq's
//! (PostgreSQL manual, "The Password File").

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A password. Neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// The password itself, for the authentication exchange only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// What a password file is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The host name, or the directory of the Unix socket.
    pub(crate) host: &'a str,
    /// Whether a line for `localhost` fits too: a socket in the server's default directory.
    pub(crate) also_localhost: bool,
    pub(crate) port: u16,
    pub(crate) database: &'a str,
    pub(crate) user: &'a str,
}

/// Looks a password up in a file; a missing file is no password.
///
/// A file that group or others can access is not read, as in libpq: a warning is logged.
pub(crate) fn from_file(path: &Path, wanted: Wanted<'_>) -> Option<Password> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() {
        tracing::warn!("password file {} is not a plain file: it is ignored", path.display());
        return None;
    }
    if is_exposed(path) {
        tracing::warn!(
            "password file {} has group or world access: it is ignored; run chmod 600 on it",
            path.display()
        );
        return None;
    }
    match std::fs::read_to_string(path) {
        Ok(text) => from_text(&text, wanted),
        Err(error) => {
            tracing::warn!("password file {} cannot be read: {error}", path.display());
            None
        }
    }
}

/// Whether group or others have any access to the file.
pub(crate) fn is_exposed(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o077 != 0)
}

/// The password of the first line that fits: `host:port:database:user:password`.
fn from_text(text: &str, wanted: Wanted<'_>) -> Option<Password> {
    let port = wanted.port.to_string();
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = Fields { rest: Some(line.strip_suffix('\r').unwrap_or(line)) };
        let host = fields.next()?;
        let fits = host.fits(wanted.host) || (wanted.also_localhost && host.fits("localhost"));
        let fits = fields.next()?.fits(&port) && fits;
        let fits = fields.next()?.fits(wanted.database) && fits;
        let fits = fields.next()?.fits(wanted.user) && fits;
        let password = unescape(fields.rest?);
        // An empty password is none: the server would refuse it anyway.
        (fits && !password.is_empty()).then(|| Password::new(password))
    })
}

/// One field of a line.
struct Field<'a>(&'a str);

impl Field<'_> {
    fn fits(&self, wanted: &str) -> bool {
        self.0 == "*" || unescape(self.0) == wanted
    }
}

/// The fields of a line before the password, split at colons that no backslash escapes.
struct Fields<'a> {
    rest: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<Field<'a>> {
        let line = self.rest?;
        let mut escaped = false;
        for (at, byte) in line.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b':' => {
                    self.rest = line.get(at + 1..);
                    return line.get(..at).map(Field);
                }
                _ => {}
            }
        }
        self.rest = None;
        None
    }
}

fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted<'_> =
        Wanted { host: "db", also_localhost: false, port: 5432, database: "shop", user: "app" };

    fn found(text: &str) -> Option<String> {
        from_text(text, WANTED).map(|p| p.reveal().to_owned())
    }

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        let text = "# comment\nother:*:*:*:no\ndb:5432:shop:app:yes\n*:*:*:*:later\n";
        assert_eq!(found(text).as_deref(), Some("yes"));
        assert_eq!(found("*:*:*:*:any").as_deref(), Some("any"));
        assert_eq!(found("db:5433:*:*:no\ndb:*:other:*:no\ndb:*:*:root:no\nshort:line"), None);
    }

    #[test]
    fn colons_and_backslashes_are_escaped_by_a_backslash() {
        assert_eq!(found(r"d\b:*:*:*:a\:b\\c").as_deref(), Some(r"a:b\c"));
        assert_eq!(found("db:*:*:*:with:colon").as_deref(), Some("with:colon"));
    }

    #[test]
    fn a_line_for_localhost_serves_a_socket_in_the_default_directory() {
        let line = "localhost:*:*:*:sock";
        let socket = Wanted { host: "/run/postgresql", ..WANTED };
        assert!(from_text(line, socket).is_none());
        assert!(from_text(line, Wanted { also_localhost: true, ..socket }).is_some());
    }

    #[test]
    fn a_file_that_others_can_read_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pgpass");
        std::fs::write(&path, "*:*:*:*:secret").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(is_exposed(&path) && from_file(&path, WANTED).is_none());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(from_file(&path, WANTED), Some(Password::new("secret")));
        assert_eq!(from_file(&dir.path().join("missing"), WANTED), None);
    }

    #[test]
    fn a_password_never_shows() {
        assert_eq!(format!("{:?}", Password::new("hunter2")), "Password(***)");
    }
}
