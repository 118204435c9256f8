//! The house in order: who may depend on whom, the shape of files, words left behind, paths in the docs, licences.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

/// Each crate, and the crates of ours that it may name.
const MAY_USE: &[(&str, &[&str])] = &[
    ("ledger", &[]),
    ("storage", &["ledger"]),
    ("raft", &["ledger", "storage"]),
    ("sql", &["ledger", "storage"]),
    ("server", &["ledger", "raft", "sql", "storage"]),
];

/// Libraries that one crate alone may name.
const ONLY_IN: &[(&str, &str)] =
    &[("datafusion", "sql"), ("pgwire", "server"), ("openraft", "raft"), ("fjall", "storage")];

/// A file longer than this has two subjects.
const MOST_LINES: usize = 800;

/// What dependencies may be licensed under: permissive, and compatible with Apache-2.0.
const LICENSES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
    // Copyleft by file: fine for a library that is used as it is.
    "MPL-2.0",
    "MPL-2.0+",
];

fn root() -> PathBuf {
    crate::server::manifest_folder().join("..")
}

/// All files of the repository under `folder` whose name ends so, build results aside.
fn files(folder: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), ".git" | "target" | "stele-data") {
                    folders.push(path);
                }
            } else if ends.iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn agree(complaints: &[String]) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn crates_use_only_the_floors_below() {
    let mut complaints = Vec::new();
    for (name, allowed) in MAY_USE {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        for line in manifest.lines() {
            let word = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let is_ours = MAY_USE.iter().any(|(other, _)| other == &word);
            if is_ours && !allowed.contains(&word) {
                complaints.push(format!("{name} may not use {word}"));
            }
            for (library, owner) in ONLY_IN {
                if word == *library && name != owner {
                    complaints.push(format!("{name} may not use {library}: only {owner} does"));
                }
            }
        }
    }
    agree(&complaints);
}

#[test]
fn files_have_a_subject_and_a_bound() {
    let mut complaints = Vec::new();
    for path in files(&root(), &[".rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let shown = path.strip_prefix(root()).unwrap().display();
        let is_generated = text.starts_with("//! @generated");
        if !text.starts_with("//! ") {
            complaints.push(format!("{shown}: the first line says in `//!` what the file is"));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES && !is_generated {
            complaints.push(format!("{shown}: {lines} lines, at most {MOST_LINES}"));
        }
    }
    agree(&complaints);
}

#[test]
fn nothing_is_left_behind() {
    // Split, so that this file doesn't find itself.
    let words = [
        ("FIX", "ME"),
        ("XX", "X"),
        ("TO", "DO"),
        ("for ", "now"),
        ("dum", "my"),
        ("hard-", "coded"),
        ("/work", "/"),
        ("/tmp/", "stele"),
    ];
    let words: Vec<String> = words.iter().map(|(a, b)| format!("{a}{b}")).collect();
    let stub = Regex::new(r"\bstubs?\b").unwrap();
    let mut complaints = Vec::new();
    for path in files(&root(), &[".rs", ".md", ".toml", ".java", ".xml", "run"]) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let here =
                || format!("{}:{}", path.strip_prefix(root()).unwrap().display(), number + 1);
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                complaints.push(format!("{}: \"{word}\"", here()));
            }
            if stub.is_match(line) && !path.ends_with("tests/tidy.rs") {
                complaints.push(format!("{}: \"{}\"", here(), line.trim()));
            }
        }
    }
    agree(&complaints);
}

#[test]
fn paths_in_the_docs_exist() {
    let tops = r"(?:ledger|storage|raft|sql|server|tests|docs|jdbc-compat|\.ci)";
    let in_code = Regex::new(&format!(r"`({tops}/[A-Za-z0-9_./-]*)`")).unwrap();
    let in_link = Regex::new(r"\]\(([^)#: ]+)(?:#[^)]*)?\)").unwrap();
    let mut complaints = Vec::new();
    for path in files(&root(), &[".md"]) {
        let text = fs::read_to_string(&path).unwrap();
        let shown = path.strip_prefix(root()).unwrap().display();
        for found in in_code.captures_iter(&text) {
            if !root().join(&found[1]).exists() {
                complaints.push(format!("{shown}: `{}` does not exist", &found[1]));
            }
        }
        for found in in_link.captures_iter(&text) {
            if !path.parent().unwrap().join(&found[1]).exists() {
                complaints.push(format!("{shown}: the link to {} leads nowhere", &found[1]));
            }
        }
    }
    agree(&complaints);
}

#[test]
fn decisions_are_numbered_and_listed() {
    let folder = root().join("docs/decisions");
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut complaints = Vec::new();
    let pages = files(&folder, &[".md"]).into_iter().filter(|path| !path.ends_with("README.md"));
    for (number, path) in (1..).zip(pages) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with(&format!("{number:04}-")) {
            complaints.push(format!("docs/decisions/{name}: number {number:04} is next"));
        }
        let page = fs::read_to_string(&path).unwrap();
        let title = page.lines().next().unwrap_or_default().trim_start_matches("# ");
        if !index.contains(&format!("- [{number:04}]({name}) {title}\n")) {
            complaints.push(format!("docs/decisions/README.md does not list {name}: {title}"));
        }
    }
    agree(&complaints);
}

#[test]
fn every_test_file_is_part_of_the_binary() {
    let main = fs::read_to_string(root().join("tests/main.rs")).unwrap();
    let mut complaints = Vec::new();
    for entry in fs::read_dir(root().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|e| e == "rs")
            && name != "main"
            && !main.lines().any(|line| line == format!("mod {name};"))
        {
            complaints.push(format!("tests/{name}.rs is no module of tests/main.rs"));
        }
    }
    agree(&complaints);
}

#[test]
fn dependencies_are_explained() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let explained = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let complaints: Vec<_> = section
        .lines()
        .filter(|line| !line.starts_with([' ', ']', '}', '#']))
        .filter_map(|line| line.split_once(" = "))
        .filter(|(_, value)| !value.contains("path = "))
        .filter(|(name, _)| !explained.contains(&format!("`{name}`")))
        .map(|(name, _)| format!("docs/dependencies.md does not say what `{name}` is for"))
        .collect();
    agree(&complaints);
}

#[test]
fn licences_are_allowed() {
    let rustc = Command::new("rustc").args(["--print", "host-tuple"]).output().unwrap();
    let host = String::from_utf8(rustc.stdout).unwrap();
    let output = Command::new(std::env::var_os("CARGO").expect("cargo runs the tests"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        // Packages for other systems alone are not even downloaded.
        .args(["--filter-platform", host.trim()])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut complaints = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let license = package["license"].as_str().unwrap_or("none");
        if !is_allowed(license) {
            complaints.push(format!("{}: {license}", package["name"]));
        }
    }
    agree(&complaints);
}

/// Whether some choice among an SPDX expression's alternatives is allowed. `AND` binds tighter than `OR`.
fn is_allowed(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    let is_known = |name: &str| LICENSES.contains(&name.trim());
    if expression.contains('(') {
        // A group is written as `A AND (B OR C)` or `(A OR B) AND C`: each factor needs one allowed alternative.
        return flat.split(" AND ").all(|factor| factor.split(" OR ").any(is_known));
    }
    flat.split(" OR ").any(|choice| choice.split(" AND ").all(is_known))
}

#[test]
fn licence_expressions_are_read() {
    assert!(is_allowed("MIT OR GPL-3.0"));
    assert!(is_allowed("MIT/Apache-2.0"));
    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR GPL-2.0"));
    assert!(!is_allowed("GPL-3.0"));
    assert!(!is_allowed("MIT AND GPL-3.0"));
    assert!(!is_allowed("none"));
}
