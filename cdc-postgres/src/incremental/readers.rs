//! The connections that read chunks, and the one that asks what is visible.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cdc_core::snapshot::{BarrierTicket, Began, Read, ReadId};
use cdc_core::{ErrorKind, Row};
use cdc_pgconn::SqlClient;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};

use super::barrier::barrier;
use super::plan::TableReadPlan;
use super::reader::{Reader, Shared};
use super::visible::{Barrier, PgVisible};
use crate::catalog;
use crate::error::PostgresError;
use crate::options::Options;
use crate::snapshot;
use crate::wire::thread::Thread;

/// What is wanted of the readers. Questions are answered in any order.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Which transactions may be in the log without being visible: [`Answer::Barrier`] or [`Answer::NoBarrier`].
    Barrier(BarrierTicket),
    /// What is visible now: [`Answer::Visible`].
    Visible,
    /// Read a chunk: [`Answer::Began`], [`Answer::Rows`] as often as needed, [`Answer::Ended`]; or, at any point, an
    /// [`Answer::Failed`] as the last.
    Read { read: Read, plan: Arc<TableReadPlan> },
    /// One more block of rows of a table without a key can be taken. Its rows come only so, because they may be many and
    /// may have to wait; rows of other reads come by themselves.
    More(ReadId),
    /// A read is no longer wanted: it ends at once, with or without an answer.
    Forget(ReadId),
}

/// What the readers say.
#[derive(Debug)]
pub(crate) enum Answer {
    Barrier(BarrierTicket, Barrier),
    NoBarrier(BarrierTicket, PostgresError),
    Visible(PgVisible),
    Began(ReadId, Began<PgVisible>),
    /// With roughly how many bytes they take.
    Rows(ReadId, Vec<Row>, usize),
    /// No more rows come; true when the region has no more.
    Ended(ReadId, bool, Duration),
    /// The read failed. [`PostgresError::TableRewritten`]: the key of the table is not the plan's any more, a new plan has to be
    /// made.
    Failed(ReadId, PostgresError),
}

/// Connections beside the stream. Dropping it ends what they do and closes them.
///
/// They are opened when there is something to do, and again after they were lost.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) answers: mpsc::Receiver<Answer>,
    _threads: Vec<Thread>,
}

/// How many answers of a connection can wait. The rows of a chunk fit, so that its transaction ends however slow the one who
/// takes them is.
const WAITING_ANSWERS: usize = 64;

impl Readers {
    /// Readers that read each chunk by a snapshot of its own.
    #[cfg(test)]
    pub(crate) fn start(options: &Arc<Options>, connections: usize) -> Self {
        Self::of_snapshot(options, connections, None)
    }

    /// Starts tasks for so many connections that read, and one that asks. Each chunk is read by a snapshot of its own; where a
    /// name is given, all by the one that is exported under it.
    pub(crate) fn of_snapshot(
        options: &Arc<Options>,
        connections: usize,
        exported: Option<&Arc<str>>,
    ) -> Self {
        let connections = connections.max(1);
        let (asks, asked) = mpsc::channel(64);
        let (out, answers) = mpsc::channel(WAITING_ANSWERS * (connections + 1));
        let (jobs, waiting) = mpsc::unbounded_channel();
        let (questions, to_answer) = mpsc::unbounded_channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let shared = Shared { exported: exported.cloned(), ..Shared::default() };
        let threads = start_threads(connections);
        // Where there is no thread to be had it goes on beside everything else.
        let place = |at: usize| threads.get(at).map_or_else(Handle::current, Thread::handle);
        for at in 0..connections {
            place(at).spawn(read_chunks(
                Arc::clone(options),
                shared.clone(),
                Arc::clone(&waiting),
                out.clone(),
            ));
        }
        place(0).spawn(answer(Arc::clone(options), to_answer, out));
        place(0).spawn(hand_out(asked, jobs, questions));
        Readers { asks, answers, _threads: threads }
    }
}

/// A thread for each connection. Between two chunks the server waits for a handful of answers; tasks that share a runtime with those
/// who take the rows would give each of them only when a batch is done.
fn start_threads(connections: usize) -> Vec<Thread> {
    let start = || Thread::start("cdc-postgres-read");
    let started: std::io::Result<Vec<Thread>> =
        std::iter::repeat_with(start).take(connections).collect();
    started.unwrap_or_else(|error| {
        tracing::warn!(%error, "chunks are read without threads of their own");
        Vec::new()
    })
}

/// How many blocks may be given.
#[derive(Debug, Clone)]
pub(super) struct Credit(Arc<Semaphore>);

impl Credit {
    /// Waits until one more may be given.
    pub(super) async fn take(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

struct Job {
    read: Read,
    plan: Arc<TableReadPlan>,
    credit: Credit,
    /// Ends with the wish for the read.
    wanted: oneshot::Receiver<()>,
}

enum Question {
    Barrier(BarrierTicket),
    Visible,
}

/// Never waits for a connection, so that asking never does.
async fn hand_out(
    mut asked: mpsc::Receiver<Ask>,
    jobs: mpsc::UnboundedSender<Job>,
    questions: mpsc::UnboundedSender<Question>,
) {
    let mut running: HashMap<ReadId, (oneshot::Sender<()>, Credit)> = HashMap::new();
    while let Some(ask) = asked.recv().await {
        // The other ends of these live as long as this does.
        let _ = match ask {
            Ask::Barrier(ticket) => questions.send(Question::Barrier(ticket)).is_ok(),
            Ask::Visible => questions.send(Question::Visible).is_ok(),
            Ask::Read { read, plan } => {
                running.retain(|_, (wish, _)| !wish.is_closed());
                let (wish, wanted) = oneshot::channel();
                let credit = Credit(Arc::new(Semaphore::new(0)));
                running.insert(read.id, (wish, credit.clone()));
                jobs.send(Job { read, plan, credit, wanted }).is_ok()
            }
            Ask::More(read) => {
                if let Some((_, credit)) = running.get(&read) {
                    credit.0.add_permits(1);
                }
                true
            }
            Ask::Forget(read) => running.remove(&read).is_some(),
        };
    }
}

/// Waits longer from failure to failure.
#[derive(Debug, Default)]
struct Backoff(u32);

impl Backoff {
    async fn wait(&mut self) {
        const FIRST: Duration = Duration::from_millis(100);
        const LONGEST: Duration = Duration::from_secs(5);
        tokio::time::sleep((FIRST * (1 << self.0.min(6))).min(LONGEST)).await;
        self.0 += 1;
    }
}

async fn read_chunks(
    options: Arc<Options>,
    shared: Shared,
    jobs: Arc<Mutex<mpsc::UnboundedReceiver<Job>>>,
    out: mpsc::Sender<Answer>,
) {
    let mut session: Option<Reader> = None;
    let mut backoff = Backoff::default();
    loop {
        let job = jobs.lock().await.recv().await;
        let Some(Job { read, plan, credit, mut wanted }) = job else { return };
        let reading = async {
            let error = match read_one(&options, &shared, &mut session, &read, &plan, &out, &credit)
                .await
            {
                Ok(()) => {
                    backoff = Backoff::default();
                    return false;
                }
                Err(error) => error,
            };
            if error.kind() == ErrorKind::Transient {
                // Whoever asks will ask again.
                backoff.wait().await;
            }
            let _ = out.send(Answer::Failed(read.id, error)).await;
            true
        };
        let broken = tokio::select! {
            biased;
            _ = &mut wanted => true,
            failed = reading => failed,
        };
        if broken
            && let Some(reader) = &session
            && reader.free().await.is_err()
        {
            session = None;
        }
        if let Some(reader) = &mut session {
            reader.rest().await;
        }
    }
}

async fn read_one(
    options: &Arc<Options>,
    shared: &Shared,
    session: &mut Option<Reader>,
    read: &Read,
    plan: &TableReadPlan,
    out: &mpsc::Sender<Answer>,
    credit: &Credit,
) -> Result<(), PostgresError> {
    let reader = match session {
        Some(reader) => reader,
        None => session.insert(Reader::connect(options, shared).await?),
    };
    reader.read(read, plan, out, credit).await
}

/// Answers what is asked of the whole server, one question after the other.
async fn answer(
    options: Arc<Options>,
    mut questions: mpsc::UnboundedReceiver<Question>,
    out: mpsc::Sender<Answer>,
) {
    let mut session = None;
    let mut backoff = Backoff::default();
    while let Some(question) = questions.recv().await {
        loop {
            let answered = ask_server(&options, &mut session, &question).await;
            if answered.is_err() {
                session = None;
            }
            let given = match (answered, &question) {
                (Ok(answer), _) => {
                    backoff = Backoff::default();
                    answer
                }
                (Err(error), Question::Barrier(ticket)) => {
                    backoff.wait().await;
                    Answer::NoBarrier(*ticket, error)
                }
                (Err(error), Question::Visible) if !out.is_closed() => {
                    tracing::debug!(%error, "what is visible could not be asked; it is asked again");
                    backoff.wait().await;
                    continue;
                }
                (Err(_), Question::Visible) => return,
            };
            if out.send(given).await.is_err() {
                return;
            }
            break;
        }
    }
}

async fn ask_server(
    options: &Options,
    session: &mut Option<SqlClient>,
    question: &Question,
) -> Result<Answer, PostgresError> {
    let client = match session {
        Some(client) => client,
        None => session.insert(catalog::connect(&options.sql).await?),
    };
    Ok(match question {
        Question::Barrier(ticket) => Answer::Barrier(*ticket, barrier(client).await?),
        Question::Visible => Answer::Visible(snapshot::current(client).await?),
    })
}
