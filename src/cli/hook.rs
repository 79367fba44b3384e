//! Why a hook does not answer, in words for the operator.

use jid::DomainPart;

use super::prosody_config::ProsodyConfig;
use crate::chat_server::NoAnswer;

/// The reason, and why Prosody has not loaded our module, if its configuration shows that.
pub fn explained(host: &DomainPart, reason: NoAnswer) -> String {
    let NoAnswer::NotSetUp(reason) = reason else { return reason.to_string() };
    let seen = ProsodyConfig::find().ok().flatten().and_then(|config| config.why_not_loaded(host));
    match seen {
        Some(why) => format!("{reason}. {why}"),
        None => reason,
    }
}
