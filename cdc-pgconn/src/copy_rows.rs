//! The rows of `COPY ... TO STDOUT` in the pieces in which they are read.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream as _;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio_postgres::{Error, SimpleQueryStream};

use crate::copy_tap::NextCopy;
use crate::session::SqlClient;

/// So many pieces wait to be taken; then nothing more is read.
const WAITING: usize = 2;

impl SqlClient {
    /// Runs a statement `COPY ... TO STDOUT` and gives its rows in large pieces, without a cut at each row.
    ///
    /// The statement is sent at once, as a simple query, and its error comes from [`CopyRows::next`]. One such COPY runs at a time in a
    /// session: a second waits until the first is read to its end, or dropped. Other statements, plain
    /// [`copy_out`](tokio_postgres::Client::copy_out) among them, can be sent meanwhile; they are answered after the rows.
    ///
    /// # Errors
    /// Where the connection is closed.
    ///
    /// ```no_run
    /// # async fn example(client: cdc_pgconn::SqlClient) -> Result<(), cdc_pgconn::tokio_postgres::Error> {
    /// let mut rows = client.copy_rows("COPY shop.orders TO STDOUT").await?;
    /// while let Some(messages) = rows.next().await? {
    ///     println!("{} bytes", messages.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn copy_rows(&self, statement: &str) -> Result<CopyRows, Error> {
        let turn = Arc::clone(&self.copies.turn).lock_owned().await;
        let (out, rows) = mpsc::channel(WAITING);
        let turn = Turn { next: self.copies.next.clone(), _turn: turn };
        turn.next.expect(out);
        let answer = Box::pin(self.simple_query_raw(statement).await?);
        Ok(CopyRows {
            rows,
            answer: Some(Answer { stream: answer, turn }),
            ended: None,
            runtime: self.copies.runtime.clone(),
        })
    }
}

/// What a session needs to have its COPYs told apart.
#[derive(Debug)]
pub(crate) struct Copies {
    pub(crate) next: NextCopy,
    turn: Arc<Mutex<()>>,
    runtime: Handle,
}

impl Copies {
    pub(crate) fn new(next: NextCopy, runtime: Handle) -> Self {
        Copies { next, turn: Arc::default(), runtime }
    }
}

/// Nobody else in the session may expect rows.
struct Turn {
    next: NextCopy,
    _turn: OwnedMutexGuard<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.next.take();
    }
}

/// What the server says beside the rows.
struct Answer {
    stream: Pin<Box<SimpleQueryStream>>,
    turn: Turn,
}

impl Answer {
    /// Waits for the end of the answer, or an error in it.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            match ready!(self.stream.as_mut().poll_next(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Sees the answer out, errors and all; only then another COPY can be told from it.
    async fn see_out(mut self) {
        while let Err(error) = poll_fn(|cx| self.poll_end(cx)).await {
            if error.is_closed() {
                return;
            }
        }
    }
}

/// The rows of a COPY that runs; made by [`SqlClient::copy_rows`].
///
/// When it is dropped before its end the rest is read and thrown away, unless the statement is
/// [cancelled](SqlClient::cancel); what was sent behind it is answered then.
pub struct CopyRows {
    rows: mpsc::Receiver<Bytes>,
    /// Until it is heard to its end, or to an error.
    answer: Option<Answer>,
    /// What that said.
    ended: Option<Result<(), Error>>,
    runtime: Handle,
}

impl CopyRows {
    /// The next rows: whole CopyData messages with their headers, one behind the other, never empty; `None` after the last.
    ///
    /// All rows of a piece share one buffer. Cancel-safe.
    ///
    /// # Errors
    /// That of the statement or the connection, after the rows before it. After an error there are no more rows.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        if let Some(answer) = &mut self.answer {
            if let Poll::Ready(Some(run)) = self.rows.poll_recv(cx) {
                return Poll::Ready(Ok(Some(run)));
            }
            let ended = ready!(answer.poll_end(cx));
            match (&ended, self.answer.take()) {
                (Err(_), Some(answer)) => {
                    // No rows begin behind an error.
                    answer.turn.next.take();
                    self.runtime.spawn(answer.see_out());
                }
                (_, answer) => drop(answer),
            }
            self.ended = Some(ended);
        }
        // Rows are in the channel before anybody hears of their end, but maybe came since it was looked at.
        match ready!(self.rows.poll_recv(cx)) {
            Some(run) => Poll::Ready(Ok(Some(run))),
            None => Poll::Ready(self.ended.take().unwrap_or(Ok(())).map(|()| None)),
        }
    }
}

impl Drop for CopyRows {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            self.runtime.spawn(answer.see_out());
        }
    }
}

impl fmt::Debug for CopyRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyRows").field("ended", &self.answer.is_none()).finish_non_exhaustive()
    }
}
