//! Somebody edits a block file by hand. `stele verify` and `ledger.verify()` name the height, and no altered row is
//! ever returned.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::random::Random;
use crate::server::{Server, binary};

const MARK: &str = "one hundred gold coins for the captain";

/// `stele verify`: whether all is well, and what it said.
fn verify(server: &Server) -> (bool, String) {
    let output =
        Command::new(binary()).arg("verify").arg("--data").arg(server.data()).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let code = output.status.code().unwrap();
    assert!(code == 0 || code == 1, "exit code {code}: {said}");
    (code == 0, said)
}

/// The block files, without their unwritten rest.
fn block_files(server: &Server) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(server.data().join("blocks")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        if used > 4096 {
            found.push((path, bytes));
        }
    }
    assert!(!found.is_empty(), "no block file in {}", server.data().display());
    found
}

/// Changes one byte in place, as a hex editor does.
fn edit(path: &PathBuf, at: usize, byte: u8) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&[byte], at as u64).unwrap();
    file.sync_all().unwrap();
}

/// The block file that a text is in, and where its fifth byte is.
fn place_of(server: &Server, text: &str) -> (PathBuf, usize) {
    let files = block_files(server);
    let found = files.iter().find_map(|(path, bytes)| {
        let at = bytes.windows(text.len()).position(|w| w == text.as_bytes())?;
        Some((path.clone(), at + 4))
    });
    found.expect("the row's text is in a block file")
}

fn filled() -> (Server, String) {
    let server = Server::start();
    let mut client = server.client();
    client.run("CREATE TABLE treasure (id int PRIMARY KEY, what text)").unwrap();
    client.run(&format!("INSERT INTO treasure VALUES (1, '{MARK}')")).unwrap();
    let height = client.run("SELECT max(height) FROM ledger.blocks").unwrap();
    for id in 2..30 {
        client
            .run(&format!("INSERT INTO treasure VALUES ({id}, 'a barrel of fish {id}')"))
            .unwrap();
    }
    (server, height.value().unwrap().to_owned())
}

#[test]
fn an_edited_row_is_found() {
    let (mut server, height) = filled();
    let mut client = server.client();
    let sound = client.run("SELECT count(*) FROM ledger.verify() WHERE status <> 'ok'").unwrap();
    assert_eq!(sound.value(), Some("0"));
    let (path, at) = place_of(&server, MARK);
    edit(&path, at, b'9');

    let wrong = client
        .run("SELECT first_bad, status, detail FROM ledger.verify() WHERE status <> 'ok'")
        .unwrap();
    println!("ledger.verify(): {:?}", wrong.rows);
    assert_eq!(wrong.value(), Some(height.as_str()), "{:?}", wrong.rows);
    never_altered(&server);
    drop(client);
    server.stop();

    let (is_well, said) = verify(&server);
    println!("stele verify: {said}");
    assert!(!is_well, "{said}");
    assert!(said.contains(&format!("block {height}")), "no word of block {height}: {said}");

    // It may start and refuse to read, or refuse to start; either way it says which block.
    match server.try_start() {
        Ok(()) => {
            never_altered(&server);
            server.stop();
        }
        Err(why) => assert!(why.contains(&height), "{why}"),
    }
    edit(&path, at, b'h');
    let (is_well, said) = verify(&server);
    assert!(is_well, "{said}");
    server.start_again();
    let answer = server.client().run("SELECT what FROM treasure WHERE id = 1").unwrap();
    assert_eq!(answer.value(), Some(MARK));
}

/// Reads give what was written, or XX001.
fn never_altered(server: &Server) {
    let mut client = server.client();
    for sql in ["SELECT what FROM treasure WHERE id = 1", "SELECT what FROM treasure ORDER BY id"] {
        match client.run(sql) {
            Ok(answer) => assert_eq!(answer.value(), Some(MARK), "{sql}"),
            Err(failure) => assert_eq!(failure.sqlstate, "XX001", "{failure}"),
        }
    }
}

#[test]
fn any_flipped_bit_is_found() {
    let (mut server, _) = filled();
    server.stop();
    let (is_well, said) = verify(&server);
    assert!(is_well, "{said}");
    let mut random = Random::from_environment("STELE_TEST_SEED");
    for (path, bytes) in block_files(&server) {
        for _ in 0..25 {
            let at = random.below(bytes.len());
            let flipped = bytes[at] ^ (1 << random.below(8));
            edit(&path, at, flipped);
            let (is_well, said) = verify(&server);
            assert!(
                !is_well,
                "byte {at} of {} was {}, is {flipped}: {said}",
                path.display(),
                bytes[at]
            );
            edit(&path, at, bytes[at]);
        }
    }
    let (is_well, said) = verify(&server);
    assert!(is_well, "{said}");
}

/// What stands in a chain with a block that can't be read: all that lies before it, and nothing else.
#[test]
fn the_past_before_the_damage_can_be_read_and_nothing_else() {
    let (mut server, height) = filled();
    let height: u64 = height.parse().unwrap();
    let mut client = server.client();
    client.run("CREATE TABLE later (id int PRIMARY KEY)").unwrap();
    client.run("INSERT INTO later VALUES (1)").unwrap();
    let id = client.run("SELECT tx FROM ledger.transactions ORDER BY block DESC LIMIT 1").unwrap();
    let newest = client.run("SELECT max(height) FROM ledger.blocks").unwrap();
    let now = client.run("SELECT now()").unwrap();
    drop(client);
    server.stop();
    let (path, at) = place_of(&server, MARK);
    edit(&path, at, b'9');
    server.start_again();

    let mut client = server.client();
    let file = path.file_name().unwrap().to_str().unwrap();
    let (id, newest, now) = (id.value().unwrap(), newest.value().unwrap(), now.value().unwrap());
    for sql in [
        "SELECT * FROM treasure",
        "SELECT what FROM treasure WHERE id = 1",
        "SELECT * FROM later",
        "SELECT nothing FROM treasure",
        "SELECT count(*) FROM ledger.history('treasure')",
        "SELECT count(*) FROM ledger.history('later')",
        "SELECT count(*) FROM ledger.blocks",
        "SELECT count(*) FROM ledger.transactions",
        "SELECT * FROM ledger.tables",
        "SELECT ledger.digest()",
        "INSERT INTO treasure VALUES (100, 'new')",
        "UPDATE treasure SET what = 'new'",
        "DELETE FROM later",
        "CREATE TABLE other (id int)",
        "COPY later TO STDOUT",
        &format!("SELECT * FROM ledger.as_of('treasure', 'block:{height}')"),
        &format!("SELECT * FROM ledger.as_of('later', 'block:{newest}')"),
        &format!("SELECT * FROM ledger.as_of('treasure', 'tx:{id}')"),
        &format!("SELECT * FROM ledger.as_of('treasure', '{now}')"),
    ] {
        let failure = client.run(sql).unwrap_err();
        assert_eq!(failure.sqlstate, "XX001", "{sql}: {failure}");
        let names_it =
            failure.message.contains(&format!("block {height} ")) && failure.message.contains(file);
        assert!(names_it, "{sql}: {failure}");
    }
    let before = height - 1;
    let past = format!("SELECT count(*) FROM ledger.as_of('treasure', 'block:{before}')");
    assert_eq!(client.run(&past).unwrap().value(), Some("0"));
    client.run(&format!("SET ledger.as_of = 'block:{before}'")).unwrap();
    assert_eq!(client.run("SELECT count(*) FROM treasure").unwrap().value(), Some("0"));
    let missing = client.run("SELECT * FROM later").unwrap_err();
    assert_eq!(missing.sqlstate, "42P01", "{missing}");
    let blocks = client.run("SELECT count(*) FROM ledger.blocks").unwrap();
    assert_eq!(blocks.value(), Some(height.to_string().as_str()));
    client.run("RESET ledger.as_of").unwrap();
    assert_eq!(client.run("SELECT 1").unwrap().value(), Some("1"));
    let wrong =
        client.run("SELECT object, first_bad FROM ledger.verify() WHERE status <> 'ok'").unwrap();
    assert_eq!(wrong.rows[0][0].as_deref(), Some(file));
    assert_eq!(wrong.rows[0][1].as_deref(), Some(height.to_string().as_str()));
}

/// The checksum that the file's records have.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn an_edited_certificate_is_found() {
    let (mut server, _) = filled();
    let mut client = server.client();
    let waiting = "SELECT count(*) FROM ledger.blocks WHERE certified_at IS NULL";
    while client.run(waiting).unwrap().value() != Some("0") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let kept = client.run("SELECT count(*) FROM ledger.certificates").unwrap();
    assert_ne!(kept.value(), Some("0"));
    drop(client);
    server.stop();
    let (sound, said) = verify(&server);
    assert!(sound && said.contains("certificates: blocks"), "{said}");

    let path = server.data().join("blocks/certificates");
    let bytes = fs::read(&path).unwrap();
    // Within the first one: its state's digest.
    edit(&path, 24 + 80, bytes[24 + 80] ^ 1);
    let (sound, said) = verify(&server);
    assert!(!sound && said.contains("certificate doesn't match"), "{said}");
    // With its checksum put right, its signature doesn't hold.
    let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let mut forged = bytes[..24 + length].to_vec();
    forged[24 + 80] ^= 1;
    let crc = crc32(&[&forged[..20], &forged[24..]].concat());
    forged[20..24].copy_from_slice(&crc.to_le_bytes());
    for (at, byte) in forged.iter().enumerate() {
        edit(&path, at, *byte);
    }
    let (sound, said) = verify(&server);
    assert!(!sound && said.contains("does not verify"), "{said}");
    // It is no block's damage: the chain is read as ever, and later certificates cover it.
    server.start_again();
    let mut client = server.client();
    assert_eq!(client.run("SELECT count(*) FROM treasure").unwrap().value(), Some("29"));
    let wrong = "SELECT detail FROM ledger.verify() WHERE status <> 'ok'";
    let wrong = client.run(wrong).unwrap();
    assert!(wrong.value().is_some_and(|it| it.contains("does not verify")), "{:?}", wrong.rows);
}
