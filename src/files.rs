//! Files in a folder that may belong to another user.
//!
//! On the command line, root works in folders of the daemon's user. That user can put a link or
//! anything else there, under any name, at any moment. So nothing here follows a link in such a
//! folder, and a file changes its owner by its handle, right after it was created. Code that opens
//! files by their paths, such as SQLite, runs [as the folder's owner](Folder::as_owner).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::resume_unwind;
use std::path::{Component, Path, PathBuf};
use std::thread;

use nix::unistd::User;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat, StatxFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::texts::printable;

/// How a folder is opened: to find things in it, without permission to read it.
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The folders with people's homes. Root owns them, but has not chosen what is in a home.
const HOMES: [&str; 2] = ["/home", "/run/user"];

/// How many links may lead to a folder: as many as the kernel follows.
const MOST_LINKS: usize = 40;

/// The problem with a link that another user may have put there.
const LINK: &str = "is a symbolic link, or reached by one, that may be another user's and is not followed: \
                    remove it, or name what it leads to";

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The folder is not there.
    #[error("there is no folder {}", printable(.0.display()))]
    NoFolder(PathBuf),
    /// A file that was to be created is there.
    #[error("{} exists already and is left as it is", printable(.0.display()))]
    Exists(PathBuf),
    /// Something is there that may not be used. The text says what it is, and what to do.
    #[error("{} {}", printable(.0.display()), .1)]
    Unfit(PathBuf, String),
    /// The system refuses.
    #[error("{}: {}", printable(.0.display()), in_words(.1))]
    System(PathBuf, io::Error),
}

/// The advice for a user who may not open the daemon's files.
pub const AS_WHOM: &str = "run it as root or as the daemon's user (easy-invite)";

/// The daemon's user, as in the package and in contrib/easy-invite.sysusers.
const DAEMON: &str = "easy-invite";

/// An error of the system in words that say what to do.
pub fn in_words(error: &io::Error) -> String {
    let advice = if is_refusal(error) && !is_daemon() { format!(": {AS_WHOM}") } else { String::new() };
    format!("{error}{advice}")
}

/// Why a file cannot be read, in words that say what to do: to be another user, or to let this user
/// read it.
pub fn unreadable(error: &io::Error) -> String {
    let mut said = format!("cannot be read: {}", in_words(error));
    if is_refusal(error) {
        said += if is_daemon() { ": " } else { ", or " };
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        said += &format!("let the user with the id {user} read it: chgrp {group} FILE && chmod g+r FILE");
    }
    said
}

/// Whether another user might be allowed to do this. Root is refused for other reasons.
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && !geteuid().is_root()
}

/// Whether this process runs as the daemon's user.
fn is_daemon() -> bool {
    User::from_uid(nix::unistd::geteuid()).ok().flatten().is_some_and(|user| user.name == DAEMON)
}

/// A folder that is held open: nobody can put another one in its place.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
    owner: Uid,
    group: Gid,
    /// The way to it.
    way: Way,
}

/// The way to a folder.
#[derive(Debug, Default)]
struct Way {
    /// The owners of the links.
    links: Vec<Uid>,
    /// A folder of root's that nobody else may pass through lies above it.
    enclosed: bool,
    /// All folders above it are root's, and nobody else may write there.
    of_root: bool,
}

impl Folder {
    /// Opens a folder, or the working directory if the path is empty. Root follows a link to it
    /// only if the link belongs to root or to the folder's owner: any other user could lead root to
    /// a folder that is not theirs.
    ///
    /// # Errors
    /// If it is not there or cannot be opened, or a link of another user leads to it.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let (handle, way) = walk(path)?;
        let folder = Folder { way, ..Self::of_handle(handle, path.to_owned())? };
        let trusted = |link: &&Uid| !geteuid().is_root() || link.is_root() || **link == folder.owner;
        if folder.way.links.iter().all(|link| trusted(&link)) { Ok(folder) } else { Err(unfit(path, LINK)) }
    }

    /// Opens the folder of a file, and tells the name of the file in it.
    ///
    /// # Errors
    /// As [`Folder::open`], and if the path ends in no name.
    pub fn of(file: &Path) -> Result<(Self, &OsStr), FileError> {
        // "folder/" has a name as well, which is no file's.
        let ends_in_name = !file.as_os_str().as_bytes().ends_with(b"/");
        let name = file.file_name().filter(|_| ends_in_name).ok_or_else(|| unfit(file, "is no name of a file"))?;
        Ok((Self::open(file.parent().unwrap_or(Path::new("")))?, name))
    }

    /// Opens a folder in this one, and creates it first if it is missing, with the mode 0755. A
    /// link is not followed. For work that is done [as the owner](Folder::as_owner): a new folder
    /// belongs to the user of this thread.
    ///
    /// # Errors
    /// If it cannot be created or opened, or is no folder.
    pub fn subfolder(&self, name: &OsStr) -> Result<Self, FileError> {
        let path = self.path.join(name);
        match rustix::fs::mkdirat(&self.handle, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => (),
            Err(error) => return Err(system(&path, error)),
        }
        let flags = FOLDER | OFlags::NOFOLLOW;
        let opened = rustix::fs::openat(&self.handle, name, flags, Mode::empty());
        Self::of_handle(opened.map_err(|error| system(&path, error))?, path)
    }

    fn of_handle(handle: OwnedFd, path: PathBuf) -> Result<Self, FileError> {
        let stat = rustix::fs::fstat(&handle).map_err(|error| system(&path, error))?;
        let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        Ok(Folder { handle, path, owner, group, way: Way::default() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        path_or_dot(&self.path)
    }

    /// The owner, if root has given the folder to that user: nobody but root can pass through a
    /// folder above it, as with systemd's `DynamicUser`, or nobody but root can change what is
    /// above it, as in /var/lib, and it is no person's home.
    pub fn owner_by_root(&self) -> Option<u32> {
        let Way { enclosed, of_root, .. } = self.way;
        (enclosed || of_root && !is_home(&self.path)).then(|| self.owner.as_raw())
    }

    /// Creates a file of this mode, which belongs to the folder's owner.
    ///
    /// # Errors
    /// [`FileError::Exists`] if something of that name is there, even a link that leads nowhere.
    pub fn create(&self, name: &OsStr, mode: u32) -> Result<File, FileError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created = rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(mode));
        let file = File::from(created.map_err(|error| match error {
            Errno::EXIST => FileError::Exists(self.path.join(name)),
            error => system(&self.path.join(name), error),
        })?);
        if geteuid().is_root()
            && !self.owner.is_root()
            && let Err(error) = rustix::fs::fchown(&file, Some(self.owner), Some(self.group))
        {
            // This happens to a root without privileges, as in a container. A file of that root is
            // no danger to others.
            tracing::debug!(%error, "a new file stays with its owner");
        }
        Ok(file)
    }

    /// The type of the file system that holds a file, or would hold it, as the kernel names it, if
    /// the kernel tells: `ext4`, `nfs4`, `fuse.sshfs`.
    pub fn file_system(&self, name: &OsStr) -> Option<String> {
        let mount = |name, flags| rustix::fs::statx(&self.handle, name, flags, StatxFlags::MNT_ID);
        let found = mount(name, AtFlags::SYMLINK_NOFOLLOW).or_else(|_| mount(OsStr::new(""), AtFlags::EMPTY_PATH));
        let id = found.ok()?.stx_mnt_id.to_string();
        // A line: the mount's id, more words, a dash, the type (proc_pid_mountinfo(5)).
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let line = mounts.lines().find(|line| line.split(' ').next() == Some(&id))?;
        Some(line.split_once(" - ")?.1.split(' ').next()?.to_owned())
    }

    /// The size in bytes of a file that may be opened by its name, or `None` if it is missing. It
    /// may be opened if it is a regular file without other names that belongs to the folder's owner
    /// or to the user of this process.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn size_of(&self, name: &OsStr) -> Result<Option<u64>, FileError> {
        let Some(stat) = self.stat(name)? else { return Ok(None) };
        let path = self.path.join(name);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => (),
            FileType::Symlink => return Err(unfit(&path, LINK)),
            FileType::Directory => return Err(unfit(&path, "is a folder: name a file in it")),
            _ => return Err(unfit(&path, "is no regular file: move it away, or name another file")),
        }
        if stat.st_nlink > 1 {
            let problem = "has a second name (it is a hard link), which may be somebody else's: \
                           copy it, and put the copy in its place";
            return Err(unfit(&path, problem));
        }
        self.ensure_trusted(name, &stat)?;
        Ok(Some(stat.st_size.unsigned_abs()))
    }

    /// The inode of a socket, if it is there.
    ///
    /// # Errors
    /// If something else is.
    pub fn socket(&self, name: &OsStr) -> Result<Option<u64>, FileError> {
        Ok(self.stat_socket(name)?.map(|stat| stat.st_ino))
    }

    /// Removes a socket, if it is there.
    ///
    /// # Errors
    /// If it is no socket, or belongs neither to the folder's owner nor to the user of this
    /// process.
    pub fn remove_socket(&self, name: &OsStr) -> Result<(), FileError> {
        if let Some(stat) = self.stat_socket(name)? {
            self.ensure_trusted(name, &stat)?;
            self.remove(name);
        }
        Ok(())
    }

    fn stat_socket(&self, name: &OsStr) -> Result<Option<Stat>, FileError> {
        match self.stat(name)? {
            Some(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Socket => {
                let problem = "is no socket: remove it, or set [control] socket to another path";
                Err(unfit(&self.path.join(name), problem))
            }
            stat => Ok(stat),
        }
    }

    fn stat(&self, name: &OsStr) -> Result<Option<Stat>, FileError> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(system(&self.path.join(name), error)),
        }
    }

    fn ensure_trusted(&self, name: &OsStr, stat: &Stat) -> Result<(), FileError> {
        if [self.owner, geteuid()].contains(&Uid::from_raw(stat.st_uid)) {
            return Ok(());
        }
        // The file's owner may be the daemon's user, whom a file of root's would lock out.
        let (user, owner) = (stat.st_uid, self.owner.as_raw());
        let advice = match self.owner.is_root() {
            true => format!("give the folder to the user {user} (chown)"),
            false => format!("give it to the user {owner} (chown)"),
        };
        let problem = format!(
            "belongs to the user with the id {user}, and its folder to the one with the id {owner}: if you trust it, \
             {advice}"
        );
        Err(unfit(&self.path.join(name), problem))
    }

    /// May this process write to a file that is there, and make others beside it?
    ///
    /// # Errors
    /// If it may not.
    pub fn ensure_writable(&self, name: &OsStr) -> Result<(), FileError> {
        let access = Access::READ_OK | Access::WRITE_OK;
        for name in [name, OsStr::new(".")] {
            let allowed = rustix::fs::accessat(&self.handle, name, access, AtFlags::EACCESS);
            allowed.map_err(|error| system(&self.path.join(name), error))?;
        }
        Ok(())
    }

    /// Renames a file. It replaces the file that has the new name.
    ///
    /// # Errors
    /// The system's.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> Result<(), FileError> {
        let renamed = rustix::fs::renameat(&self.handle, from, &self.handle, to);
        renamed.map_err(|error| system(&self.path.join(to), error))
    }

    /// Renames a file, and replaces nothing.
    ///
    /// # Errors
    /// [`FileError::Exists`] if something has it.
    pub fn rename_new(&self, from: &OsStr, to: &OsStr) -> Result<(), FileError> {
        match rustix::fs::renameat_with(&self.handle, from, &self.handle, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(FileError::Exists(self.path.join(to))),
            // Not every file system can do this in one step (NFS). Then an empty file takes the
            // name first.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                drop(self.create(to, 0o600)?);
                self.rename(from, to).inspect_err(|_| self.remove(to))
            }
            Err(error) => Err(system(&self.path.join(to), error)),
        }
    }

    /// Removes a file, if it is there and can be removed. A link is removed itself, not what it
    /// leads to.
    pub fn remove(&self, name: &OsStr) {
        if let Err(error) = rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            tracing::debug!(%error, file = %printable(self.path.join(name).display()), "not removed");
        }
    }

    /// Waits until the names in the folder are on the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> Result<(), FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let readable = rustix::fs::openat(&self.handle, ".", flags, Mode::empty());
        readable.and_then(rustix::fs::fsync).map_err(|error| system(self.path(), error))
    }

    /// Does some work as the folder's owner, if this process is root and the folder is another
    /// user's. Wherever a path leads, the work can do no more there than that user could. Threads
    /// that the work starts act as that user as well.
    ///
    /// # Errors
    /// If the system refuses to change the user.
    pub fn as_owner<T: Send>(&self, work: impl FnOnce(&Self) -> T + Send) -> Result<T, FileError> {
        if !geteuid().is_root() || self.owner.is_root() {
            return Ok(work(self));
        }
        let failed = |error| FileError::System(self.path().to_owned(), error);
        thread::scope(|scope| {
            let worker = thread::Builder::new().spawn_scoped(scope, || {
                self.become_owner()?;
                Ok(work(self))
            });
            worker.map_err(failed)?.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// On Linux, every thread has a user of its own.
    fn become_owner(&self) -> Result<(), FileError> {
        let failed = |error| system(self.path(), error);
        let held = rustix::thread::capabilities(None).map_err(failed)?.permitted;
        // A root that may not change its user, as in a container, has no power over others' files.
        if !held.contains(CapabilitySet::SETUID | CapabilitySet::SETGID) {
            return Ok(());
        }
        // The folders above this one may be closed to its owner.
        let kept = held & CapabilitySet::DAC_READ_SEARCH;
        let kept = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
        rustix::thread::set_thread_groups(&[])
            .and_then(|()| rustix::thread::set_thread_res_gid(None, self.group, None))
            .and_then(|()| rustix::thread::set_thread_res_uid(None, self.owner, None))
            .and_then(|()| rustix::thread::set_capabilities(None, kept))
            .map_err(failed)
    }
}

/// Whether a folder is a person's home, or in one.
fn is_home(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return true };
    HOMES.iter().filter_map(|home| Path::new(home).canonicalize().ok()).any(|home| path.starts_with(home))
}

/// Opens a folder step by step, and remembers the way. If the path is relative, what is above the
/// working directory is not known.
fn walk(path: &Path) -> Result<(OwnedFd, Way), FileError> {
    let failed = |error| match error {
        Errno::NOENT => FileError::NoFolder(path.to_owned()),
        error => system(path, error),
    };
    let start = |path: &Path| {
        let start = if path.is_absolute() { "/" } else { "." };
        rustix::fs::openat(CWD, start, FOLDER, Mode::empty()).map_err(failed)
    };
    let names = |path: &Path| {
        let steps = path.components().rev().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
        steps.map(|step| step.as_os_str().to_owned()).collect::<Vec<_>>()
    };
    let (mut here, mut left) = (start(path)?, names(path));
    let mut way = Way { of_root: path.is_absolute(), ..Way::default() };
    // The folder is root's, and gives this right to nobody else.
    let only_root = |stat: Stat, right| stat.st_uid == 0 && stat.st_mode & right == 0;
    while let Some(name) = left.pop() {
        let above = rustix::fs::fstat(&here).map_err(failed)?;
        way.of_root &= only_root(above, 0o022);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = rustix::fs::openat(&here, &name, flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&next).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                way.enclosed = (way.enclosed || only_root(above, 0o011)) && name != "..";
                here = next;
            }
            FileType::Symlink if way.links.len() < MOST_LINKS => {
                way.links.push(Uid::from_raw(stat.st_uid));
                let target = rustix::fs::readlinkat(&next, "", Vec::new()).map_err(failed)?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    here = start(&target)?;
                    way.enclosed = false;
                }
                left.extend(names(&target));
            }
            FileType::Symlink => return Err(failed(Errno::LOOP)),
            _ => return Err(failed(Errno::NOTDIR)),
        }
    }
    Ok((here, way))
}

/// A file's name with an ending, such as the name of its log for SQLite.
pub fn with_ending(name: &OsStr, ending: &str) -> OsString {
    let mut longer = name.to_owned();
    longer.push(ending);
    longer
}

fn path_or_dot(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn unfit(path: &Path, problem: impl Into<String>) -> FileError {
    FileError::Unfit(path.to_owned(), problem.into())
}

fn system(path: &Path, error: Errno) -> FileError {
    FileError::System(path.to_owned(), error.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, chown, symlink};
    use std::process::Command;

    use super::*;

    /// The user whose folder it is.
    const OWNER: u32 = 4321;

    /// A folder that belongs to another user.
    fn folder_of_another() -> (tempfile::TempDir, Folder) {
        let place = tempfile::tempdir().unwrap();
        chown(place.path(), Some(OWNER), Some(OWNER)).expect("these tests need root: scripts/test unit sees to that");
        let folder = Folder::open(place.path()).unwrap();
        (place, folder)
    }

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    #[test]
    fn a_new_file_belongs_to_the_owner_of_its_folder() {
        let (place, folder) = folder_of_another();
        folder.create(name("new"), 0o600).unwrap();
        folder.as_owner(|folder| folder.create(name("own"), 0o600).map(drop)).unwrap().unwrap();
        folder.as_owner(|folder| folder.subfolder(name("sub")).map(drop)).unwrap().unwrap();
        for made in ["new", "own", "sub"] {
            assert_eq!(place.path().join(made).metadata().unwrap().uid(), OWNER, "{made}");
        }
        assert_eq!(place.path().join("new").metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn nothing_that_is_there_is_created_anew() {
        let (place, folder) = folder_of_another();
        let other = tempfile::NamedTempFile::new().unwrap();
        let before = other.path().metadata().unwrap().uid();
        symlink(other.path(), place.path().join("link")).unwrap();
        symlink("/nowhere/at/all", place.path().join("dangling")).unwrap();
        fs::write(place.path().join("file"), "kept").unwrap();
        for there in ["link", "dangling", "file"] {
            let created = folder.create(name(there), 0o600);
            assert!(matches!(created, Err(FileError::Exists(_))), "{created:?}");
            fs::write(place.path().join("from"), "").unwrap();
            let renamed = folder.rename_new(name("from"), name(there));
            assert!(matches!(renamed, Err(FileError::Exists(_))), "{renamed:?}");
        }
        assert_eq!(other.path().metadata().unwrap().uid(), before);
        assert_eq!(fs::read_to_string(place.path().join("file")).unwrap(), "kept");
    }

    #[test]
    fn what_may_be_opened_is_a_regular_file_of_the_owner_without_other_names() {
        let (place, folder) = folder_of_another();
        let path = |name: &str| place.path().join(name);
        fs::write(path("file"), "12345").unwrap();
        assert_eq!(folder.size_of(name("file")).unwrap(), Some(5), "one of this process's own user");
        assert_eq!(folder.size_of(name("nothing")).unwrap(), None);
        symlink(path("file"), path("link")).unwrap();
        symlink("/nowhere/at/all", path("dangling")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        for (found, words) in [
            ("link", "is a symbolic link"),
            ("dangling", "is a symbolic link"),
            ("folder", "is a folder"),
            ("pipe", "is no regular file"),
        ] {
            let error = folder.size_of(name(found)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        fs::hard_link(path("file"), path("second")).unwrap();
        assert!(folder.size_of(name("second")).unwrap_err().to_string().contains("has a second name"));
        fs::write(path("strange"), "").unwrap();
        chown(path("strange"), Some(1234), None).unwrap();
        let error = folder.size_of(name("strange")).unwrap_err().to_string();
        assert!(error.contains("id 1234, and its folder to the one with the id 4321:"), "{error}");
        assert!(error.ends_with("if you trust it, give it to the user 4321 (chown)"), "{error}");
        chown(place.path(), Some(0), None).unwrap();
        let error = Folder::open(place.path()).unwrap().size_of(name("strange")).unwrap_err().to_string();
        assert!(error.contains("id 1234, and its folder to the one with the id 0:"), "{error}");
        assert!(error.contains("give the folder to the user 1234"), "a file of root's locks the daemon out: {error}");
    }

    #[test]
    fn the_owner_of_a_folder_gains_nothing_by_what_root_does_there() {
        let (place, folder) = folder_of_another();
        let secret = tempfile::NamedTempFile::new().unwrap();
        let link = place.path().join("link");
        symlink(secret.path(), &link).unwrap();
        let tried = folder.as_owner(|_| (fs::write(&link, "overwritten"), chown(secret.path(), Some(OWNER), None)));
        let (written, given) = tried.unwrap();
        assert!(written.is_err() && given.is_err(), "{written:?} {given:?}");
        fs::write(&link, "by root again").unwrap();
    }

    #[test]
    fn a_folder_below_one_that_is_closed_to_its_owner_can_be_worked_in() {
        let closed = tempfile::tempdir().unwrap();
        let path = closed.path().join("open");
        fs::create_dir(&path).unwrap();
        chown(&path, Some(OWNER), Some(OWNER)).unwrap();
        let folder = Folder::open(&path).unwrap();
        folder.as_owner(|_| fs::write(path.join("file"), "")).unwrap().unwrap();
    }

    #[test]
    fn a_folder_is_reached_by_links_of_root_or_of_its_owner() {
        let (place, _) = folder_of_another();
        let (path, other) = (|name: &str| place.path().join(name), tempfile::tempdir().unwrap());
        let of = |uid, name: &str| drop(std::os::unix::fs::lchown(path(name), Some(uid), Some(uid)));
        fs::create_dir(other.path().join("below")).unwrap();
        for (name, target) in [("roots", other.path()), ("theirs", other.path()), ("own", place.path())] {
            symlink(target, path(name)).unwrap();
        }
        symlink("theirs/below", path("twice")).unwrap();
        symlink("endless", path("endless")).unwrap();
        of(OWNER, "theirs");
        of(OWNER, "own");
        for reached in ["", ".", "own", "own/own/.", "roots", "roots/below", "roots/below/.."] {
            let folder = Folder::open(&path(reached)).unwrap();
            let (found, expected) = (rustix::fs::fstat(&folder.handle).unwrap(), path(reached).metadata().unwrap());
            assert_eq!(found.st_ino, expected.ino(), "{reached}");
        }
        for led_astray in ["theirs", "theirs/below", "own/theirs", "own/roots", "twice", "twice/.."] {
            let opened = Folder::open(&path(led_astray));
            let refused = matches!(&opened, Err(error) if error.to_string().contains("is a symbolic link"));
            assert!(refused, "{led_astray}: {opened:?}");
        }
        assert!(Folder::open(&path("endless")).unwrap_err().to_string().contains("Too many levels"));
        assert!(matches!(Folder::open(&path("own/nothing/..")), Err(FileError::NoFolder(_))));
    }

    #[test]
    fn a_path_without_a_name_is_no_file() {
        for path in ["/", "..", "folder/"] {
            assert_eq!(Folder::of(Path::new(path)).unwrap_err().to_string(), format!("{path} is no name of a file"));
        }
        let missing = Folder::of(Path::new("/nonexistent/folder/file")).unwrap_err();
        assert_eq!(missing.to_string(), "there is no folder /nonexistent/folder");
    }
}
