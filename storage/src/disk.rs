//! The disk, as a seam: one directory of files, with the few operations that durability is made of.
//! It knows nothing of what the files hold.
//!
//! The contract that everything above rests on: bytes written are safe once `sync_data` of their file
//! returned `Ok`; before that, a crash may keep any part of them, in any order. A name is safe once
//! `sync_dir` returned `Ok`. After a failed sync nothing is known of the bytes: never sync again and hope.

use std::{
    any::Any,
    fmt::Debug,
    fs,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, fdatasync, flock};

/// One directory of files. Names are plain file names.
pub trait Disk: Send + Sync + Debug + 'static {
    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` unless `create`; whatever the system says.
    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn File>>;

    /// The names of all files, sorted.
    ///
    /// # Errors
    /// Whatever the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Renames a file; one of the new name is replaced in the same step.
    ///
    /// # Errors
    /// Whatever the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names safe: files made, renamed or removed before.
    ///
    /// # Errors
    /// Whatever the system says; never to be retried.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the directory for this process until the guard is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it.
    fn lock(&self) -> io::Result<LockGuard>;

    /// 64 random bits, for salts that a client can't guess.
    ///
    /// # Errors
    /// Whatever the system says.
    fn random(&self) -> io::Result<u64>;
}

/// Holds a directory until it is dropped.
pub type LockGuard = Box<dyn Any + Send + Sync>;

/// An open file. Reads and writes may come from several threads at once.
pub trait File: Send + Sync + Debug + 'static {
    /// Reads until the buffer is full or the file ends; returns the bytes read.
    ///
    /// # Errors
    /// Whatever the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes.
    ///
    /// # Errors
    /// `StorageFull`; whatever the system says. A part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file at least `length` bytes long; new bytes are zero and have their place on disk.
    ///
    /// # Errors
    /// `StorageFull`; whatever the system says.
    fn preallocate(&self, length: u64) -> io::Result<()>;

    /// Cuts the file, or lengthens it with zeros.
    ///
    /// # Errors
    /// Whatever the system says.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes the bytes, and the length, safe.
    ///
    /// # Errors
    /// Whatever the system says; never to be retried.
    fn sync_data(&self) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A directory of the machine.
#[derive(Clone, Debug)]
pub struct RealDisk {
    directory: PathBuf,
}

impl RealDisk {
    /// Takes a directory, which is made if it is missing.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn new(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        if !directory.is_dir() {
            fs::create_dir_all(&directory)?;
            if let Some(parent) = directory.parent().filter(|parent| parent.is_dir()) {
                fs::File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self { directory })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(self.directory.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Some(name) = entry.file_name().to_str()
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.directory.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.directory)?.sync_all()
    }

    fn lock(&self) -> io::Result<LockGuard> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.directory.join("lock"))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn random(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

#[derive(Debug)]
struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        let present = self.0.metadata()?.len();
        if present >= length {
            return Ok(());
        }
        match fallocate(&self.0, FallocateFlags::empty(), present, length - present) {
            Ok(()) => Ok(()),
            // A file system without it: the bytes are zero all the same, only their place isn't kept.
            Err(rustix::io::Errno::OPNOTSUPP) => self.0.set_len(length),
            Err(error) => Err(error.into()),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(fdatasync(&self.0)?)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
