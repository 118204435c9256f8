//! COPY's formats: what PostgreSQL reads and writes, and that it doesn't matter where messages are cut.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use proptest::prelude::*;

use super::super::encode::{Format, Rows, Shape};
use super::super::types::oid;
use super::*;

fn columns() -> Vec<(String, Type)> {
    vec![("a".to_owned(), Type::Int4), ("b".to_owned(), Type::Text)]
}

fn options(format: CopyFormat) -> CopyOptions {
    match format {
        CopyFormat::Csv => {
            CopyOptions { format, delimiter: ',', null: String::new(), ..CopyOptions::default() }
        }
        _ => CopyOptions { format, ..CopyOptions::default() },
    }
}

fn read(options: CopyOptions, pieces: &[&[u8]]) -> Result<Vec<Vec<Value>>, Problem> {
    let mut reader = Reader::new(Layout::new(options), columns(), Zone::UTC);
    let mut rows = Vec::new();
    for piece in pieces {
        reader.push(piece, &mut rows)?;
    }
    reader.finish(&mut rows)?;
    Ok(rows)
}

fn read_text(data: &str) -> Result<Vec<Vec<Value>>, Problem> {
    read(options(CopyFormat::Text), &[data.as_bytes()])
}

fn read_csv(data: &str) -> Result<Vec<Vec<Value>>, Problem> {
    read(options(CopyFormat::Csv), &[data.as_bytes()])
}

fn row(number: i32, text: &str) -> Vec<Value> {
    vec![Value::Int4(number), Value::Text(text.to_owned())]
}

#[test]
fn text_fields_have_escapes() {
    let rows = read_text("1\tone\n\\N\t\\N\n3\ta\\tb\\\\c\\nd\\x41\\101\\q\n").unwrap();
    assert_eq!(rows, [row(1, "one"), vec![Value::Null, Value::Null], row(3, "a\tb\\c\ndAAq")]);
}

#[test]
fn a_backslash_keeps_a_newline_in_the_field() {
    assert_eq!(read_text("1\ta\\\nb\n").unwrap(), [row(1, "a\nb")]);
}

#[test]
fn the_last_line_needs_no_end_and_the_end_mark_ends() {
    assert_eq!(read_text("1\ta").unwrap(), [row(1, "a")]);
    assert_eq!(read_text("1\ta\n\\.\nwhat follows is not read").unwrap(), [row(1, "a")]);
    assert_eq!(read_text("").unwrap(), Vec::<Vec<Value>>::new());
}

#[test]
fn line_ends_are_all_of_one_kind() {
    assert_eq!(read_text("1\ta\r\n2\tb\r\n").unwrap(), [row(1, "a"), row(2, "b")]);
    assert_eq!(read_text("1\ta\r2\tb\r").unwrap(), [row(1, "a"), row(2, "b")]);
    let problem = read_text("1\ta\n2\tb\r\n").unwrap_err();
    assert_eq!(
        (&*problem.sqlstate, &*problem.message),
        ("22P04", "literal carriage return found in data")
    );
}

#[test]
fn wrong_rows_are_named() {
    for (data, sqlstate, message, context) in [
        ("1\n", "22P04", "missing data for column \"b\"", "COPY, line 1"),
        ("1\ta\n2\tb\tc\n", "22P04", "extra data after last expected column", "COPY, line 2"),
        (
            "1\ta\nx\tb\n",
            "22P02",
            "invalid input syntax for type integer: \"x\"",
            "COPY, line 2, column a: \"x\"",
        ),
    ] {
        let problem = read_text(data).unwrap_err();
        assert_eq!(problem.sqlstate, sqlstate);
        assert_eq!(problem.message, message);
        assert_eq!(problem.context.as_deref(), Some(context));
    }
    let not_text = read(options(CopyFormat::Text), &[b"1\t\xff\n"]).unwrap_err();
    assert_eq!(not_text.sqlstate, "22021");
}

#[test]
fn csv_fields_have_quotes() {
    let rows = read_csv("1,one\n2,\"a,b\"\"c\"\"\nd\"\n,\"\"\n4,a\"b,c\"d\n").unwrap();
    let empty = vec![Value::Null, Value::Text(String::new())];
    assert_eq!(rows, [row(1, "one"), row(2, "a,b\"c\"\nd"), empty, row(4, "ab,cd")]);
    let problem = read_csv("1,\"a\n").unwrap_err();
    assert_eq!(problem.message, "unterminated CSV quoted field");
}

#[test]
fn csv_options() {
    let mut with = options(CopyFormat::Csv);
    with.header = true;
    with.quote = '\'';
    with.escape = '\\';
    with.null = "NULL".to_owned();
    with.force_null = vec![1];
    let rows = read(with.clone(), &[b"x,y\n1,'it\\'s \\\\'\n2,'NULL'\nNULL,\n"]).unwrap();
    let null = vec![Value::Int4(2), Value::Null];
    let empty = vec![Value::Null, Value::Text(String::new())];
    assert_eq!(rows, [row(1, "it's \\"), null, empty]);
    with.header_match = true;
    let problem = read(with, &[b"a,y\n"]).unwrap_err();
    assert_eq!(
        problem.message,
        "column name mismatch in header line field 2: got \"y\", expected \"b\""
    );
}

fn binary_file(rows: &[(Option<i32>, Option<&str>)]) -> Vec<u8> {
    let mut data = binary::SIGNATURE.to_vec();
    data.extend([0; 8]);
    for (number, text) in rows {
        data.extend([0, 2]);
        match number {
            Some(number) => data.extend([&4_i32.to_be_bytes()[..], &number.to_be_bytes()].concat()),
            None => data.extend((-1_i32).to_be_bytes()),
        }
        match text {
            Some(text) => {
                data.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
                data.extend(text.as_bytes());
            }
            None => data.extend((-1_i32).to_be_bytes()),
        }
    }
    data.extend([0xff, 0xff]);
    data
}

#[test]
fn binary_rows() {
    let data = binary_file(&[(Some(1), Some("one")), (None, None)]);
    let rows = read(options(CopyFormat::Binary), &[&data]).unwrap();
    assert_eq!(rows, [row(1, "one"), vec![Value::Null, Value::Null]]);
    let cut = read(options(CopyFormat::Binary), &[&data[..data.len() - 4]]).unwrap_err();
    assert_eq!(cut.message, "unexpected EOF in COPY data");
    let other = read(options(CopyFormat::Binary), &[b"1\tone\n"]).unwrap_err();
    assert_eq!(other.message, "COPY file signature not recognized");
}

/// Rows that are written are the rows that are read.
fn round_trip(format: CopyFormat, rows: &[(Option<i32>, Option<String>)]) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter([
        ("a", Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>()) as ArrayRef),
        ("b", Arc::new(rows.iter().map(|row| row.1.as_deref()).collect::<StringArray>())),
    ])
    .unwrap();
    let form = if format == CopyFormat::Binary { Format::Binary } else { Format::Text };
    let shape = |type_oid| Shape { type_oid, typmod: -1, format: form };
    let rows = Rows::new(&batch, &[shape(oid::INT4), shape(oid::TEXT)]).unwrap();
    let mut writer = Writer::new(Layout::new(options(format)), Zone::UTC);
    let mut out = BytesMut::new();
    writer.begin(["a", "b"].into_iter(), &mut out);
    for row in 0..batch.num_rows() {
        writer.row(&rows, row, 2, &mut out).unwrap();
    }
    writer.end(&mut out);
    // Out of their messages again.
    let mut data = Vec::new();
    while out.has_remaining() {
        assert_eq!(out.get_u8(), b'd');
        let length = out.get_u32() as usize - 4;
        data.extend(out.split_to(length));
    }
    data
}

fn cut<'a>(data: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = places.iter().map(|place| place.index(data.len() + 1)).collect();
    cuts.extend([0, data.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect()
}

fn any_rows() -> impl Strategy<Value = Vec<(Option<i32>, Option<String>)>> {
    let text = proptest::option::of("[a-c,\"'\\\\\\t\\n\\r.N é]{0,6}");
    prop::collection::vec((proptest::option::of(any::<i32>()), text), 0..8)
}

proptest! {
    #[test]
    fn what_is_written_reads_back_however_it_is_cut(
        rows in any_rows(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        for format in [CopyFormat::Text, CopyFormat::Csv, CopyFormat::Binary] {
            let data = round_trip(format, &rows);
            let found = read(options(format), &cut(&data, &places)).unwrap();
            let expected: Vec<Vec<Value>> = rows
                .iter()
                .map(|(number, text)| vec![
                    number.map_or(Value::Null, Value::Int4),
                    text.clone().map_or(Value::Null, Value::Text),
                ])
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn cuts_change_nothing_in_arbitrary_data(
        data in "[12,\\t\\n\\r\"\\\\.aN]{0,40}",
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        for format in [CopyFormat::Text, CopyFormat::Csv] {
            let whole = read(options(format), &[data.as_bytes()]);
            let pieces = read(options(format), &cut(data.as_bytes(), &places));
            prop_assert_eq!(whole, pieces);
        }
    }

    #[test]
    fn arbitrary_binary_data_is_an_error_or_rows(
        data in prop::collection::vec(any::<u8>(), 0..60),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut whole = binary_file(&[(Some(1), Some("x"))]);
        whole.truncate(whole.len() - 2);
        whole.extend(data);
        let once = read(options(CopyFormat::Binary), &[&whole]);
        let pieces = read(options(CopyFormat::Binary), &cut(&whole, &places));
        prop_assert_eq!(once, pieces);
    }
}
