//! A user who asks for a link and is told to try again later gets none: if the link is stored after
//! that, it is withdrawn.

use std::pin::pin;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout, timeout_at};

use super::service::{Error, Invites, Result};
use crate::invite::TokenHash;
use crate::store::{answer_by, begin_by, begun_as_here};

/// How long the user's answer waits for the note that the link is to be withdrawn. The hook waits
/// five seconds in all.
const NOTED_WITHIN: Duration = Duration::from_millis(400);

/// The pause before something that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

impl Invites {
    /// Stores a link by running `storing`. If the outcome is not known while the caller waits, or
    /// the caller goes away, nobody is given the link, and it is withdrawn as soon as it is known
    /// to be stored. `storing` is boxed, since otherwise each caller of a flood would hold it
    /// twice.
    ///
    /// # Errors
    /// [`Error::Late`] if the outcome is not known in time; otherwise those of `storing`.
    pub(super) async fn in_time<T: Send + 'static>(
        &self,
        link: TokenHash,
        storing: BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        let (reply, mut outcome) = oneshot::channel();
        let (note, noted) = oneshot::channel();
        let (invites, begin_by) = (self.clone(), begin_by());
        tokio::spawn(async move {
            let mut reply = reply;
            let mut storing = pin!(begun_as_here(begin_by, storing));
            let stored = tokio::select! {
                biased;
                stored = &mut storing => reply.send(stored).err(),
                () = reply.closed() => tokio::select! {
                    biased;
                    stored = storing => Some(stored),
                    () = Box::pin(invites.note(link, note)) => None,
                },
            };
            match stored {
                None => (), // the caller has the outcome
                Some(Ok(_)) => Box::pin(invites.withdraw_late(link)).await,
                Some(Err(_)) => drop(Box::pin(invites.0.store.drop_withdrawal(link)).await),
            }
        });
        let told = match answer_by() {
            Some(by) => timeout_at(by, &mut outcome).await,
            None => Ok((&mut outcome).await),
        };
        if let Ok(Ok(stored)) = told {
            return stored;
        }
        outcome.close();
        if let Ok(stored) = outcome.try_recv() {
            return stored;
        }
        drop(timeout(NOTED_WITHIN, noted).await);
        Err(Error::Late)
    }

    /// Notes in the store that a link is to be withdrawn, tells `noted`, and then waits for ever.
    async fn note(&self, link: TokenHash, noted: oneshot::Sender<()>) {
        // Boxed: of a thousand callers that wait for a permit, few write at a time.
        let try_once = async || {
            let _permit = self.0.noting.acquire().await;
            Box::pin(self.0.store.note_withdrawal(link, self.now())).await
        };
        while let Err(error) = try_once().await {
            tracing::debug!(%error, "a link to withdraw cannot be noted now");
            sleep(PAUSE).await;
        }
        noted.send(()).ok();
        std::future::pending().await
    }

    /// Withdraws a link that is stored. If the store fails, tries again until it succeeds.
    async fn withdraw_late(&self, link: TokenHash) {
        loop {
            match self.0.store.withdraw(Some(link), self.now()).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "a link cannot be withdrawn now"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Withdraws the links that were noted and are stored, also those that a daemon has noted which
    /// has ended since.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn withdraw(&self) -> Result<()> {
        if self.0.store.has_withdrawals().await? {
            self.0.store.withdraw(None, self.now()).await?;
        }
        Ok(())
    }
}
