//! The commands by chat, for apps that cannot run commands: what a message asks for, and whether it
//! is answered.
//!
//! Only users of served hosts are answered, as RFC 6121 (§8.5.1) allows. So there can be no loop
//! with a component or another server. A loop with a user's own program ends, because messages that
//! are not understood or come too fast are no longer answered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jid::BareJid;
use minidom::Element;

use super::message::Message;
use super::stanza_error::stanza_error;
use crate::commands::{
    Argument, COMMANDS, Command, Field, Form, Kind, Outcome, Requester, Submission, Word, invitation,
};
use crate::invite::Token;
use crate::invites::{Error, Invites};
use crate::links::Reference;
use crate::refusal::Refusal;
use crate::texts::{Languages, Texts, fill};
use crate::words::Said;

/// How many messages of an account are answered within each time. If there are more, none is
/// answered until the account has sent none for [`SILENCE`]. A program that only answers falls
/// silent, too.
const RATES: [(Duration, u32); 2] = [(Duration::from_secs(60), 40), (HOUR, 300)];

/// See [`RATES`].
const SILENCE: Duration = Duration::from_secs(10);

/// How many messages in a row are answered that are not understood.
const MAX_NOT_UNDERSTOOD: u32 = 10;

/// How often an account is told that its messages cannot be read. After so long a silence, the
/// count of messages that were not understood starts at zero.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How many entries of a list are shown.
const MAX_SHOWN: usize = 20;

/// How many numbers are kept for each account.
const MAX_NUMBERS: usize = 5 * MAX_SHOWN;

/// How many chats are kept, at up to 5 kB each.
const MAX_CHATS: usize = 2_000;

/// The state of chats, by account.
#[derive(Default)]
pub struct Chats(Mutex<HashMap<BareJid, Chat>>);

/// The state of a chat.
struct Chat {
    /// When the last message came in.
    last_message: Instant,
    /// For each of [`RATES`]: since when messages are counted, and how many there were.
    counts: [(Instant, u32); 2],
    /// How many messages in a row were not understood.
    not_understood: u32,
    /// The ids of the last message that was not understood, and of its corrections.
    not_understood_ids: Vec<String>,
    /// The code of the language of the last word that is not in the app's language.
    language: Option<String>,
    /// When the account was last told that its messages cannot be read.
    told_unreadable: Option<Instant>,
    /// The values with a number in the lists that were shown. The first has the number
    /// `forgotten + 1`. No number is used twice, so an old one never means another entry.
    numbered: Vec<String>,
    forgotten: usize,
}

/// What a message asks for, and the code of the language of its answer.
pub struct Heard {
    meaning: Meaning,
    language: String,
}

enum Meaning {
    /// It cannot be read.
    Unreadable,
    /// There are too many messages.
    TooMany,
    /// It asks for help, or is not understood.
    Help,
    /// It runs a command, by one of its words.
    Run(&'static Command, &'static Word, Said),
}

impl Chats {
    /// Takes a message. Returns the sender's account and what the message asks for, or `None` if it
    /// gets no answer.
    pub fn hear(&self, message: &Message, invites: &Invites, now: Instant) -> Option<(BareJid, Heard)> {
        let mut texts = invites.languages().preferred(&message.language);
        let account = Requester::new(&message.from, invites, texts)?.account;
        let said = match &message.words {
            Some(words) => Some(Said::read(&words.text, &words.quoted)?),
            None => None,
        };
        let meaning = self.with_chat(&account, now, |chat| {
            // A correction of a message that was understood asks for nothing more.
            if message.corrects.as_ref().is_some_and(|id| !chat.not_understood_ids.contains(id)) {
                return None;
            }
            let Some(said) = said else { return chat.tell_unreadable(now).then_some(Meaning::Unreadable) };
            match chat.count(now) {
                0 => (),
                1 => return Some(Meaning::TooMany),
                _ => return None,
            }
            let meaning = meaning(&said, texts).or_else(|| {
                let (spoken, meaning) = meaning_in_any(&said, invites.languages(), chat.language.as_deref())?;
                texts = spoken.unwrap_or(texts);
                chat.language = spoken.map(|texts| texts.code.clone());
                Some(meaning)
            });
            chat.not_understood = if meaning.is_some() { 0 } else { chat.not_understood + 1 };
            if meaning.is_some() || message.corrects.is_none() {
                chat.not_understood_ids.clear();
            }
            if meaning.is_none() && chat.not_understood_ids.len() < MAX_NOT_UNDERSTOOD as usize {
                chat.not_understood_ids.extend(message.id.clone());
            }
            (chat.not_understood <= MAX_NOT_UNDERSTOOD).then(|| meaning.unwrap_or(Meaning::Help))
        })?;
        Some((account, Heard { meaning, language: texts.code.clone() }))
    }

    /// Answers a message. `None` if the system has no randomness for the answer's id.
    pub async fn answer(
        &self,
        message: &Message,
        Heard { meaning, language }: &Heard,
        component: &str,
        invites: &Invites,
    ) -> Option<Element> {
        let texts = invites.languages().preferred(language);
        let (text, has_link) = match meaning {
            Meaning::Unreadable => (fill(&texts.chat.unreadable, &[("component", component)]), false),
            Meaning::TooMany => (texts.refusal.busy.clone(), false),
            Meaning::Help => (usage(texts), false),
            Meaning::Run(command, word, said) => {
                let requester = Requester::new(&message.from, invites, texts)?;
                self.run(&requester, command, word, said).await
            }
        };
        message.answer(component, texts, &text, has_link)
    }

    /// Runs a command. Returns the text of the answer, and whether it has a link.
    async fn run(&self, requester: &Requester<'_>, command: &Command, word: &Word, said: &Said) -> (String, bool) {
        let texts = requester.texts;
        let filled_in = match word.argument {
            None => None,
            Some(Argument::Text(var)) => Some((var, said.rest.clone())),
            Some(Argument::Option(var)) => match self.option(&requester.account, said, word, texts) {
                Ok(value) => Some((var, value)),
                Err(why) => return (why, false),
            },
        };
        let chosen = word.chosen.iter().map(|(var, value)| (*var, (*value).to_owned()));
        let submission: Submission = chosen.chain(filled_in).collect();
        let asks = word.argument.is_none() && word.chosen.is_empty();
        let outcome = match (command.open_to(requester).await, command.ask.filter(|_| asks)) {
            (Ok(false), _) => return (texts.command.forbidden.clone(), false),
            (Err(cause), _) => Err(cause),
            (Ok(true), Some(ask)) => ask(requester, &submission).await,
            (Ok(true), None) => command.run(requester, &submission).await,
        };
        let text = match outcome {
            Ok(Outcome::Invitation(issued)) => return (links(&invitation(&issued, texts)), true),
            Ok(Outcome::Ask(form)) => self.list(&requester.account, command, &form, texts),
            Ok(Outcome::Result(form)) => lines(&form),
            Ok(Outcome::Done(text)) => text,
            // Most words look like a token of some program.
            Err(Error::Refused(Refusal::Incomplete)) => which(word, texts),
            Err(Error::Refused(Refusal::Unknown)) if is_prose(&said.rest) => which(word, texts),
            Err(cause) => refusal(&cause, texts),
        };
        (text, false)
    }

    /// The option after a word: by its number in a list, or by a reference.
    ///
    /// # Errors
    /// A text for the user, if there is no such option.
    fn option(&self, account: &BareJid, said: &Said, word: &Word, texts: &Texts) -> Result<String, String> {
        let own = &texts.chat;
        let before = format!("{} {}", own.number, Texts::english().chat.number);
        let Some(number) = said.number(&before) else {
            let named = said.rest.parse::<Reference>().is_ok();
            return if named { Ok(said.rest.clone()) } else { Err(which(word, texts)) };
        };
        let known = self.with_chat(account, Instant::now(), |chat| {
            number.checked_sub(chat.forgotten + 1).and_then(|at| chat.numbered.get(at).cloned())
        });
        known.ok_or_else(|| fill(&own.not_listed, &[("number", &number.to_string()), ("list", first(&own.list))]))
    }

    /// The options of a form as a numbered list.
    fn list(&self, account: &BareJid, command: &Command, form: &Form, texts: &Texts) -> String {
        let var = command.words.iter().find_map(|word| match word.argument {
            Some(Argument::Option(var)) => Some(var),
            _ => None,
        });
        let options = form.fields.iter().find_map(|field| match &field.kind {
            Kind::List(options) if Some(field.var.as_str()) == var => Some(options.as_slice()),
            _ => None,
        });
        let options = options.unwrap_or_default();
        let shown = options.get(..MAX_SHOWN).unwrap_or(options);
        let numbers = self.with_chat(account, Instant::now(), |chat| chat.number(shown.iter().map(|(value, _)| value)));
        let title = match shown.len() < options.len() {
            true => fill(&texts.chat.newest, &[("most", &MAX_SHOWN.to_string())]),
            false => form.title.clone(),
        };
        let lines = shown.iter().zip(numbers).map(|((_, label), number)| format!("\n{number}. {label}"));
        title + &lines.collect::<String>()
    }

    /// Calls `f` with the state of a chat. If there are too many chats, a new one replaces the one
    /// that has been silent for longest.
    fn with_chat<T>(&self, account: &BareJid, now: Instant, f: impl FnOnce(&mut Chat) -> T) -> T {
        let mut chats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if chats.len() >= MAX_CHATS && !chats.contains_key(account) {
            let oldest = chats.iter().min_by_key(|(_, chat)| chat.last_message).map(|(account, _)| account.clone());
            oldest.map(|oldest| chats.remove(&oldest));
        }
        f(chats.entry(account.clone()).or_insert_with(|| Chat::new(now)))
    }
}

/// Whether a text was probably not meant to name an invite: it has no digit, no id and no token of
/// ours.
fn is_prose(text: &str) -> bool {
    let is_ours = |token: &Token| Token::parse_ours(token.reveal()).is_some();
    let named = text.parse().is_ok_and(|named: Reference| named.id.is_some() || named.tokens.iter().any(is_ours));
    !named && !text.contains(|c: char| c.is_ascii_digit())
}

/// A text that explains how to name an invite after a word.
fn which(word: &Word, texts: &Texts) -> String {
    let words = [("list", first(&texts.chat.list)), ("word", first((word.text)(texts)))];
    fill(&texts.chat.which, &words)
}

impl Chat {
    fn new(now: Instant) -> Self {
        Chat {
            last_message: now,
            counts: [(now, 0); 2],
            not_understood: 0,
            not_understood_ids: Vec::new(),
            language: None,
            told_unreadable: None,
            numbered: Vec::new(),
            forgotten: 0,
        }
    }

    /// Counts one more message. Returns by how many messages there are too many.
    fn count(&mut self, now: Instant) -> u32 {
        let silence = now.duration_since(self.last_message);
        if silence >= HOUR {
            self.not_understood = 0;
        }
        self.last_message = now;
        let excess = self.counts.iter_mut().zip(RATES).map(|((since, count), (time, most))| {
            let is_over = if *count > most { silence >= SILENCE } else { now.duration_since(*since) >= time };
            if is_over {
                (*since, *count) = (now, 0);
            }
            *count += 1;
            count.saturating_sub(most)
        });
        excess.max().unwrap_or_default()
    }

    /// Whether to tell the account now that its messages cannot be read.
    fn tell_unreadable(&mut self, now: Instant) -> bool {
        let told = self.told_unreadable.is_some_and(|told| now.duration_since(told) < HOUR);
        if !told {
            self.told_unreadable = Some(now);
        }
        !told
    }

    /// The numbers of these values, of which there are at most [`MAX_SHOWN`]. A value keeps its
    /// number.
    fn number<'a>(&mut self, values: impl Iterator<Item = &'a String>) -> Vec<usize> {
        if self.numbered.len() + MAX_SHOWN > MAX_NUMBERS {
            self.forgotten += self.numbered.len();
            self.numbered.clear();
        }
        let number = |value: &String| {
            let at = self.numbered.iter().position(|known| known == value).unwrap_or_else(|| {
                self.numbered.push(value.clone());
                self.numbered.len() - 1
            });
            self.forgotten + at + 1
        };
        values.map(number).collect()
    }
}

/// What a phrase asks for, in this language or in English. `None` if it is not understood.
fn meaning(said: &Said, texts: &Texts) -> Option<Meaning> {
    let is = |text: fn(&Texts) -> &str| said.is(text(texts)) || said.is(text(Texts::english()));
    if is(|texts| &texts.chat.help) {
        return Some(Meaning::Help);
    }
    let words = COMMANDS.iter().flat_map(|command| command.words.iter().map(move |word| (command, word)));
    let (command, word) = words.into_iter().find(|(_, word)| is(word.text))?;
    Some(Meaning::Run(command, word, said.clone()))
}

/// What a phrase asks for in any language, since many apps name no language, or always the same.
/// Also returns the language, if only one has the word, or else if the chat has used it before.
fn meaning_in_any<'a>(
    said: &Said,
    languages: &'a Languages,
    before: Option<&str>,
) -> Option<(Option<&'a Texts>, Meaning)> {
    let known: Vec<_> = languages.iter().filter_map(|texts| Some((texts, meaning(said, texts)?))).collect();
    let only = known.len() == 1;
    let spoken = known.iter().map(|(texts, _)| *texts).find(|texts| only || before == Some(texts.code.as_str()));
    known.into_iter().next().map(|(_, meaning)| (spoken, meaning))
}

fn usage(texts: &Texts) -> String {
    let own = &texts.chat;
    let words = [
        ("invite", first(&own.invite)),
        ("list", first(&own.list)),
        ("show", first(&own.show)),
        ("renew", first(&own.renew)),
        ("revoke", first(&own.revoke)),
    ];
    fill(&own.usage, &words)
}

/// The first of several words, which is the one that help texts name.
fn first(words: &str) -> &str {
    words.split_whitespace().next().unwrap_or(words)
}

fn refusal(cause: &Error, texts: &Texts) -> String {
    stanza_error(cause, texts).texts.into_values().next().unwrap_or_default()
}

/// The instructions and links of an invite, each link in a line of its own.
fn links(form: &Form) -> String {
    let links = form.fields.iter().filter(|field| ["landing-url", "uri"].contains(&field.var.as_str()));
    let links = links.map(|field| format!("\n{}:\n{}", field.label, field.value));
    form.instructions.clone() + &links.collect::<String>()
}

/// A form to read, with a line for each field.
fn lines(form: &Form) -> String {
    let line = |field: &Field| format!("{}: {}", field.label, field.value);
    form.fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_and_a_loop_end_and_a_person_goes_on() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut chat = Chat::new(start);
        let answered =
            |chat: &mut Chat, second: u64, messages: u32| (0..messages).filter(|_| chat.count(at(second)) == 0).count();
        assert_eq!(answered(&mut chat, 0, 1000), 40);
        // As long as the flood goes on, there are no answers.
        for second in (9..600).step_by(9) {
            assert_eq!(answered(&mut chat, second, 1), 0, "{second}");
        }
        assert_eq!(answered(&mut chat, 800, 1000), 40, "after some silence");
        // A program that answers slowly is answered for a while, a person who goes on for longer.
        let each = |chat: &mut Chat, seconds: std::ops::Range<u64>, step: usize| -> usize {
            seconds.step_by(step).map(|second| answered(chat, second, 1)).sum()
        };
        assert_eq!(each(&mut chat, 10_000..12_000, 2), 300);
        assert_eq!(each(&mut chat, 20_000..40_000, 20), 1000);
    }

    #[test]
    fn what_cannot_be_read_is_told_once_an_hour() {
        let start = Instant::now();
        let mut chat = Chat::new(start);
        let told = (0..200).filter(|minute| chat.tell_unreadable(start + HOUR / 60 * *minute)).count();
        assert_eq!(told, 4);
    }

    #[test]
    fn a_number_means_one_entry_for_ever() {
        let mut chat = Chat::new(Instant::now());
        let mut number = |values: &[String]| chat.number(values.iter());
        let values: Vec<String> = (0..300).map(|value| value.to_string()).collect();
        assert_eq!(number(&values[0..3]), [1, 2, 3]);
        assert_eq!(number(&values[1..5]), [2, 3, 4, 5], "one is gone, two are new");
        let mut meant: HashMap<usize, String> = HashMap::new();
        for start in 0..280 {
            let shown = &values[start..start + MAX_SHOWN];
            for (value, number) in shown.iter().zip(number(shown)) {
                assert_eq!(meant.entry(number).or_insert(value.clone()), value);
            }
        }
        assert!(chat.numbered.len() <= MAX_NUMBERS);
    }

    #[test]
    fn few_chats_are_kept_and_the_silent_ones_are_forgotten_first() {
        let (chats, start) = (Chats::default(), Instant::now());
        let account = |number: usize| BareJid::new(&format!("user-{number}@example.org")).unwrap();
        for number in 0..MAX_CHATS + 10 {
            let now = start + Duration::from_millis(u64::try_from(number).unwrap());
            chats.with_chat(&account(number), now, |chat| chat.count(now));
        }
        let known = chats.0.lock().unwrap();
        assert_eq!(known.len(), MAX_CHATS);
        assert!(!known.contains_key(&account(9)) && known.contains_key(&account(10)));
    }
}
