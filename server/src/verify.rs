//! `stele verify`: has the storage walk every byte of the block files, and tells what it finds. The node must
//! be stopped.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde_json::json;
use storage::verify::{Options, Progress, Report, verify};
use storage::{Disk as _, RealDisk};

use crate::cli::Data;
use crate::node::BLOCKS;

/// Walks the files and prints what was found: exit code 0 if nothing is wrong, 1 if something is.
///
/// # Errors
/// A directory without a chain, one that a node uses, or files that can't be read at all.
pub fn run(data: &Data) -> anyhow::Result<ExitCode> {
    let directory = data.data.join(BLOCKS);
    anyhow::ensure!(directory.is_dir(), "there is no chain in {}", data.data.display());
    let disk = RealDisk::new(directory)?;
    let lock = disk.lock().map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => anyhow::anyhow!(
            "a node is using {}; ask it: SELECT * FROM ledger.verify()",
            data.data.display()
        ),
        _ => error.into(),
    })?;
    let mut shown = Shown::new(data.json);
    let report = verify(&disk, Options::default(), &mut |progress| shown.progress(progress))?;
    shown.end();
    drop(lock);
    print(&report, data.json)?;
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Progress for people who wait: one line on the standard error, written over and over.
struct Shown {
    wanted: bool,
    last: u64,
    any: bool,
}

/// Bytes between two lines of progress.
const STEP: u64 = 64 << 20;

impl Shown {
    fn new(json: bool) -> Self {
        Self { wanted: !json && std::io::stderr().is_terminal(), last: 0, any: false }
    }

    fn progress(&mut self, progress: Progress) {
        if !self.wanted || progress.bytes < self.last + STEP {
            return;
        }
        (self.last, self.any) = (progress.bytes, true);
        let (done, all) = (progress.bytes >> 20, progress.of >> 20);
        let height = progress.height.0;
        self.line(format_args!("\r{done} of {all} MiB, block {height} "));
    }

    fn end(&self) {
        if self.any {
            self.line(format_args!("\n"));
        }
    }

    /// Progress that can't be written is nobody's loss.
    fn line(&self, text: std::fmt::Arguments<'_>) {
        drop(std::io::stderr().write_fmt(text));
    }
}

fn print(report: &Report, as_json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for file in &report.files {
        let range = (file.from.map(|height| height.0), file.to.map(|height| height.0));
        if as_json {
            let damage: Vec<_> = file
                .damage
                .iter()
                .map(|damage| {
                    let height = damage.height.map(|height| height.0);
                    json!({"height": height, "offset": damage.offset, "detail": damage.detail})
                })
                .collect();
            let (from, to) = range;
            let line = json!({
                "file": file.file, "from_block": from, "to_block": to, "bytes": file.bytes, "damage": damage,
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let blocks = match range {
            (Some(from), Some(to)) => format!("blocks {from} to {to}, "),
            _ => String::new(),
        };
        let verdict = if file.damage.is_empty() { "ok" } else { "DAMAGED" };
        writeln!(out, "{}: {blocks}{} bytes: {verdict}", file.file, file.bytes)?;
        for damage in &file.damage {
            writeln!(out, "  {damage}")?;
        }
    }
    let head = report.head.map(|(height, hash)| (height.0, hash.to_string()));
    if as_json {
        let (height, hash) = head.unzip();
        let line = json!({
            "sound": report.is_sound(), "blocks": report.sound_blocks, "height": height, "hash": hash,
        });
        return writeln!(out, "{line}");
    }
    match (report.is_sound(), head) {
        (true, Some((height, hash))) => {
            writeln!(out, "verified {} blocks, up to block {height} {hash}", report.sound_blocks)
        }
        (true, None) => writeln!(out, "there is no block"),
        (false, _) => {
            let first = report.damage().filter_map(|damage| damage.height).min();
            let at =
                first.map_or_else(String::new, |height| format!(", first at block {}", height.0));
            writeln!(out, "the chain is damaged{at}; {} blocks are sound", report.sound_blocks)
        }
    }
}
