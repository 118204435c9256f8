//! The writer of a block file without a thread of its own: whoever holds it gives it its turns. So a simulation
//! decides when the disk gets to work. It knows nothing of what is written.

use std::sync::mpsc::{Receiver, TryRecvError};

use super::writer::{Command, Writer};

/// The writer, and what it is asked.
pub struct Turns {
    writer: Writer,
    commands: Receiver<Command>,
}

impl Turns {
    pub(super) fn new(mut writer: Writer, commands: Receiver<Command>) -> Self {
        writer.trim();
        Self { writer, commands }
    }

    /// Writes what is queued, in groups of one sync each, and tells who waits. Gives whether more can come: not
    /// after the file was closed.
    pub fn take(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(first) => self.writer.group(first, &self.commands),
                Err(TryRecvError::Empty) => {
                    self.writer.settle();
                    return true;
                }
                Err(TryRecvError::Disconnected) => {
                    self.writer.end();
                    return false;
                }
            }
        }
    }
}
