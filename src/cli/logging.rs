//! The log, on stderr. In systemd's journal each line has its priority, and no time of its own.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LOG_VARIABLE;
use crate::systemd;

/// Lines for the journal.
struct ForJournal(Format<tracing_subscriber::fmt::format::Full, ()>);

impl<S, N> FormatEvent<S, N> for ForJournal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str(systemd::priority(event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// Sends logs to stderr.
///
/// # Errors
/// If $EASY_INVITE_LOG is no filter.
pub fn init(daemon: bool) -> anyhow::Result<()> {
    let chosen = std::env::var(LOG_VARIABLE).ok().filter(|chosen| !chosen.trim().is_empty());
    // A command prints what it did and what failed; the daemon has only its log.
    let usual = if daemon { "warn,easy_invite=info" } else { "warn,easy_invite::store=off,easy_invite::xmpp=off" };
    let filter = Targets::from_str(chosen.as_deref().unwrap_or(usual))
        // The error's text includes its cause, so the error is not added as a cause itself.
        .map_err(|error| {
            anyhow::anyhow!("${LOG_VARIABLE}: expected something like \"info\" or \"easy_invite=debug\": {error}")
        })?;
    // At TRACE, tokio_xmpp logs whole stanzas, and with them tokens.
    let no_stanzas =
        filter_fn(|metadata| metadata.level() <= &LevelFilter::DEBUG || !metadata.target().starts_with("tokio_xmpp"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter).with(no_stanzas);
    if systemd::logs_to_journal() {
        registry.with(lines.event_format(ForJournal(Format::default().with_target(false).without_time()))).init()
    } else if daemon {
        registry.with(lines).init()
    } else {
        registry.with(lines.without_time()).init()
    }
    Ok(())
}
