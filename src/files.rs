//! Files in a folder that may belong to another user.
//!
//! On the command line, root works in folders of the daemon's user, who can put a link or anything
//! else there, under any name, at any moment. So nothing here follows a link in such a folder, and a
//! file changes its owner by its handle, right after it was created. What opens files by their paths, as SQLite does, runs [as the folder's
//! owner](Folder::as_owner).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::texts::printable;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The path ends in no name.
    #[error("{} is no name of a file", printable(.0.display()))]
    NoName(PathBuf),
    /// The folder is not there.
    #[error("there is no folder {}", printable(.0.display()))]
    NoFolder(PathBuf),
    /// A file that was to be created is there.
    #[error("{} exists already and is left as it is", printable(.0.display()))]
    Exists(PathBuf),
    /// It is a link.
    #[error("{} is a symbolic link, which is not followed: remove it, or name the file that it leads to", printable(.0.display()))]
    Link(PathBuf),
    /// It is a folder, a pipe, a device or a socket.
    #[error("{} is no regular file: move it away, or name another file", printable(.0.display()))]
    NotRegular(PathBuf),
    /// It has hard links.
    #[error(
        "{} has a second name (it is a hard link), which may be somebody else's: copy it, and put the copy in its place",
        printable(.0.display())
    )]
    HardLink(PathBuf),
    /// It belongs neither to the owner of its folder nor to the user of this process.
    #[error(
        "{} belongs to the user with the id {found}, and its folder to the one with the id {expected}: \
         if you trust its contents, give it to the latter (chown)",
        printable(path.display())
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        found: u32,
        /// The owner of its folder.
        expected: u32,
    },
    /// The system refuses.
    #[error("{}: {}", printable(.0.display()), .1)]
    System(PathBuf, io::Error),
}

/// A folder that is held open: nobody can put another one in its place.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
    owner: Uid,
    group: Gid,
}

impl Folder {
    /// Opens a folder; without a path, the working directory. Links that lead to it are followed: the caller named them.
    ///
    /// # Errors
    /// If it is not there or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        Self::open_at(CWD, path_or_dot(path), path.to_owned(), OFlags::empty())
    }

    /// Opens the folder of a file, and tells the name of the file in it.
    ///
    /// # Errors
    /// As [`Folder::open`], and if the path ends in no name.
    pub fn of(file: &Path) -> Result<(Self, &OsStr), FileError> {
        // "folder/" has a name as well, which is no file's.
        let ends_in_name = !file.as_os_str().as_bytes().ends_with(b"/");
        let name = file.file_name().filter(|_| ends_in_name).ok_or_else(|| FileError::NoName(file.to_owned()))?;
        Ok((Self::open(file.parent().unwrap_or(Path::new("")))?, name))
    }

    /// Opens a folder in this one, and creates it first, with the mode 0755, where it is not there. A link is not
    /// followed. For work that is done [as the owner](Folder::as_owner): a new folder belongs to the user of this thread.
    ///
    /// # Errors
    /// If it cannot be created or opened, or is no folder.
    pub fn subfolder(&self, name: &OsStr) -> Result<Self, FileError> {
        let path = self.path.join(name);
        match rustix::fs::mkdirat(&self.handle, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => Self::open_at(&self.handle, Path::new(name), path, OFlags::NOFOLLOW),
            Err(error) => Err(system(&path, error)),
        }
    }

    fn open_at(parent: impl AsFd, name: &Path, path: PathBuf, flags: OFlags) -> Result<Self, FileError> {
        let flags = flags | OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT => FileError::NoFolder(path.clone()),
            error => system(&path, error),
        })?;
        let stat = rustix::fs::fstat(&handle).map_err(|error| system(&path, error))?;
        Ok(Folder { handle, path, owner: Uid::from_raw(stat.st_uid), group: Gid::from_raw(stat.st_gid) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        path_or_dot(&self.path)
    }

    /// Creates a file of this mode, which belongs to the folder's owner.
    ///
    /// # Errors
    /// [`FileError::Exists`] if something of that name is there, be it a link that leads nowhere.
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
            // A root without privileges (in a container) creates nothing that is a danger to others.
            tracing::debug!(%error, "a new file stays with its owner");
        }
        Ok(file)
    }

    /// The size of a file in bytes, if it is there and is what may be opened by its name: a regular file without other
    /// names that belongs to the folder's owner, or to the user of this process.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn size_of(&self, name: &OsStr) -> Result<Option<u64>, FileError> {
        let path = || self.path.join(name);
        let stat = match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(system(&path(), error)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => (),
            FileType::Symlink => return Err(FileError::Link(path())),
            _ => return Err(FileError::NotRegular(path())),
        }
        if stat.st_nlink > 1 {
            return Err(FileError::HardLink(path()));
        }
        if ![self.owner, geteuid()].contains(&Uid::from_raw(stat.st_uid)) {
            return Err(FileError::Owner { path: path(), found: stat.st_uid, expected: self.owner.as_raw() });
        }
        Ok(Some(stat.st_size.unsigned_abs()))
    }

    /// May this process write to a file that is there?
    ///
    /// # Errors
    /// If it may not.
    pub fn ensure_writable(&self, name: &OsStr) -> Result<(), FileError> {
        let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
        let allowed = rustix::fs::accessat(&self.handle, name, access, AtFlags::EACCESS);
        allowed.map_err(|error| system(&self.path.join(name), error))
    }

    /// Gives a file its name, in the place of whatever has it.
    ///
    /// # Errors
    /// The system's.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> Result<(), FileError> {
        let renamed = rustix::fs::renameat(&self.handle, from, &self.handle, to);
        renamed.map_err(|error| system(&self.path.join(to), error))
    }

    /// Gives a file a name that nothing has.
    ///
    /// # Errors
    /// [`FileError::Exists`] if something has it.
    pub fn rename_new(&self, from: &OsStr, to: &OsStr) -> Result<(), FileError> {
        match rustix::fs::renameat_with(&self.handle, from, &self.handle, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(FileError::Exists(self.path.join(to))),
            // Not every file system can do this in one step (NFS). Then an empty file takes the name first.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                drop(self.create(to, 0o600)?);
                self.rename(from, to).inspect_err(|_| self.remove(to))
            }
            Err(error) => Err(system(&self.path.join(to), error)),
        }
    }

    /// Removes a file, if it is there and can be removed. A link goes, and not what it leads to.
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

    /// Does some work as the folder's owner, where this process is root and the folder another user's. Whatever a path
    /// leads to then, that user could have done the same. Threads that the work starts act as that user as well.
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
        // A root that may not change its user (in a container) has no power over others' files either.
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

/// A name that belongs to a file, such as that of SQLite's log: the file's, with an ending.
pub fn with_ending(name: &OsStr, ending: &str) -> OsString {
    let mut longer = name.to_owned();
    longer.push(ending);
    longer
}

fn path_or_dot(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
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

    /// A folder that belongs to another user, where the tests run as root; and whose it is.
    fn folder_of_another() -> (tempfile::TempDir, Folder, u32) {
        let place = tempfile::tempdir().unwrap();
        let is_root = chown(place.path(), Some(4321), Some(4321)).is_ok();
        let folder = Folder::open(place.path()).unwrap();
        let owner = if is_root { 4321 } else { place.path().metadata().unwrap().uid() };
        (place, folder, owner)
    }

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    #[test]
    fn a_new_file_belongs_to_the_owner_of_its_folder() {
        let (place, folder, owner) = folder_of_another();
        folder.create(name("new"), 0o600).unwrap();
        folder.as_owner(|folder| folder.create(name("own"), 0o600).map(drop)).unwrap().unwrap();
        folder.as_owner(|folder| folder.subfolder(name("sub")).map(drop)).unwrap().unwrap();
        for made in ["new", "own", "sub"] {
            assert_eq!(place.path().join(made).metadata().unwrap().uid(), owner, "{made}");
        }
        assert_eq!(place.path().join("new").metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn nothing_that_is_there_is_created_anew() {
        let (place, folder, _) = folder_of_another();
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
        let (place, folder, owner) = folder_of_another();
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
            ("folder", "is no regular file"),
            ("pipe", "is no regular file"),
        ] {
            let error = folder.size_of(name(found)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        fs::hard_link(path("file"), path("second")).unwrap();
        assert!(folder.size_of(name("second")).unwrap_err().to_string().contains("has a second name"));
        fs::write(path("strange"), "").unwrap();
        if chown(path("strange"), Some(1234), None).is_ok() {
            let error = folder.size_of(name("strange")).unwrap_err().to_string();
            let words = format!("id 1234, and its folder to the one with the id {owner}:");
            assert!(error.contains(&words), "{error}");
        }
    }

    #[test]
    fn the_owner_of_a_folder_gains_nothing_by_what_root_does_there() {
        let (place, folder, owner) = folder_of_another();
        if owner != 4321 {
            return; // not root
        }
        let secret = tempfile::NamedTempFile::new().unwrap();
        let link = place.path().join("link");
        symlink(secret.path(), &link).unwrap();
        let tried = folder.as_owner(|_| (fs::write(&link, "overwritten"), chown(secret.path(), Some(4321), None)));
        let (written, given) = tried.unwrap();
        assert!(written.is_err() && given.is_err(), "{written:?} {given:?}");
        fs::write(&link, "by root again").unwrap();
    }

    #[test]
    fn a_folder_below_one_that_is_closed_to_its_owner_can_be_worked_in() {
        let closed = tempfile::tempdir().unwrap();
        let path = closed.path().join("open");
        fs::create_dir(&path).unwrap();
        drop(chown(&path, Some(4321), Some(4321)));
        let folder = Folder::open(&path).unwrap();
        folder.as_owner(|_| fs::write(path.join("file"), "")).unwrap().unwrap();
    }

    #[test]
    fn a_path_without_a_name_is_no_file() {
        for path in ["/", "..", "folder/"] {
            assert!(matches!(Folder::of(Path::new(path)), Err(FileError::NoName(_))), "{path}");
        }
        let missing = Folder::of(Path::new("/nonexistent/folder/file")).unwrap_err();
        assert_eq!(missing.to_string(), "there is no folder /nonexistent/folder");
    }
}
