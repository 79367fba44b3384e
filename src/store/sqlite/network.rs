//! On which file systems SQLite cannot keep a store that several processes use.
//!
//! In WAL mode, these processes share memory, which has to be on one machine, and locks, which have
//! to hold (SQLite's documentation, "Write-Ahead Logging" and "How To Corrupt An SQLite Database
//! File"). A file system over the network, or one that another machine has mounted as well,
//! promises neither.

/// Such file systems, as the kernel names them.
const NETWORK: [&str; 22] = [
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2",
    "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "vboxsf", "vmhgfs", "wekafs",
];

/// Programs that serve a file system (FUSE) from files on this machine. Most others reach out to
/// another one: sshfs, rclone, glusterfs.
const LOCAL_PROGRAMS: [&str; 9] =
    ["bindfs", "cryfs", "encfs", "fuse-overlayfs", "fuse2fs", "gocryptfs", "mergerfs", "securefs", "unionfs"];

/// Whether a file system is one of these.
pub fn is_network(kind: &str) -> bool {
    match kind.strip_prefix("fuse.") {
        Some(program) => !LOCAL_PROGRAMS.contains(&program),
        None => kind == "fuse" || NETWORK.contains(&kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_lies_on_a_file_system_of_this_machine() {
        for kind in ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse"] {
            assert!(is_network(kind), "{kind}");
        }
        for kind in [
            "ext4",
            "xfs",
            "btrfs",
            "zfs",
            "tmpfs",
            "overlay",
            "f2fs",
            "bcachefs",
            "virtiofs",
            "fuseblk",
            "fuse.mergerfs",
            "fuse.fuse-overlayfs",
            "vfat",
        ] {
            assert!(!is_network(kind), "{kind}");
        }
    }
}
