//! The stream of a session, from which the rows of a COPY are taken before anybody cuts them apart.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use crate::copy_splitter::{CopySplitter, Piece};

/// Where the rows of the COPY go that is asked for next.
#[derive(Debug, Clone, Default)]
pub(crate) struct NextCopy(Arc<Mutex<Option<mpsc::Sender<Bytes>>>>);

impl NextCopy {
    pub(crate) fn expect(&self, rows: mpsc::Sender<Bytes>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rows);
    }

    pub(crate) fn take(&self) -> Option<mpsc::Sender<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Passes on what a server sends, but for the rows of a COPY that is [expected](NextCopy).
///
/// These go to a channel, as many at a time as were read together. While it is full nothing is read; when nobody is at its other
/// end the rows are thrown away.
#[derive(Debug)]
pub(crate) struct CopyTap<S> {
    stream: S,
    splitter: CopySplitter,
    next: NextCopy,
    rows: Option<PollSender<Bytes>>,
    /// Why reading failed, for whoever reads what is not rows.
    failure: Option<io::Error>,
}

impl<S: AsyncRead + Unpin> CopyTap<S> {
    pub(crate) fn new(stream: S, next: NextCopy) -> Self {
        CopyTap { stream, splitter: CopySplitter::default(), next, rows: None, failure: None }
    }

    /// Reads once; how much, zero at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        pin!(self.stream.read_buf(self.splitter.space())).poll(cx)
    }

    /// Reads on while there is more, and room for it.
    fn fill_up(&mut self, cx: &mut Context<'_>) {
        while self.splitter.has_room() {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Err(failure)) => {
                    self.failure = Some(failure);
                    return;
                }
                Poll::Ready(Ok(0)) | Poll::Pending => return,
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CopyTap<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.splitter.next() {
                Piece::Pass => {
                    let some = this.splitter.passing();
                    let count = some.len().min(out.remaining());
                    out.put_slice(some.get(..count).unwrap_or_default());
                    this.splitter.passed(count);
                    return Poll::Ready(Ok(()));
                }
                Piece::Begins => match this.next.take() {
                    Some(rows) => {
                        this.rows = Some(PollSender::new(rows));
                        this.splitter.divert();
                    }
                    None => this.splitter.leave(),
                },
                Piece::Rows { whole } => {
                    let Some(rows) = &mut this.rows else {
                        this.splitter.discard_row();
                        continue;
                    };
                    // Room first: where there is none, what comes stays with the server.
                    if ready!(rows.poll_reserve(cx)).is_err() {
                        this.rows = None;
                        continue;
                    }
                    if !whole {
                        if ready!(this.poll_fill(cx))? == 0 {
                            return Poll::Ready(Ok(()));
                        }
                        continue;
                    }
                    this.fill_up(cx);
                    let run = this.splitter.take_rows();
                    if let Some(rows) = &mut this.rows
                        && rows.send_item(run).is_err()
                    {
                        this.rows = None;
                    }
                }
                Piece::Ended => this.rows = None,
                Piece::More => {
                    if ready!(this.poll_fill(cx))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CopyTap<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
