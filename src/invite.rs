//! What an invite is, and what it allows at an instant. No I/O and no clock: the caller passes the
//! instant.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use jid::{BareJid, DomainPart, NodePart};
use jiff::Timestamp;
use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strum::{AsRefStr, Display, EnumString, VariantNames};

use crate::names;
use crate::refusal::Refusal;

/// Characters in a token of ours. All are from the system's random source.
pub const TOKEN_LENGTH: usize = 24;

/// Characters in a token of any program: Prosody's and ejabberd's have 24.
const FOREIGN_LENGTHS: RangeInclusive<usize> = 8..=128;

/// How many characters at the beginning are the same in all tokens that one process makes in a row:
/// see [`TokenHash`]. The other characters leave 62^21 possibilities to guess, 125 bits.
const PLACE_LENGTH: usize = 3;

/// How many tokens in a row begin with the same characters.
const TOKENS_IN_A_PLACE: usize = 256;

/// A token with fewer characters can perhaps be guessed: docs/security.md has the arithmetic.
pub const SAFE_LENGTH: u32 = 16;

/// Characters in an invite's public id: 32^12 possibilities, enough that ten million invites rarely
/// collide.
const ID_LENGTH: usize = 12;

/// How many of these count up from one id to the next. The store sorts by id, so invites that are
/// made in a row lie side by side on the disk. Random ids would each change another page.
const ID_COUNTER: usize = 6;

/// The characters of an id: no 0, 1, l or o, which are misread.
const ID_ALPHABET: &[u8] = b"23456789abcdefghijkmnpqrstuvwxyz";

/// How long a session may take to register after it presented a token that has expired since
/// (XEP-0445 §5 judges expiry when the token is presented). Servers close unauthenticated streams
/// long before.
const PRESENTED_GRACE_SECONDS: i64 = 60 * 60;

/// A text of random characters, evenly drawn from `alphabet` by the system's random source.
pub(crate) fn random_text(alphabet: &[u8], length: usize) -> Result<String, NoRandomness> {
    // Bytes from here up would make the first characters of the alphabet likelier than the others.
    let even = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(length);
    let mut bytes = [0u8; 32];
    while text.len() < length {
        SysRng.try_fill_bytes(&mut bytes).map_err(|_| NoRandomness)?;
        let usable = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < even);
        let characters = usable.filter_map(|byte| alphabet.get(byte % alphabet.len()));
        text.extend(characters.take(length - text.len()).map(|byte| char::from(*byte)));
    }
    Ok(text)
}

/// A short random text, long enough that the same one is never made twice.
pub fn nonce() -> Result<String, NoRandomness> {
    random_text(ID_ALPHABET, ID_LENGTH)
}

/// The system's random source failed, so no secret can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source failed, so no token can be made")]
pub struct NoRandomness;

/// The secret of an invite. It is shown once, in the link, and never stored. `Debug` does not
/// reveal it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new token from the system's random source.
    pub fn generate() -> Result<Self, NoRandomness> {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        // The first characters, and how many more tokens begin with them.
        static PLACE: Mutex<(String, usize)> = Mutex::new((String::new(), 0));
        let mut token = {
            let mut place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
            if place.1 == 0 {
                *place = (random_text(ALPHABET, PLACE_LENGTH)?, TOKENS_IN_A_PLACE);
            }
            place.1 -= 1;
            place.0.clone()
        };
        token += &random_text(ALPHABET, TOKEN_LENGTH - PLACE_LENGTH)?;
        Ok(Token(token))
    }

    /// The token in a text; `None` if the text does not have the shape of a token. The tokens of
    /// other programs may have `-` and `_` in them.
    pub fn parse(text: &str) -> Option<Self> {
        let shaped = FOREIGN_LENGTHS.contains(&text.len()) && text.chars().all(is_of_token);
        shaped.then(|| Token(text.to_owned()))
    }

    /// The token in a text; `None` if the text does not have the shape of our own tokens.
    pub fn parse_ours(text: &str) -> Option<Self> {
        Self::parse(text).filter(Token::is_like_ours)
    }

    /// Whether it has the shape of our own tokens, which have too many random bits to be guessed.
    pub fn is_like_ours(&self) -> bool {
        self.0.len() == TOKEN_LENGTH && self.0.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    /// Whether it may be a token of ours that a program has cut or added letters to.
    pub fn may_be_changed(&self) -> bool {
        let plain = self.0.trim_matches(['-', '_']);
        plain.len() != TOKEN_LENGTH && plain.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    /// What the store keeps and compares in the token's place.
    pub fn hash(&self) -> TokenHash {
        let mut hash = <[u8; 32]>::from(Sha256::digest(self.0.as_bytes()));
        hash.iter_mut().zip(self.0.bytes()).take(PLACE_LENGTH).for_each(|(kept, byte)| *kept = byte);
        TokenHash(hash)
    }

    /// The secret itself, for the link.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Whether a character may be in a token.
pub fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// SHA-256 of a [`Token`], with its first bytes replaced by the token's first characters. The rest
/// of a token of ours has 125 random bits, so no slower hash is needed.
///
/// The store sorts by these, so the hashes of invites that are made in a row lie side by side on
/// the disk. Plain hashes would each change another page. 232 bits of the hash are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// The public name of an invite, safe to log; never the secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct InviteId(String);

impl InviteId {
    /// A new id. The first half counts up from a random start, the second half is random.
    pub fn generate() -> Result<Self, NoRandomness> {
        static COUNTER: OnceLock<AtomicUsize> = OnceLock::new();
        let counter = match COUNTER.get() {
            Some(counter) => counter,
            None => {
                let start = SysRng.try_next_u32().map_err(|_| NoRandomness)?;
                COUNTER.get_or_init(|| AtomicUsize::new(start as usize))
            }
        };
        let number = counter.fetch_add(1, Ordering::Relaxed);
        let digit = |place| ID_ALPHABET.get(number >> (5 * place) & 31).map(|byte| char::from(*byte));
        let mut id: String = (0..ID_COUNTER).rev().filter_map(digit).collect();
        id += &random_text(ID_ALPHABET, ID_LENGTH - ID_COUNTER)?;
        Ok(InviteId(id))
    }

    /// The id in a text; `None` if the text does not have the shape of an id.
    pub fn parse(text: &str) -> Option<Self> {
        let shaped =
            text.len() == ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        shaped.then(|| InviteId(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an invite is for.
#[derive(AsRefStr, Clone, Copy, Debug, Display, EnumString, Eq, PartialEq, Serialize, VariantNames)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum InviteType {
    /// Registers an account.
    Account,
    /// Makes its holder a contact of the inviter; registers nobody.
    Contact,
    /// Registers an account that is a contact of the inviter at once.
    AccountAndContact,
    /// Sets a new password for one existing account.
    PasswordReset,
}

impl InviteType {
    /// Whether it makes an account.
    pub fn registers(self) -> bool {
        matches!(self, InviteType::Account | InviteType::AccountAndContact)
    }

    /// What its uses do.
    pub fn purpose(self) -> Purpose {
        match self {
            InviteType::Account | InviteType::AccountAndContact => Purpose::Register,
            InviteType::Contact => Purpose::Contact,
            InviteType::PasswordReset => Purpose::Reset,
        }
    }

    /// Whether it makes a contact of the inviter.
    pub fn connects(self) -> bool {
        matches!(self, InviteType::Contact | InviteType::AccountAndContact)
    }
}

/// The state of an invite.
#[derive(AsRefStr, Clone, Copy, Debug, Display, EnumString, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum State {
    /// It can be used.
    Pending,
    /// No use is left.
    Redeemed,
    /// Its end has passed.
    Expired,
    /// Somebody has revoked it, or it ended with an account or a password.
    Revoked,
}

/// With whose rights an invite was made. When it is used, the host's policy judges it by them.
#[derive(AsRefStr, Clone, Copy, Debug, Display, EnumString, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Issuer {
    /// A user of the host.
    User,
    /// An admin of the host.
    Admin,
    /// The operator, on the command line.
    Operator,
}

/// What a use of an invite does.
#[derive(AsRefStr, Clone, Copy, Debug, Deserialize, Display, EnumString, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Purpose {
    /// Makes an account.
    Register,
    /// Sets an account's password.
    Reset,
    /// Makes two accounts contacts (XEP-0379).
    Contact,
}

/// Another program that makes invites.
#[derive(AsRefStr, Clone, Copy, Debug, Deserialize, Display, EnumString, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Program {
    /// Prosody with its own modules.
    Prosody,
    /// ejabberd with mod_invites.
    Ejabberd,
}

/// An invite as the store knows it. As JSON, it has the fields that scripts may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invite {
    /// Its public name.
    pub id: InviteId,
    /// The hash of its token.
    #[serde(skip)]
    pub token_hash: TokenHash,
    /// What it is for.
    #[serde(rename = "type")]
    pub invite_type: InviteType,
    /// The VirtualHost on which it is valid.
    pub host: DomainPart,
    /// The only username that it may register, or the account whose password it resets.
    pub username: Option<NodePart>,
    /// The user or admin who made it. In the types with a contact: the contact.
    pub inviter: Option<BareJid>,
    /// With whose rights it was made.
    #[serde(skip)]
    pub issuer: Issuer,
    /// Roles of the new account, the primary one first.
    pub roles: Vec<String>,
    /// Ids of the groups that the new account joins.
    pub groups: Vec<String>,
    /// The inviter's note.
    pub note: Option<String>,
    /// How often it can be used; `None`: without limit.
    pub max_uses: Option<u32>,
    /// How often it was used.
    pub uses: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When the accounts to which it belongs (its inviter's, and the one whose password it resets)
    /// were made, as was known when the invite was made; of two, the later instant. `None` if it
    /// was not known.
    #[serde(skip)]
    pub owners_since: Option<Timestamp>,
    /// How many links it has had. Only the newest one works.
    pub links: u32,
    /// When it got its newest link, if that is not its first.
    pub regenerated_at: Option<Timestamp>,
    /// The language in which it was made, and in which its inviter is told of it (BCP 47).
    #[serde(skip)]
    pub language: Option<String>,
    /// The nickname of its inviter.
    #[serde(skip)]
    pub inviter_name: Option<String>,
    /// The program that made it; `None`: this one.
    pub imported_from: Option<Program>,
    /// How many characters its token has, if another program made the token. `None`: it is one of
    /// ours.
    #[serde(skip)]
    pub token_length: Option<u32>,
    /// Whether it was found by an older link, which does not work any more.
    #[serde(skip)]
    pub replaced: bool,
}

impl Invite {
    /// The inviter, as shown to people.
    pub fn inviter_shown(&self) -> Option<String> {
        let nickname = self.inviter_name.as_deref();
        self.inviter.as_ref().map(|inviter| names::introduced(inviter, nickname))
    }

    /// Who becomes a contact of the account that uses it.
    pub fn contact(&self) -> Option<&BareJid> {
        self.inviter.as_ref().filter(|_| self.invite_type.connects())
    }

    /// The only account that it may register, or the one whose password it resets.
    pub fn account(&self) -> Option<BareJid> {
        self.username.as_ref().map(|username| BareJid::from_parts(Some(username), &self.host))
    }

    /// The account whose username it reserves while it is pending.
    pub fn reserves(&self) -> Option<BareJid> {
        self.account().filter(|_| self.invite_type != InviteType::PasswordReset)
    }

    /// Whether another program has made its token, which is so short that it can perhaps be
    /// guessed.
    pub fn has_short_token(&self) -> bool {
        self.token_length.is_some_and(|length| length < SAFE_LENGTH)
    }

    /// The state of the invite at an instant.
    pub fn state(&self, now: Timestamp) -> State {
        if self.max_uses.is_some_and(|max| self.uses >= max) {
            State::Redeemed
        } else if self.revoked_at.is_some() {
            State::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            State::Expired
        } else {
            State::Pending
        }
    }

    /// Checks whether the invite can be used at an instant.
    ///
    /// # Errors
    /// The refusal that fits its state, if it cannot.
    pub fn usable(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.state(now) {
            State::Pending if self.replaced => Err(Refusal::Replaced),
            State::Pending => Ok(()),
            State::Redeemed => Err(Refusal::UsedUp),
            State::Expired => Err(Refusal::Expired),
            State::Revoked => Err(Refusal::Revoked),
        }
    }
}

/// The username in a text that was typed, folded as servers fold it (nodeprep, RFC 6122 §2.3).
///
/// # Errors
/// `InvalidUsername` if it cannot be one. The chat server may refuse more, mostly newer characters.
pub fn username(text: &str) -> Result<NodePart, Refusal> {
    let fold = |text: &str| {
        let invalid = |_| Refusal::InvalidUsername(text.chars().take(50).collect());
        NodePart::new(text).map(|node| node.into_owned()).map_err(invalid)
    };
    // Some characters fold to others that fold again. Names are compared in their final form.
    let once = fold(text)?;
    let twice = fold(once.as_str())?;
    if once == twice { Ok(once) } else { fold(twice.as_str()) }
}

/// The instant at which to judge the expiry of an invite that a session presented earlier.
///
/// XEP-0445 §5: an invite that was valid when it was presented does not expire for that session. An
/// instant in the future, or too long ago, does not count.
pub fn judged_at(presented: Option<Timestamp>, now: Timestamp) -> Timestamp {
    match presented {
        Some(then) if then <= now && now.duration_since(then).as_secs() <= PRESENTED_GRACE_SECONDS => then,
        _ => now,
    }
}

/// The prefix of the names of reservations that the daemon makes for browsers.
pub const OF_BROWSER: &str = "web-";

/// One use of an invite. First it is reserved, and when its account exists it is redeemed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The name of the reservation, which the hook or the daemon has chosen.
    pub id: String,
    /// The invite.
    pub invite: InviteId,
    /// What it does.
    pub purpose: Purpose,
    /// The account that it makes, resets or connects. Only a contact may be of another host.
    pub account: BareJid,
    /// The id of the chat server whose hook reserved it. Only that hook can tell how it ended.
    pub server: String,
    /// When it was reserved.
    pub reserved_at: Timestamp,
}

impl Use {
    /// Whether the daemon reserved it for a browser. Otherwise the hook did, for a chat client.
    pub fn is_of_browser(&self) -> bool {
        self.id.starts_with(OF_BROWSER)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashSet;

    use super::*;

    pub fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    pub fn invite(invite_type: InviteType) -> Invite {
        Invite {
            id: InviteId::generate().unwrap(),
            token_hash: Token::generate().unwrap().hash(),
            invite_type,
            host: DomainPart::new("example.org").unwrap().into_owned(),
            username: None,
            inviter: None,
            issuer: Issuer::Operator,
            roles: vec![],
            groups: vec![],
            note: None,
            max_uses: Some(1),
            uses: 0,
            created_at: at(1000),
            expires_at: Some(at(2000)),
            revoked_at: None,
            owners_since: None,
            links: 1,
            regenerated_at: None,
            language: None,
            inviter_name: None,
            imported_from: None,
            token_length: None,
            replaced: false,
        }
    }

    #[test]
    fn a_token_has_24_alphanumerics_and_keeps_to_itself() {
        let token = Token::generate().unwrap();
        assert_eq!(Token::parse(token.reveal()), Some(token.clone()));
        assert_eq!(token.reveal().len(), 24);
        assert!(!format!("{token:?}").contains(&token.reveal()[PLACE_LENGTH..]));
    }

    #[test]
    fn a_token_is_random_at_every_place_but_where_it_begins() {
        let tokens: Vec<_> = (0..2000).map(|_| Token::generate().unwrap()).collect();
        for place in PLACE_LENGTH..TOKEN_LENGTH {
            let found: HashSet<_> = tokens.iter().map(|token| token.reveal().as_bytes()[place]).collect();
            assert_eq!(found.len(), 62, "characters at {place}");
        }
        let begun: HashSet<_> = tokens.iter().map(|token| &token.reveal()[..PLACE_LENGTH]).collect();
        assert!(begun.len() >= 2000 / TOKENS_IN_A_PLACE, "new ones, from time to time");
    }

    #[test]
    fn hashes_of_tokens_made_in_a_row_lie_side_by_side() {
        let hashes: Vec<_> = (0..1000).map(|_| Token::generate().unwrap().hash().0).collect();
        let begun: HashSet<_> = hashes.iter().map(|hash| &hash[..PLACE_LENGTH]).collect();
        assert!(begun.len() < 100, "four or five, and some more where other tests make tokens meanwhile");
        let rest: HashSet<_> = hashes.iter().map(|hash| &hash[PLACE_LENGTH..]).collect();
        assert_eq!(rest.len(), 1000);
    }

    #[test]
    fn every_character_of_a_token_counts() {
        let text = "ABCDEFGHIJKLMNOPQRSTUVWX";
        let token = Token::parse(text).unwrap();
        for place in 0..TOKEN_LENGTH {
            let mut other = text.to_owned();
            other.replace_range(place..=place, "x");
            let other = Token::parse(&other).unwrap();
            assert_ne!(other.hash().0[PLACE_LENGTH..], token.hash().0[PLACE_LENGTH..], "{other:?} at {place}");
        }
    }

    #[test]
    fn ids_made_in_a_row_lie_side_by_side_and_no_two_are_alike() {
        let ids: Vec<_> = (0..1000).map(|_| InviteId::generate().unwrap()).collect();
        assert!(ids.iter().all(|id| InviteId::parse(id.as_str()).as_ref() == Some(id)));
        let sorted = ids.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!(sorted >= 998, "but for where it begins again");
        let random: HashSet<_> = ids.iter().map(|id| &id.as_str()[ID_COUNTER..]).collect();
        assert!(random.len() > 990);
    }

    #[test]
    fn texts_that_are_no_token_are_told_apart() {
        for text in ["", "seven-7", "ABCDEFGHIJKLMNOPQRSTUVW=", &"x".repeat(129), "äBCDEFGHIJKLMNOPQRSTUVW"] {
            assert_eq!(Token::parse(text), None, "{text:?}");
        }
        for text in ["", "ABCDEFGHIJKLMNOPQRSTUVW-", "ABCDEFGHIJKLMNOPQRSTUVWXY", "ABCDEFGHIJKLMNOPQRSTUVW"] {
            assert_eq!(Token::parse_ours(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_token_that_another_program_made_is_one_with_a_hash_of_its_own() {
        let texts = ["eight--8", "--------", "_-_aB3_-", "KkDb-3kT_9Zx0aQ-vBnM12_w", "abcdefgh2345", &"-".repeat(128)];
        let hashes: HashSet<_> = texts
            .iter()
            .map(|text| {
                let token = Token::parse(text).unwrap();
                assert_eq!(token.reveal(), *text);
                token.hash()
            })
            .collect();
        assert_eq!(hashes.len(), texts.len());
    }

    #[test]
    fn used_up_comes_before_revoked_before_expired() {
        let mut invite = invite(InviteType::Account);
        assert_eq!(invite.state(at(1999)), State::Pending);
        assert_eq!(invite.state(at(2000)), State::Expired);
        invite.revoked_at = Some(at(1500));
        assert_eq!(invite.state(at(2000)), State::Revoked);
        invite.uses = 1;
        assert_eq!(invite.state(at(2000)), State::Redeemed);
    }

    #[test]
    fn without_limit_and_without_end_it_stays_pending() {
        let mut invite = invite(InviteType::Account);
        (invite.max_uses, invite.expires_at, invite.uses) = (None, None, 1_000_000);
        assert_eq!(invite.state(at(9_999_999_999)), State::Pending);
    }

    #[test]
    fn usernames_are_folded_to_the_end() {
        for (typed, folded) in
            [("Alice", "alice"), ("ＡＬＩＣＥ", "alice"), ("\u{1d2c}lison", "alison"), ("straße", "strasse")]
        {
            assert_eq!(username(typed).unwrap().as_str(), folded);
        }
        for bad in ["", "a b", "a/b", "a@b", "\u{0}", "\u{202e}x"] {
            assert!(username(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_earlier_presentation_counts_for_an_hour() {
        assert_eq!(judged_at(Some(at(100)), at(200)), at(100));
        assert_eq!(judged_at(Some(at(100)), at(3701)), at(3701));
        assert_eq!(judged_at(Some(at(300)), at(200)), at(200), "not from the future");
        assert_eq!(judged_at(None, at(200)), at(200));
    }
}
