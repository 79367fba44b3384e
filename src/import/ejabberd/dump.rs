//! A dump of Mnesia's tables as text, as `ejabberdctl dump` and `dump_table` write it: a list of
//! the tables and their fields, and then the records of each.

use super::row::Row;
use super::terms::Term;

/// The table. Its records have the same name.
const TABLE: &str = "invite_token";

/// What is expected of its records.
const RECORD: &str = "a record of the table invite_token, with the fields that ejabberd 26 has";

/// What is expected of the list of tables.
const TABLES: &str = "a dump of Mnesia's tables as text, with the table invite_token of ejabberd 26 among them";

/// The fields of a record that are read.
const NAMES: [&str; 7] = ["token", "inviter", "invitee", "created_at", "expires", "type", "account_name"];

/// A dump that is being read: the places of the fields in a record, once they are known.
#[derive(Default)]
pub struct Dump(Option<[usize; 7]>);

impl Dump {
    /// The invite in the next term; `None` if the term is something else of a dump.
    ///
    /// # Errors
    /// What was expected.
    pub fn read(&mut self, text: &[u8]) -> Result<Option<Row>, &'static str> {
        if text.starts_with(b"{tables,") {
            self.0 = Some(places(text).ok_or(TABLES)?);
            return Ok(None);
        }
        match text.starts_with(b"{invite_token,") {
            // Without the list of tables: 26.01 to 26.07 write them in this order.
            true => row(text, self.0.get_or_insert([0, 1, 2, 3, 4, 5, 6])).map(Some).ok_or(RECORD),
            false if self.0.is_some() => Ok(None),
            false => Err(TABLES),
        }
    }
}

/// The places of the fields in a record, from the list of tables; `None` if the table or a field is
/// missing.
fn places(text: &[u8]) -> Option<[usize; 7]> {
    let list = Term::parse(text)?;
    let [_, tables] = list.tuple()?;
    let attributes = value(value(tables, TABLE)?, "attributes")?.list()?;
    let place = |name: &&str| attributes.iter().position(|it| it.atom() == Some(name));
    NAMES.iter().map_while(place).collect::<Vec<_>>().try_into().ok()
}

fn row(text: &[u8], places: &[usize; 7]) -> Option<Row> {
    let Term::Tuple(record) = Term::parse(text)? else { return None };
    let [token, inviter, invitee, created_at, expires, kind, account_name] = places.map(|place| record.get(place + 1));
    let [inviter, host] = inviter?.tuple()?;
    Some(Row {
        token: token?.text()?,
        inviter: inviter.text()?,
        host: host.text()?,
        invitee: invitee?.text()?,
        created_at: time(created_at?)?,
        expires: time(expires?)?,
        kind: kind?.atom()?.to_owned(),
        account_name: account_name?.text()?,
        valid: None,
        registers: None,
    })
}

/// What a list of pairs has under a name.
fn value<'a>(pairs: &'a Term, name: &str) -> Option<&'a Term> {
    let pairs = pairs.list()?.iter().filter_map(Term::tuple);
    pairs.filter(|[key, _]| key.atom() == Some(name)).map(|[_, value]| value).next()
}

/// The time in `{{2026,11,30},{0,16,4}}`.
fn time(term: &Term) -> Option<String> {
    let [day, time] = term.tuple()?;
    let ([year, month, day], [hour, minute, second]) = (day.tuple()?, time.tuple()?);
    let [year, month, day] = [year, month, day].map(Term::integer);
    let [hour, minute, second] = [hour, minute, second].map(Term::integer);
    Some(format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", year?, month?, day?, hour?, minute?, second?))
}
