//! A thread of its own for a connection, so that its reader may stand still (see [`super::pace`]), and need not wait for other tasks.

use std::convert::Infallible;
use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A runtime on a thread of its own, for one connection. It ends when this is dropped, also by a task of its own.
#[derive(Debug)]
pub(crate) struct Thread {
    handle: Handle,
    _alive: oneshot::Sender<Infallible>,
}

impl Thread {
    /// Starts it under this name.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let (alive, ended) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        // Nothing is ever sent: it ends when the other end is gone.
        let wait = move || runtime.block_on(ended).map_or_else(drop, |never| match never {});
        std::thread::Builder::new().name(name.to_owned()).spawn(wait)?;
        Ok(Thread { handle, _alive: alive })
    }

    /// The runtime, for tasks that own the connection and this with it.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs a task on the thread and waits for its end; a call that is dropped ends it.
    pub(super) async fn run<F>(&self, task: F) -> io::Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        struct Ends<T>(JoinHandle<T>);
        impl<T> Drop for Ends<T> {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let mut running = Ends(self.handle.spawn(task));
        Ok((&mut running.0).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_a_task_on_the_thread_owns_is_dropped_with_the_thread() {
        let (owned, dropped) = oneshot::channel::<()>();
        let thread = Thread::start("test").unwrap();
        thread.handle().spawn(async move {
            let _owned = owned;
            std::future::pending::<()>().await;
        });
        assert_eq!(thread.run(async { 7 }).await.unwrap(), 7);
        drop(thread);
        let ended = tokio::time::timeout(Duration::from_secs(10), dropped).await;
        assert!(ended.unwrap().is_err(), "the task was dropped");
    }

    #[tokio::test]
    async fn a_task_may_own_its_thread() {
        let thread = Thread::start("test").unwrap();
        let (told, hears) = oneshot::channel();
        thread.handle().spawn(async move {
            let _thread = thread;
            let _ = told.send(());
        });
        hears.await.unwrap();
    }
}
