//! The configuration in force, and how the daemon replaces it while it runs: as a whole, or not at
//! all. It also notices when the file differs from what is in force.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, ConfigError};
use crate::invites::{Invites, Settings};
use crate::meaning::Meaning;
use crate::systemd;
use crate::texts::Languages;
use crate::web::{self, BadBranding, Pages, Site};

/// How often the daemon looks whether the files have changed. It reads a change when two looks in a
/// row have found the same: an editor may still be writing.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What follows from a configuration: the settings, and the web pages.
///
/// # Errors
/// If one of the operator's templates or languages cannot be used.
pub fn build(config: &Config) -> Result<(Settings, Option<Pages>), BadBranding> {
    let pages = config.web.as_ref().map(|web| Pages::load(web.branding.clone(), web.public_url.clone())).transpose()?;
    let languages = pages.as_ref().map(|pages| Arc::clone(pages.languages()));
    let languages = languages.unwrap_or_else(|| Arc::new(Languages::built_in()));
    Ok((config.settings(languages), pages))
}

/// The addresses of the web pages, if there are any.
pub fn router(config: &Config, invites: &Invites, pages: Option<Pages>) -> Option<Router> {
    let (web, pages) = config.web.as_ref().zip(pages)?;
    Some(web::router(Site::new(invites.clone(), pages, web.also.clone(), web.trusted_proxies.clone())))
}

/// The configuration in force, and the channels that tell the daemon's parts of another one.
pub struct Served {
    /// The configuration in force.
    pub config: Config,
    /// The service with its settings.
    pub invites: watch::Sender<Invites>,
    /// The web pages, if there are any.
    pub router: Option<watch::Sender<Router>>,
    /// What the configuration means.
    pub meaning: watch::Sender<Meaning>,
    /// Whether the file agrees with what is in force; otherwise how it differs, or why it cannot be
    /// used.
    pub fresh: watch::Sender<Result<(), String>>,
}

impl Served {
    /// Reads the configuration again at each SIGHUP, and compares the files with it when they
    /// change.
    pub async fn watch(mut self, mut hangup: Signal) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut read) = (None, Some(self.files()));
        loop {
            tokio::select! {
                Some(()) = hangup.recv() => {
                    systemd::reloading();
                    read = Some(self.files());
                    self.reload().await;
                    systemd::ready();
                }
                _ = look.tick() => {
                    let files = Some(self.files());
                    if files == seen && files != read {
                        read.clone_from(&files);
                        self.compare();
                    }
                    seen = files;
                }
            }
        }
    }

    /// The state of the files, which shows a change: inode, length and time of the last change.
    fn files(&self) -> Vec<Option<(u64, u64, i64, i64)>> {
        let files = [self.config.file.as_ref(), self.config.secret_file.as_ref()].into_iter().flatten();
        let look = |file: &PathBuf| std::fs::metadata(file).ok();
        files.map(|file| look(file).map(|it| (it.ino(), it.len(), it.ctime(), it.ctime_nsec()))).collect()
    }

    fn tell(&self, stale: Option<String>) {
        drop(self.fresh.send_replace(stale.map_or(Ok(()), Err)));
    }

    /// Puts in force what the file says now, except for what needs a restart. If the file cannot be
    /// used, everything stays as it is.
    async fn reload(&mut self) {
        let running = self.config.clone();
        let built = spawn_blocking(move || {
            let read = running.reread()?;
            read.xmpp()?;
            let meant = read.meaning();
            let next = read.without_restart(&running);
            let (settings, pages) = build(&next)?;
            anyhow::Ok((next, meant, settings, pages))
        });
        let (next, meant, settings, pages) = match built.await.unwrap_or_else(|panicked| Err(panicked.into())) {
            Ok(built) => built,
            Err(error) => {
                tracing::error!("{error:#}; what was read before stays in force");
                self.tell(Some(format!("{error:#}")));
                return;
            }
        };
        let meaning = next.meaning();
        let stale = next.stale(&meaning.differences(&meant));
        self.tell(stale.clone());
        self.meaning.send_replace(meaning);
        let invites = self.invites.borrow().with(settings);
        if let (Some(current), Some(router)) = (&self.router, router(&next, &invites, pages)) {
            drop(current.send_replace(router));
        }
        self.invites.send_replace(invites);
        for warning in next.warnings.iter().chain(&stale) {
            tracing::warn!("{warning}");
        }
        tracing::info!(hosts = next.host_names(), "the configuration was read anew, and is in force");
        self.config = next;
    }

    /// Warns in the log if the file differs from what is in force.
    fn compare(&self) {
        let differences = || {
            let read = self.config.reread()?;
            read.xmpp()?;
            Ok::<_, ConfigError>(self.config.meaning().differences(&read.meaning()))
        };
        let stale = match differences() {
            Ok(keys) => self.config.stale(&keys),
            Err(error) => Some(format!("{error}; what was read before stays in force")),
        };
        if let Some(problem) = &stale {
            tracing::warn!("{problem}");
        }
        self.tell(stale);
    }
}
