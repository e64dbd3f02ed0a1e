//! Where to connect, as whom and how: [`ConnectConfig`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::environment::Environment;
use crate::error::ConnectError;
use crate::password::{self, Password, Wanted};
use crate::tls::{ClientCertificate, RootCertificates, SslMode, TlsSettings};
use crate::url::{self, Settings};

/// A connection parameter and the environment variable that is its default.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    variable: &'static str,
}

const fn parameter(name: &'static str, variable: &'static str) -> Parameter {
    Parameter { name, variable }
}

/// All parameters of a connection URL.
pub(crate) const PARAMETERS: [Parameter; 15] = [
    parameter("host", "PGHOST"),
    parameter("port", "PGPORT"),
    parameter("dbname", "PGDATABASE"),
    parameter("user", "PGUSER"),
    parameter("password", "PGPASSWORD"),
    parameter("passfile", "PGPASSFILE"),
    parameter("sslmode", "PGSSLMODE"),
    parameter("sslrootcert", "PGSSLROOTCERT"),
    parameter("sslcert", "PGSSLCERT"),
    parameter("sslkey", "PGSSLKEY"),
    parameter("application_name", "PGAPPNAME"),
    parameter("connect_timeout", "PGCONNECT_TIMEOUT"),
    parameter("options", "PGOPTIONS"),
    parameter("channel_binding", "PGCHANNELBINDING"),
    parameter("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

/// The limit of a connection attempt when none is given; libpq has none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// Where servers put their Unix socket: Debian's and PostgreSQL's own default.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A host name or IP address, for TCP.
    Tcp(String),
    /// The directory of a Unix socket `.s.PGSQL.<port>`.
    Unix(PathBuf),
}

/// Where to connect, as whom and how.
///
/// Made from a URL ([`FromStr`], [`from_url`](Self::from_url)) or by setters ([`new`](Self::new)). A URL's
/// parameters have libpq's names and meaning: `host`, `port`, `dbname`, `user`, `password`, `passfile`, `sslmode`,
/// `sslrootcert`, `sslcert`, `sslkey`, `application_name`, `connect_timeout` (seconds, 0 for no limit; 15 if not
/// given), `options`, `channel_binding` (`disable` or `prefer`) and `target_session_attrs` (`any`); an
/// unknown one is an error. What a URL leaves out comes from the environment (`PGHOST`, `PGUSER`, ...), the
/// password also from the password file, which is read anew for each connection.
///
/// `Display` and `Debug` show no password.
///
/// ```
/// use cdc_pgconn::{ConnectConfig, SslMode};
///
/// let config: ConnectConfig = "postgres://app:secret@db:5432/shop?sslmode=require".parse()?;
/// assert_eq!(config.ssl_mode(), SslMode::Require);
/// assert_eq!(config.to_string(), "postgres://app@db:5432/shop");
/// # Ok::<(), cdc_pgconn::ConnectError>(())
/// ```
#[derive(Clone)]
pub struct ConnectConfig {
    host: Host,
    port: u16,
    user: String,
    database: String,
    password: Option<Password>,
    passfile: Option<PathBuf>,
    pub(crate) tls: TlsSettings,
    application_name: Option<String>,
    connect_timeout: Option<Duration>,
    options: Option<String>,
    loopback_window: Option<usize>,
}

impl ConnectConfig {
    /// A server and a user; port 5432, the database named as the user, no password, `sslmode=prefer`, and
    /// nothing from the environment.
    ///
    /// A host that starts with `/` is the directory of a Unix socket.
    ///
    /// ```
    /// use cdc_pgconn::{ConnectConfig, SslMode};
    ///
    /// let config = ConnectConfig::new("db", "app").with_database("shop").with_password("secret");
    /// assert_eq!(config.to_string(), "postgres://app@db:5432/shop");
    /// ```
    pub fn new(host: impl Into<String>, user: impl Into<String>) -> Self {
        let user = user.into();
        Self {
            host: Host::new(host.into()),
            port: 5432,
            database: user.clone(),
            user,
            password: None,
            passfile: None,
            tls: TlsSettings::default(),
            application_name: None,
            connect_timeout: Some(DEFAULT_TIMEOUT),
            options: None,
            loopback_window: None,
        }
    }

    /// Parses a URL; what it leaves out comes from the environment of this process.
    ///
    /// # Errors
    /// [`ConnectError::Configuration`] with the part that is wrong, never with a password.
    pub fn from_url(url: &str) -> Result<Self, ConnectError> {
        Self::from_url_in(url, &Environment::process())
    }

    /// Parses a URL; what it leaves out comes from `env`.
    ///
    /// # Errors
    /// [`ConnectError::Configuration`] with the part that is wrong, never with a password.
    pub fn from_url_in(url: &str, env: &Environment) -> Result<Self, ConnectError> {
        let mut settings = url::parse(url)?;
        for Parameter { name, variable } in &PARAMETERS {
            if !settings.contains_key(name)
                && let Some(value) = env.get(variable)?
            {
                settings.insert(name, value.to_owned());
            }
        }
        Self::from_settings(settings, env)
    }

    fn from_settings(mut settings: Settings, env: &Environment) -> Result<Self, ConnectError> {
        let mut take = |name: &str| settings.remove(name);
        let port = match take("port") {
            // Not repeated: with an unescaped `/` in it, a piece of the password stands there.
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                ConnectError::configuration(
                    "the port is not a number from 1 to 65535; if the password has a / or @, write %2F or %40",
                )
            })?,
            None => 5432,
        };
        let host = take("host").unwrap_or_else(|| default_host(port));
        if host.contains(',') {
            return Err(url::several_hosts());
        }
        if host.starts_with('@') {
            return Err(ConnectError::configuration(
                "abstract Unix sockets (host=@...) are not supported",
            ));
        }
        let user = match take("user") {
            Some(user) => user,
            None => env.os_user().map(str::to_owned).ok_or_else(|| {
                ConnectError::configuration(
                    "no user: name one in the connection URL or PGUSER (the operating system user has no name)",
                )
            })?,
        };
        let mut config = Self::new(host, user);
        config.port = port;
        if let Some(database) = take("dbname") {
            config.database = database;
        }
        config.password = take("password").map(Password::new);
        config.passfile = take("passfile")
            .map(PathBuf::from)
            .or_else(|| env.home().map(|home| home.join(".pgpass")));
        config.application_name = take("application_name");
        config.options = take("options");
        if let Some(seconds) = take("connect_timeout") {
            let seconds: u32 = seconds.parse().map_err(|_| {
                ConnectError::configuration(
                    "connect_timeout is not a number of seconds (0 for no limit)",
                )
            })?;
            config.connect_timeout = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        }
        if let Some(value) = take("channel_binding")
            && !matches!(value.as_str(), "disable" | "prefer")
        {
            return Err(ConnectError::configuration(format!(
                "channel_binding={value} is not supported: use disable or prefer, and sslmode=verify-full to know the server"
            )));
        }
        if let Some(value) = take("target_session_attrs")
            && value != "any"
        {
            return Err(ConnectError::configuration(format!(
                "target_session_attrs={value} is not supported: one host is connected to as it is (any)"
            )));
        }
        config.tls = tls_settings(&mut take, env)?;
        debug_assert!(settings.is_empty(), "a parameter is parsed and ignored");
        Ok(config)
    }

    /// Sets the port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the database.
    #[must_use]
    pub fn with_database(mut self, database: impl Into<String>) -> Self {
        self.database = database.into();
        self
    }

    /// Sets the password, which then goes before the password file.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Password::new(password));
        self
    }

    /// Sets the password file, used when no password is set.
    #[must_use]
    pub fn with_passfile(mut self, path: impl Into<PathBuf>) -> Self {
        self.passfile = Some(path.into());
        self
    }

    /// Sets whether TLS is used and what is verified.
    #[must_use]
    pub fn with_ssl_mode(mut self, mode: SslMode) -> Self {
        self.tls.mode = mode;
        self
    }

    /// Sets the certificates that the server's certificate must go back to.
    #[must_use]
    pub fn with_ssl_root(mut self, root: RootCertificates) -> Self {
        self.tls.root = Some(root);
        self
    }

    /// Sets the client certificate chain and its private key, PEM files.
    #[must_use]
    pub fn with_client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.tls.client =
            Some(ClientCertificate { certificate: certificate.into(), key: key.into() });
        self
    }

    /// Sets the name under which sessions show in `pg_stat_activity`.
    #[must_use]
    pub fn with_application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = Some(name.into());
        self
    }

    /// Sets how long connecting, TLS and authentication together may take; `None` for no limit.
    #[must_use]
    pub fn with_connect_timeout(mut self, limit: Option<Duration>) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets command-line options for the session, such as `-c geqo=off`.
    #[must_use]
    pub fn with_options(mut self, options: impl Into<String>) -> Self {
        self.options = Some(options.into());
        self
    }

    /// Bounds how many bytes a server on the loopback may have sent that are not read yet (`SO_RCVBUF` of the socket before it is
    /// connected); `None`, the default, leaves it to the system. Elsewhere it does nothing.
    #[must_use]
    pub fn with_loopback_window(mut self, bytes: Option<usize>) -> Self {
        self.loopback_window = bytes;
        self
    }

    /// The server's address.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The server's port; for a Unix socket a part of its file name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The user to log in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database to connect to.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The mode of TLS.
    pub fn ssl_mode(&self) -> SslMode {
        self.tls.mode
    }

    /// The name under which sessions show in `pg_stat_activity`, if one is set.
    pub fn application_name(&self) -> Option<&str> {
        self.application_name.as_deref()
    }

    /// How long connecting, TLS and authentication together may take.
    pub fn connect_timeout(&self) -> Option<Duration> {
        self.connect_timeout
    }

    /// The bound of what a server on the loopback may have sent that is not read yet.
    pub fn loopback_window(&self) -> Option<usize> {
        self.loopback_window
    }

    /// Command-line options for the session.
    pub fn options(&self) -> Option<&str> {
        self.options.as_deref()
    }

    /// The password: the one that is set, else what the password file has for this server now.
    pub fn password(&self) -> Option<Password> {
        self.password.clone().or_else(|| {
            let directory;
            let (host, also_localhost) = match &self.host {
                Host::Tcp(host) => (host.as_str(), false),
                Host::Unix(path) => {
                    directory = path.to_string_lossy();
                    (&*directory, SOCKET_DIRECTORIES.iter().any(|dir| Path::new(dir) == path))
                }
            };
            let wanted = Wanted {
                host,
                also_localhost,
                port: self.port,
                database: &self.database,
                user: &self.user,
            };
            password::from_file(self.passfile.as_deref()?, wanted)
        })
    }

    /// The error for a server that asks for a password when [`password`](Self::password) has none.
    pub fn missing_password(&self) -> ConnectError {
        match self.passfile.as_deref().filter(|path| password::is_exposed(path)) {
            None => ConnectError::no_password(self.display()),
            Some(path) => ConnectError::authentication(
                self.display(),
                format!(
                    "it asks for a password, and password file {} is ignored because group or others can access it; chmod 600 it",
                    path.display()
                ),
            ),
        }
    }

    /// The server without the password: `postgres://app@db:5432/shop`.
    pub fn display(&self) -> String {
        let host = match &self.host {
            Host::Tcp(host) if host.contains(':') => format!("[{}]", host.replace('%', "%25")),
            Host::Tcp(host) => url::encode(host),
            Host::Unix(path) => url::encode(&path.to_string_lossy()),
        };
        let (user, database) = (url::encode(&self.user), url::encode(&self.database));
        format!("postgres://{user}@{host}:{}/{database}", self.port)
    }

    /// The path of the Unix socket, if that is how the server is reached.
    pub(crate) fn socket_path(&self) -> Option<PathBuf> {
        match &self.host {
            Host::Tcp(_) => None,
            Host::Unix(directory) => Some(directory.join(socket_name(self.port))),
        }
    }
}

impl Host {
    fn new(host: String) -> Self {
        if host.starts_with('/') { Self::Unix(host.into()) } else { Self::Tcp(host) }
    }
}

impl FromStr for ConnectConfig {
    type Err = ConnectError;

    fn from_str(url: &str) -> Result<Self, ConnectError> {
        Self::from_url(url)
    }
}

impl fmt::Display for ConnectConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display())
    }
}

impl fmt::Debug for ConnectConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectConfig")
            .field("server", &self.display())
            .field("tls", &self.tls)
            .field("application_name", &self.application_name)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

fn socket_name(port: u16) -> String {
    format!(".s.PGSQL.{port}")
}

/// Without a host: the local server's Unix socket where there is one, else TCP to this machine.
fn default_host(port: u16) -> String {
    SOCKET_DIRECTORIES
        .iter()
        .find(|directory| Path::new(directory).join(socket_name(port)).exists())
        .map_or_else(|| "localhost".to_owned(), |directory| (*directory).to_owned())
}

fn tls_settings(
    take: &mut impl FnMut(&str) -> Option<String>,
    env: &Environment,
) -> Result<TlsSettings, ConnectError> {
    let mode = take("sslmode").map(|mode| mode.parse::<SslMode>()).transpose()?;
    let root = take("sslrootcert").map(|root| match root.as_str() {
        "system" => RootCertificates::System,
        path => RootCertificates::File(path.into()),
    });
    // The system's authorities certify anybody, so only the host's name says who the server is.
    let mode = match (mode, &root) {
        (None, Some(RootCertificates::System)) => SslMode::VerifyFull,
        (Some(mode), Some(RootCertificates::System)) if mode != SslMode::VerifyFull => {
            return Err(ConnectError::configuration(format!(
                "sslmode={mode} is too weak for sslrootcert=system: use verify-full"
            )));
        }
        (mode, _) => mode.unwrap_or_default(),
    };
    let client = match (take("sslcert"), take("sslkey")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            Some(ClientCertificate { certificate: certificate.into(), key: key.into() })
        }
        _ => {
            return Err(ConnectError::configuration(
                "sslcert and sslkey go together: name both files, or none",
            ));
        }
    };
    let defaults = env.home().map(|home| home.join(".postgresql"));
    Ok(TlsSettings { mode, root, client, defaults })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Environment {
        Environment::empty().with_os_user("me")
    }

    fn parse(url: &str) -> ConnectConfig {
        ConnectConfig::from_url_in(url, &env()).unwrap()
    }

    #[track_caller]
    fn refused(url: &str, with: &str) {
        let error = ConnectConfig::from_url_in(url, &env()).unwrap_err().to_string();
        assert!(error.contains(with) && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_user_defaults_to_that_of_the_system_and_the_database_to_the_user() {
        assert_eq!(parse("postgres://db").to_string(), "postgres://me@db:5432/me");
        assert_eq!(parse("postgres://app@db").to_string(), "postgres://app@db:5432/app");
        let error = ConnectConfig::from_url_in("postgres://db", &Environment::empty()).unwrap_err();
        assert!(error.to_string().contains("no user"), "{error}");
    }

    #[test]
    fn the_environment_fills_in_what_the_url_leaves_out() {
        let env = env()
            .with("PGHOST", "db")
            .with("PGPORT", "6000")
            .with("PGUSER", "app")
            .with("PGDATABASE", "shop")
            .with("PGPASSWORD", "hunter2")
            .with("PGSSLMODE", "verify-ca")
            .with("PGSSLROOTCERT", "/ca.pem");
        let config = ConnectConfig::from_url_in("postgres://", &env).unwrap();
        assert_eq!(config.to_string(), "postgres://app@db:6000/shop");
        assert_eq!(config.password(), Some(Password::new("hunter2")));
        assert_eq!(config.ssl_mode(), SslMode::VerifyCa);
        assert_eq!(config.tls.root, Some(RootCertificates::File("/ca.pem".into())));
        let config =
            ConnectConfig::from_url_in("postgres://x:y@h:1/z?sslmode=disable", &env).unwrap();
        assert_eq!(config.to_string(), "postgres://x@h:1/z");
        assert_eq!(config.password(), Some(Password::new("y")));
        assert_eq!(config.ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn no_output_shows_a_password() {
        let config = parse("postgres://u:hunter2@db/x?options=-c%20a%3Dhunter2");
        assert!(!format!("{config:?} {config}").contains("hunter2"));
    }

    #[test]
    fn the_display_of_unusual_names_is_a_url_again() {
        let config = ConnectConfig::new("fe80::1%eth0", "a@b").with_database("x/y");
        assert_eq!(config.to_string(), "postgres://a%40b@[fe80::1%25eth0]:5432/x%2Fy");
        let again = parse(&config.to_string());
        assert_eq!((again.host(), again.user(), again.database()), (config.host(), "a@b", "x/y"));
        let socket = parse("postgres://u@%2Frun%2Fpg:5433/d");
        assert_eq!(socket.socket_path(), Some("/run/pg/.s.PGSQL.5433".into()));
        assert_eq!(socket.to_string(), "postgres://u@%2Frun%2Fpg:5433/d");
    }

    #[test]
    fn a_value_that_is_not_supported_is_refused_with_the_ones_that_are() {
        refused(
            "postgres://db?sslmode=on",
            "disable, allow, prefer, require, verify-ca, verify-full",
        );
        refused(
            "postgres://db?channel_binding=require",
            "channel_binding=require is not supported",
        );
        refused("postgres://db?target_session_attrs=read-write", "target_session_attrs=read-write");
        refused("postgres://db?connect_timeout=soon", "connect_timeout");
        refused("postgres://db?sslcert=/a.pem", "sslcert and sslkey go together");
        refused("postgres://db?sslmode=require&sslrootcert=system", "use verify-full");
        refused("postgres://?host=a,b", "several hosts");
        refused("postgres://?host=@abstract", "abstract");
        refused("postgres://db:0", "port");
        parse("postgres://db?channel_binding=prefer&target_session_attrs=any");
        assert_eq!(parse("postgres://db?sslrootcert=system").ssl_mode(), SslMode::VerifyFull);
    }

    #[test]
    fn a_slash_in_the_password_is_explained_without_showing_the_password() {
        refused("postgres://app:hunter2/x@db/shop", "write %2F");
    }

    #[test]
    fn the_time_limit_has_a_default_and_zero_is_none() {
        assert_eq!(parse("postgres://db").connect_timeout(), Some(DEFAULT_TIMEOUT));
        assert_eq!(parse("postgres://db?connect_timeout=0").connect_timeout(), None);
        assert_eq!(
            parse("postgres://db?connect_timeout=3").connect_timeout(),
            Some(Duration::from_secs(3))
        );
    }

    #[test]
    fn the_password_file_is_asked_when_no_password_is_set() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        std::fs::write(&path, "db:5432:shop:app:from-file\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let env = env().with("PGPASSFILE", path.as_os_str());
        let config = ConnectConfig::from_url_in("postgres://app@db/shop", &env).unwrap();
        assert_eq!(config.password(), Some(Password::new("from-file")));
        assert_eq!(config.clone().with_port(1).password(), None);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(config.password(), None);
        assert!(config.missing_password().to_string().contains("chmod 600"));
    }
}
