//! What happened since the daemon started, counted for a monitoring system. The values of labels
//! are words of this program and served hosts, so no stranger can add a series.

use std::time::Duration;

use jid::DomainPart;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use strum::{IntoStaticStr, VariantNames};

use crate::invite::{InviteType, Issuer, Use};
use crate::refusal::Refusal;

/// The labels of a series: names, and their values.
pub type Labels = Vec<(&'static str, String)>;

/// A request to the service whose duration is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Request {
    /// Make an invite.
    Create,
    /// Check a token.
    Check,
    /// Reserve a use.
    Reserve,
    /// Redeem a use.
    Redeem,
}

/// Who makes invites: a user, an admin, or the operator on the command line.
const MAKERS: [&str; 3] = ["user", "admin", "cli"];

/// The purposes of uses, and whether in a chat app or in a browser.
const USES: [(&str, &str); 5] =
    [("register", "xmpp"), ("register", "web"), ("reset", "xmpp"), ("reset", "web"), ("contact", "xmpp")];

/// The refusals that are not counted for a host: one is for other hosts, and one is counted as its
/// parts.
const OF_NO_HOST: [&str; 2] = ["unknown_host", "several"];

/// The counters. All clones share them.
#[derive(Clone, Debug)]
pub struct Counters {
    made: Family<Labels, Counter>,
    redeemed: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
    guesses: Counter,
    requests: Family<Labels, Histogram>,
    commits: Histogram,
}

/// A histogram of durations: up to a millisecond, two, four … and up to eight seconds.
pub fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 14))
}

/// The labels of a series.
pub fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.map(|(name, value)| (name, value.to_owned())).into()
}

impl Counters {
    /// Counters at zero. The store adds to `commits` how long its commits take.
    pub fn new(commits: Histogram) -> Counters {
        let requests = Family::<_, _>::new_with_constructor(durations as fn() -> Histogram);
        for request in Request::VARIANTS {
            drop(requests.get_or_create(&labels([("request", request)])));
        }
        Counters {
            made: Family::default(),
            redeemed: Family::default(),
            refused: Family::default(),
            guesses: Counter::default(),
            requests,
            commits,
        }
    }

    /// Shows all counters of these hosts from now on, also those at zero. Otherwise, a monitoring
    /// system would not see the first count as a change.
    pub fn serve<'a>(&self, hosts: impl Iterator<Item = &'a DomainPart>) {
        for of_host in hosts.map(|host| ("host", host.as_str())) {
            for (kind, by) in InviteType::VARIANTS.iter().flat_map(|kind| MAKERS.map(|by| (kind, by))) {
                drop(self.made.get_or_create(&labels([of_host, ("type", kind), ("by", by)])));
            }
            for (purpose, door) in USES {
                drop(self.redeemed.get_or_create(&labels([of_host, ("purpose", purpose), ("door", door)])));
            }
            for reason in Refusal::VARIANTS.iter().filter(|reason| !OF_NO_HOST.contains(reason)) {
                drop(self.refused.get_or_create(&labels([of_host, ("reason", reason)])));
            }
        }
    }

    /// An invite to this host was made.
    pub fn made(&self, host: &str, invite_type: InviteType, issuer: Issuer) {
        let by = match issuer {
            Issuer::Operator => "cli",
            Issuer::Admin | Issuer::User => issuer.as_ref(),
        };
        let of = [("host", host), ("type", invite_type.as_ref()), ("by", by)];
        self.made.get_or_create(&labels(of)).inc();
    }

    /// A use of an invite to this host was redeemed.
    pub fn redeemed(&self, host: &str, used: &Use) {
        let door = if used.is_of_browser() { "web" } else { "xmpp" };
        let of = [("host", host), ("purpose", used.purpose.as_ref()), ("door", door)];
        self.redeemed.get_or_create(&labels(of)).inc();
    }

    /// A request on a served host was refused, for one reason or for several.
    pub fn refused(&self, host: &str, refusal: &Refusal) {
        for reason in refusal.each() {
            self.refused.get_or_create(&labels([("host", host), ("reason", reason.into())])).inc();
        }
    }

    /// Somebody presented a token that no invite has or had.
    pub fn guessed(&self) {
        self.guesses.inc();
    }

    /// A request has taken so long, whatever its outcome.
    pub fn took(&self, request: Request, duration: Duration) {
        self.requests.get_or_create(&labels([("request", request.into())])).observe(duration.as_secs_f64());
    }

    /// Adds the counters to a registry, which shows them.
    pub fn register(&self, registry: &mut Registry) {
        let Counters { made, redeemed, refused, guesses, requests, commits } = self.clone();
        registry.register(
            "invites_created",
            "Invites that were made since the daemon started, by type and by who made them: a user, an admin, or the \
             operator (cli)",
            made,
        );
        registry.register(
            "uses_redeemed",
            "Uses of invites since the daemon started: an account made (register), a password set (reset) or a contact \
             made (contact), in a chat app (xmpp) or in a browser (web)",
            redeemed,
        );
        registry.register(
            "refusals",
            "Refused requests to make, present or use an invite since the daemon started, by reason",
            refused,
        );
        registry.register("guesses", "Tokens that no invite has or had, presented since the daemon started", guesses);
        registry.register_with_unit(
            "request",
            "Seconds until a request was answered: to make an invite (create), to present its token (check), to \
             reserve a use of it (reserve), to note that the use made an account (redeem)",
            Unit::Seconds,
            requests,
        );
        registry.register_with_unit(
            "store_commit",
            "Seconds until the store had a change on its disk",
            Unit::Seconds,
            commits,
        );
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::invite::Purpose;
    use crate::invite::tests::{at, invite};
    use crate::refusal::{BadPassword, Mistake};

    /// How many series a host may have in all, and how many of them are counted elsewhere: those
    /// that are counted in the store, and whether the hook is there.
    const MOST: usize = 80;
    const ELSEWHERE: usize = 3;

    fn shown(counters: &Counters) -> Vec<String> {
        let mut registry = Registry::default();
        counters.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn a_host_has_the_same_series_whatever_happens_and_not_too_many() {
        let counters = Counters::new(durations());
        counters.serve([&invite(InviteType::Account).host].into_iter());
        let before = shown(&counters);
        let of_host = before.iter().filter(|line| line.contains("host=\"example.org\"")).count();
        assert!((40..=MOST - ELSEWHERE).contains(&of_host), "{of_host}");

        for issuer in [Issuer::User, Issuer::Admin, Issuer::Operator] {
            counters.made("example.org", InviteType::AccountAndContact, issuer);
        }
        for id in ["web-c0ffee.k3v9", "c9a0a2d1-0000"] {
            let invite = invite(InviteType::Account);
            let (account, server) = ("a@example.org".parse().unwrap(), String::new());
            let (purpose, reserved_at) = (Purpose::Register, at(0));
            let used = Use { id: id.to_owned(), invite: invite.id, purpose, account, server, reserved_at };
            counters.redeemed("example.org", &used);
        }
        let texts = || "of a stranger\"\n".to_owned();
        counters.refused("example.org", &Refusal::InvalidUsername(texts()));
        counters.refused("example.org", &Refusal::UsernameRefused(texts(), texts()));
        counters.refused("example.org", &Refusal::TooManyToday { most: 3, again_at: at(0) });
        let several = vec![Refusal::PasswordRefused(BadPassword::Weak), Mistake::NoUses.into()];
        counters.refused("example.org", &Refusal::Several(several));
        for request in [Request::Create, Request::Check, Request::Reserve, Request::Redeem] {
            counters.took(request, Duration::from_millis(3));
        }
        let after = shown(&counters);
        let series = |lines: &[String]| {
            let mut series: Vec<_> = lines.iter().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
            series.sort();
            series
        };
        assert_eq!(series(&after), series(&before));
        for line in [
            "invites_created_total{host=\"example.org\",type=\"account-and-contact\",by=\"cli\"} 1",
            "invites_created_total{host=\"example.org\",type=\"account-and-contact\",by=\"user\"} 1",
            "uses_redeemed_total{host=\"example.org\",purpose=\"register\",door=\"web\"} 1",
            "uses_redeemed_total{host=\"example.org\",purpose=\"register\",door=\"xmpp\"} 1",
            "refusals_total{host=\"example.org\",reason=\"invalid_username\"} 1",
            "refusals_total{host=\"example.org\",reason=\"password_refused\"} 1",
            "refusals_total{host=\"example.org\",reason=\"impossible\"} 1",
            "refusals_total{host=\"example.org\",reason=\"used_up\"} 0",
            "request_seconds_count{request=\"redeem\"} 1",
            "request_seconds_bucket{le=\"0.002\",request=\"redeem\"} 0",
            "request_seconds_bucket{le=\"0.004\",request=\"redeem\"} 1",
        ] {
            assert!(after.iter().any(|shown| shown == line), "{line} is not in\n{}", after.join("\n"));
        }
    }
}
