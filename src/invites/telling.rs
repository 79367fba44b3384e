//! The daemon logs and counts what the command line did, and logs what was withdrawn.

use futures::future::try_join_all;
use tracing::field::display;

use super::service::{Invites, Result};
use crate::event::{Action, Event};

/// How many events are logged at a time.
const PAGE: u32 = 100;

impl Invites {
    /// Logs what the command line has done and what was withdrawn since this was called last, one
    /// line each. Of several daemons, one logs it.
    ///
    /// # Errors
    /// If the store fails. What was not logged is logged the next time.
    pub async fn tell(&self) -> Result<()> {
        loop {
            let events = self.0.store.untold(PAGE).await?;
            let told = try_join_all(events.iter().map(|event| self.0.store.tell(event.clone()))).await?;
            for (event, _) in events.iter().zip(&told).filter(|(_, own)| **own) {
                log(event);
                self.count_told(event);
            }
            if events.len() < PAGE as usize {
                return Ok(());
            }
        }
    }
}

fn log(event: &Event) {
    let Event { at, actor, invite, host, account, detail, .. } = event;
    let (invite, host, account) =
        (invite.as_ref().map(display), host.as_ref().map(display), account.as_ref().map(display));
    tracing::info!(%actor, invite, host, account, detail, %at, "{}", in_words(event.action));
}

/// An action as the log says it.
fn in_words(action: Action) -> &'static str {
    match action {
        Action::Made => "invite made",
        Action::Imported => "invite imported",
        Action::Redeemed => "invite used",
        Action::Revoked => "invite revoked",
        Action::Changed => "invite changed",
        Action::Regenerated => "new link for the invite",
        Action::Withdrawn => "withdrawn: the user who asked for it was told to try again later",
        Action::Stopped => "invite ended",
        Action::Refused => "no invite made",
        Action::Released => "reserved use released",
        Action::Purged => "invites that ended long ago removed",
        Action::Forgotten => "somebody forgotten",
    }
}
