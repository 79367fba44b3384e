//! The way back from an upgrade: a copy of the store as it was before its schema changed, which the
//! older version can restore.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use crate::files::{FileError, Folder, with_ending};
use crate::store::error::{Problem, Result};
use crate::texts::printable;

/// The error when another process has the file open. It would go on with a schema that it does not
/// know.
const IN_USE: &str = "another program has it open: stop the daemon of the older version first \
                      (systemctl stop easy-invite)";

/// A copy of a store. Until [`Copy::keep`], it has another name and is removed when this is
/// dropped.
pub struct Copy {
    folder: Folder,
    unfinished: OsString,
    name: OsString,
}

impl Copy {
    /// Copies a store of an older schema to a file beside it, syncs the copy, and checks it. Until
    /// the connection is closed, no other process can open the store.
    pub fn make(connection: &Connection, path: &Path, schema: usize) -> Result<Self> {
        // A connection can leave WAL mode only if no other has the file open. The next one enters
        // it again.
        let set = |name, value| connection.pragma_update_and_check(None, name, value, |row| row.get::<_, String>(0));
        let mode = set("locking_mode", "EXCLUSIVE").and_then(|_| set("journal_mode", "DELETE"));
        match mode.map_err(Problem::from) {
            Ok(mode) if mode == "delete" => (),
            Ok(_) | Err(Problem::Locked) => return Err(Problem::Outdated(schema, IN_USE.to_owned())),
            Err(problem) => return Err(problem),
        }
        let (folder, name) = Folder::of(path)?;
        let unfinished = with_ending(name, ".unfinished-copy");
        folder.remove(&unfinished); // of a process that was killed
        let mut copy = Copy { folder, unfinished, name: name.to_owned() };
        let made_at = copy.fill(connection, schema);
        let made_at = made_at.map_err(|problem| Problem::Outdated(schema, format!("its copy {problem}")))?;
        copy.name = OsString::from(format!("schema-{schema}.{}.", made_at.strftime("%Y%m%d-%H%M%S")));
        copy.name.push(name);
        Ok(copy)
    }

    fn fill(&self, connection: &Connection, schema: usize) -> Result<Timestamp> {
        // Kept open until it is synced: the sync reports what the system has failed to write.
        let created = self.folder.create(&self.unfinished, 0o600)?;
        let path = self.folder.path().join(&self.unfinished);
        connection.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let copy = Connection::open_with_flags(&path, flags)?;
        let verdict: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        let found = copy.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
        if verdict != "ok" || found != schema as i64 {
            return Err(Problem::Corrupt(format!("schema {found}: {verdict}")));
        }
        let failed = |error| FileError::System(path.clone(), error);
        created.sync_all().map_err(failed)?;
        let made_at = created.metadata().and_then(|metadata| metadata.modified()).map_err(failed)?;
        Ok(Timestamp::try_from(made_at).unwrap_or_default())
    }

    /// Gives it the name by which [`way_back`] finds it.
    pub fn keep(&self) -> Result<()> {
        self.folder.rename_new(&self.unfinished, &self.name)?;
        Ok(self.folder.sync()?)
    }

    /// Removes a copy that was kept, since the store stays as it was.
    pub fn discard(&self) {
        self.folder.remove(&self.name);
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.folder.remove(&self.unfinished);
    }
}

/// The path of the copy, for people.
impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(self.folder.path().join(&self.name).display()))
    }
}

/// The command that brings back the newest copy of a store whose schema is at most `known`, so that
/// this version can read it.
pub fn way_back(store: &Path, known: usize) -> Option<String> {
    let (folder, name) = (store.parent()?, store.file_name()?.to_str()?);
    let copies = folder.read_dir().ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let of_copy = |copy: String| {
        let (schema, made_at) = copy.strip_prefix("schema-")?.strip_suffix(name)?.strip_suffix('.')?.split_once('.')?;
        let known = schema.parse::<usize>().is_ok_and(|schema| (1..=known).contains(&schema));
        known.then(|| (made_at.to_owned(), copy.clone()))
    };
    let (made_at, copy) = copies.filter_map(of_copy).max()?;
    let newer = in_shell(&folder.join(format!("newer-since.{made_at}")));
    let (store, copy) = (in_shell(store), in_shell(&folder.join(copy)));
    Some(format!("mkdir {newer} && mv {store}* {newer}/ && easy-invite restore {copy}"))
}

/// A path, quoted for a shell if needed.
fn in_shell(path: &Path) -> String {
    let text = printable(path.display());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, chown};
    use std::path::PathBuf;

    use super::super::{MIGRATIONS, Sqlite};
    use super::*;
    use crate::counters::durations;

    /// The migrations of a newer version.
    fn newer() -> Vec<&'static str> {
        [MIGRATIONS, &["ALTER TABLE invite ADD COLUMN colour TEXT"]].concat()
    }

    fn open(migrations: &[&str], store: &Path) -> Result<()> {
        Sqlite::open_with(migrations, store, true, false, &durations()).map(drop)
    }

    /// A store in which something is marked, in a folder of another user.
    fn store() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), Some(4321), Some(4321)).expect("these tests need root: scripts/test unit sees to that");
        let store = folder.path().join("easy-invite.db");
        open(MIGRATIONS, &store).unwrap();
        mark(&store, 1);
        (folder, store)
    }

    fn mark(store: &Path, mark: i64) {
        let connection = Connection::open(store).unwrap();
        connection.execute("INSERT OR REPLACE INTO last_seen (id, at, since) VALUES (1, ?1, 0)", [mark]).unwrap();
    }

    /// The mark, if it is a store of the first schema.
    fn marked(store: &Path) -> Option<i64> {
        let connection = Connection::open(store).unwrap();
        let columns = "SELECT count(*) FROM pragma_table_info('invite') WHERE name = 'colour'";
        let changed: i64 = connection.query_row(columns, [], |row| row.get(0)).unwrap();
        (changed == 0).then(|| connection.query_row("SELECT at FROM last_seen", [], |row| row.get(0)).unwrap())
    }

    /// What is in the folder besides the store and the files of SQLite beside it.
    fn copies(folder: &Path) -> Vec<PathBuf> {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with("easy-invite.db")).collect()
    }

    #[test]
    fn an_upgrade_leaves_the_store_as_it_was_beside_it() {
        let (folder, store) = store();
        fs::write(folder.path().join("easy-invite.db.unfinished-copy"), "of a process that was killed").unwrap();
        open(&newer(), &store).unwrap();
        assert_eq!(marked(&store), None, "it is of the newer schema");
        let [copy] = &copies(folder.path())[..] else { panic!("one copy") };
        assert_eq!(marked(copy), Some(1));
        let metadata = copy.metadata().unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o600, 4321), "its owner's alone");
        assert!(!folder.path().join("easy-invite.db.unfinished-copy").exists());
        open(&newer(), &store).unwrap();
        assert_eq!(&copies(folder.path())[..], std::slice::from_ref(copy), "nothing is copied where nothing changes");
    }

    #[test]
    fn an_older_version_names_the_newest_copy_that_it_can_read() {
        let (folder, store) = store();
        let to = folder.path().display();
        Connection::open(&store).unwrap().pragma_update(None, "user_version", 9).unwrap();
        let refused = || match open(&newer(), &store).unwrap_err() {
            Problem::Schema(9, words) => words,
            other => panic!("{other}"),
        };
        for strange in
            ["schema-1.easy-invite.db", "schema-1.20990101-000000.other.db", "schema-3.20990101-000000.easy-invite.db"]
        {
            fs::write(folder.path().join(strange), "").unwrap();
        }
        assert!(
            refused().ends_with("from a backup from before the upgrade: easy-invite restore FILE"),
            "{}",
            refused()
        );
        for (name, newest) in [
            ("schema-1.20260501-000000.easy-invite.db", "20260501-000000"),
            ("schema-2.20260401-000000.easy-invite.db", "20260501-000000"),
            ("schema-2.20260601-000000.easy-invite.db", "20260601-000000"),
        ] {
            fs::write(folder.path().join(name), "").unwrap();
            assert!(refused().contains(&format!(".{newest}.easy-invite.db")), "{}", refused());
        }
        let command = format!(
            "mkdir {to}/newer-since.20260601-000000 && mv {to}/easy-invite.db* {to}/newer-since.20260601-000000/ && \
             easy-invite restore {to}/schema-2.20260601-000000.easy-invite.db"
        );
        assert!(refused().ends_with(&format!("go back to how it was before the upgrade: {command}")), "{}", refused());
        assert_eq!(in_shell(Path::new("/it's mine/a b")), r"'/it'\''s mine/a b'");
    }

    #[test]
    fn nothing_changes_while_another_program_has_it_open() {
        let (folder, store) = store();
        let other = Connection::open(&store).unwrap();
        let seen: i64 = other.query_row("SELECT at FROM last_seen", [], |row| row.get(0)).unwrap();
        let words = open(&newer(), &store).unwrap_err().to_string();
        assert!(words.starts_with("has schema 1 of an older version, and was not changed: another program"), "{words}");
        assert_eq!((seen, marked(&store), copies(folder.path())), (1, Some(1), vec![]));
        drop(other);
        open(&newer(), &store).unwrap();
    }

    #[test]
    fn no_other_program_is_blamed_for_what_the_system_refuses() {
        let (_folder, store) = store();
        let refused = Connection::open_with_flags(&store, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let problem = Copy::make(&refused, &store, 1).err().unwrap();
        assert!(matches!(&problem, Problem::Other(words) if words.starts_with("disk I/O error")), "{problem}");
    }

    #[test]
    fn an_upgrade_that_fails_changes_nothing_and_leaves_no_copy() {
        let (folder, store) = store();
        for _ in 0..2 {
            open(&[&newer()[..], &["no SQL"]].concat(), &store).unwrap_err();
            assert_eq!((marked(&store), copies(folder.path())), (Some(1), vec![]));
        }
        // Where the copy would be, something lies that is not removed.
        fs::create_dir(folder.path().join("easy-invite.db.unfinished-copy")).unwrap();
        let words = open(&newer(), &store).unwrap_err().to_string();
        assert!(words.contains("its copy") && words.contains("exists already"), "{words}");
        open(MIGRATIONS, &store).unwrap();
        assert_eq!(marked(&store), Some(1));
    }
}
