//! The byte stream to a server: TCP, TLS over TCP, or a Unix socket.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{ConnectConfig, Host};
use crate::error::ConnectError;
use crate::tls::{self, SslMode};

/// The request for TLS that goes before a startup packet (PostgreSQL manual, "SSLRequest").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// How much of an encrypted stream is read at once.
const ENCRYPTED_READ: usize = 128 * 1024;

/// A dead peer is noticed after idle + interval x retries = one minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// A byte stream to a server, before or after its startup packet.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// Plain TCP, with `TCP_NODELAY` and keepalive.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<BufReader<TcpStream>>>),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// The TCP socket below, plain or under TLS, for socket options; none for a Unix socket.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Tls(tls) => Some(tls.get_ref().0.get_ref()),
            Self::Unix(_) => None,
        }
    }

    /// Whether the server is reached over the loopback.
    pub fn is_on_loopback(&self) -> bool {
        let peer = self.tcp().and_then(|tcp| tcp.peer_addr().ok());
        peer.is_some_and(|peer| peer.ip().is_loopback())
    }

    /// Whether what is sent is encrypted.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// Opens a stream as `sslmode` says, ready for a startup packet, within the time limit.
///
/// `sslmode=allow` begins without TLS; [`establish`] also does its second half, the retry with TLS.
///
/// # Errors
/// See [`ConnectError`].
///
/// ```no_run
/// # async fn example() -> Result<(), cdc_pgconn::ConnectError> {
/// let stream = cdc_pgconn::open(&"postgres://app@db/shop".parse()?).await?;
/// println!("encrypted: {}", stream.is_encrypted());
/// # Ok(())
/// # }
/// ```
pub async fn open(config: &ConnectConfig) -> Result<Stream, ConnectError> {
    within_limit(config, open_as(config, Encryption::first(config.ssl_mode()))).await
}

/// Opens a stream and starts a session on it, within the time limit.
///
/// `start` sends the startup packet and authenticates. With `sslmode=allow` it is run a second time, over TLS,
/// where the server refuses the first login (SQLSTATE class 28) on a stream without it.
///
/// # Errors
/// See [`ConnectError`]; what `start` returns is passed on.
///
/// ```no_run
/// # async fn example() -> Result<(), cdc_pgconn::ConnectError> {
/// let config = "postgres://app@db/shop".parse()?;
/// let encrypted =
///     cdc_pgconn::establish(&config, |stream| async move { Ok(stream.is_encrypted()) }).await?;
/// # let _ = encrypted;
/// # Ok(())
/// # }
/// ```
pub async fn establish<T, F, Fut>(config: &ConnectConfig, start: F) -> Result<T, ConnectError>
where
    F: Fn(Stream) -> Fut,
    Fut: Future<Output = Result<T, ConnectError>>,
{
    let attempt = async {
        let first = start(open_as(config, Encryption::first(config.ssl_mode())).await?).await;
        let over_tcp = matches!(config.host(), Host::Tcp(_));
        match first {
            Err(ConnectError::Authentication { server: Some(_), .. })
                if config.ssl_mode() == SslMode::Allow && over_tcp =>
            {
                start(open_as(config, Encryption::Required).await?).await
            }
            result => result,
        }
    };
    within_limit(config, attempt).await
}

async fn within_limit<T>(
    config: &ConnectConfig,
    attempt: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let Some(limit) = config.connect_timeout() else { return attempt.await };
    match tokio::time::timeout(limit, attempt).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::Timeout { target: config.display(), limit }),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encryption {
    None,
    Preferred,
    Required,
}

impl Encryption {
    fn first(mode: SslMode) -> Self {
        match mode {
            SslMode::Disable | SslMode::Allow => Self::None,
            SslMode::Prefer => Self::Preferred,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Self::Required,
        }
    }
}

async fn open_as(config: &ConnectConfig, encryption: Encryption) -> Result<Stream, ConnectError> {
    let host = match config.host() {
        Host::Tcp(host) => host,
        Host::Unix(_) => {
            let path = config.socket_path().unwrap_or_default();
            return connect_unix(config, &path).await.map(Stream::Unix);
        }
    };
    let tcp = connect_tcp(config, host).await?;
    if encryption == Encryption::None {
        return Ok(Stream::Tcp(tcp));
    }
    match negotiate(config, host, tcp).await? {
        Negotiated::Encrypted(tls) => Ok(Stream::Tls(tls)),
        Negotiated::Refused(tcp) if encryption == Encryption::Preferred => Ok(Stream::Tcp(tcp)),
        Negotiated::Failed(_) if encryption == Encryption::Preferred => {
            Ok(Stream::Tcp(connect_tcp(config, host).await?))
        }
        Negotiated::Refused(_) => Err(ConnectError::Tls {
            target: config.display(),
            reason: "the server has TLS turned off; set ssl = on there, or use sslmode=prefer or disable"
                .to_owned(),
        }),
        Negotiated::Failed(error) => Err(handshake_error(config, error)),
    }
}

enum Negotiated {
    Encrypted(Box<TlsStream<BufReader<TcpStream>>>),
    /// The server speaks no TLS; the stream goes on without.
    Refused(TcpStream),
    /// The handshake failed, and the stream with it.
    Failed(io::Error),
}

async fn negotiate(
    config: &ConnectConfig,
    host: &str,
    mut tcp: TcpStream,
) -> Result<Negotiated, ConnectError> {
    let client_config = config.tls.client_config()?;
    let name = tls::server_name(host)?;
    let broken = |error| ConnectError::io(config.display(), error);
    tcp.write_all(&SSL_REQUEST).await.map_err(broken)?;
    // One byte and no more: what an attacker adds to the answer must not be taken for decrypted text.
    match tcp.read_u8().await.map_err(broken)? {
        b'S' => match TlsConnector::from(client_config).connect(name, buffered(tcp)).await {
            Ok(tls) => Ok(Negotiated::Encrypted(Box::new(tls))),
            Err(error) => Ok(Negotiated::Failed(error)),
        },
        b'N' => Ok(Negotiated::Refused(tcp)),
        // An error sent this early is not authenticated by anything, so its text is not shown.
        b'E' => Err(broken(io::Error::other("the server could not start a session"))),
        other => Err(ConnectError::protocol(
            config.display(),
            format!(
                "the answer to the request for TLS is byte 0x{other:02x}; is this a PostgreSQL server?"
            ),
        )),
    }
}

/// TLS reads a few kB at a time; from a buffer it does so without asking the system each time.
fn buffered(tcp: TcpStream) -> BufReader<TcpStream> {
    BufReader::with_capacity(ENCRYPTED_READ, tcp)
}

/// A certificate or protocol that does not fit is for somebody to change; a cut connection is not.
fn handshake_error(config: &ConnectConfig, error: io::Error) -> ConnectError {
    use rustls::CertificateError as Certificate;
    use rustls::Error::{AlertReceived, InvalidCertificate};
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return ConnectError::io(config.display(), error);
    };
    let remedy = match tls {
        InvalidCertificate(Certificate::UnknownIssuer) => {
            "sslrootcert must hold the authority that signed the server's certificate"
        }
        InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => {
            "connect by a name in the certificate's subjectAltName (its common name does not count), or use sslmode=verify-ca"
        }
        InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "the server needs a new certificate"
        }
        InvalidCertificate(_) => "check the server's certificate and sslrootcert",
        AlertReceived(_) => "check the client certificate (sslcert, sslkey) and the server's log",
        _ => "check the server's TLS settings",
    };
    ConnectError::Tls { target: config.display(), reason: format!("{tls}; {remedy}") }
}

async fn connect_tcp(config: &ConnectConfig, host: &str) -> Result<TcpStream, ConnectError> {
    let addresses = tokio::net::lookup_host((host, config.port()))
        .await
        .map_err(|source| ConnectError::HostNotFound { target: config.display(), source })?;
    let mut failure = None;
    for address in addresses {
        match connect_to(config, address).await {
            Ok(tcp) => {
                prepare(&tcp).map_err(|error| ConnectError::io(config.display(), error))?;
                return Ok(tcp);
            }
            // Of several addresses the refusal says most: a machine is there.
            Err(error) => {
                if failure.as_ref().is_none_or(|old: &io::Error| !is_refusal(old)) {
                    failure = Some(error);
                }
            }
        }
    }
    let target = config.display();
    Err(match failure {
        Some(source) if is_refusal(&source) => ConnectError::Refused { target, source },
        Some(source) => ConnectError::io(target, source),
        None => ConnectError::HostNotFound {
            target,
            source: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
        },
    })
}

async fn connect_to(config: &ConnectConfig, address: SocketAddr) -> io::Result<TcpStream> {
    let window = config.loopback_window().filter(|_| address.ip().is_loopback());
    let Some(window) = window else { return TcpStream::connect(address).await };
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // What is offered to the server with the connection cannot be taken back later: it would lose packets, and wait for their return.
    socket.set_recv_buffer_size(u32::try_from(window).unwrap_or(u32::MAX))?;
    socket.connect(address).await
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

async fn connect_unix(config: &ConnectConfig, path: &Path) -> Result<UnixStream, ConnectError> {
    UnixStream::connect(path).await.map_err(|source| {
        let target = config.display();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ConnectError::Refused { target, source }
            }
            io::ErrorKind::PermissionDenied => ConnectError::configuration(format!(
                "{target}: no access to the socket {}: {source}; check the rights of its directory",
                path.display()
            )),
            io::ErrorKind::InvalidInput => ConnectError::configuration(format!(
                "{target}: the path of the socket is too long for the system: {}",
                path.display()
            )),
            _ => ConnectError::io(target, source),
        }
    })
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }
}
