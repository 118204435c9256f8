//! Properties of values of every type: they return from bytes and from texts, and their keys are in their
//! order.

use proptest::prelude::*;

use super::*;
use crate::rule::evaluate::compare;
use crate::samples::{column, table};
use crate::text::time::{DATES, TIMES, TIMESTAMPS};
use crate::text::{Utc, json};
use crate::{Column, Row, decode_row, key};

/// A number with up to `digits` digits, at a scale.
fn decimals(digits: u32, scale: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = Value> {
    let bound = 10i128.pow(digits) - 1;
    // Small magnitudes too, and not only those near the bound.
    let coefficient = prop_oneof![-bound..=bound, -1000i128..=1000, Just(0)];
    (coefficient, scale)
        .prop_map(|(coefficient, scale)| Value::Numeric(Decimal::new(coefficient, scale).unwrap()))
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,4}", "[^\\x00]{0,8}", "[ {},\"\\\\nulNUL]{0,6}"]
}

/// JSON in normal form.
fn documents() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        (-1000i64..1000, 0u8..3)
            .prop_map(|(n, scale)| { Decimal::new(i128::from(n), scale).unwrap().to_string() }),
        "[a-c]{0,3}".prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(("[a-c]{0,2}", inner), 0..4).prop_map(|pairs| {
                let pairs: Vec<String> =
                    pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
    .prop_map(|text| json::normalize(&text).unwrap())
}

fn scalars() -> BoxedStrategy<(Type, BoxedStrategy<Value>)> {
    let float8 = prop_oneof![any::<f64>(), Just(f64::NAN), Just(-0.0), Just(f64::INFINITY)];
    let float4 = prop_oneof![any::<f32>(), Just(f32::NAN), Just(-0.0f32)];
    let times = TIMESTAMPS;
    let near = -10_000_000_000_000_000i64..10_000_000_000_000_000;
    let all: Vec<(Type, BoxedStrategy<Value>)> = vec![
        (Type::Bool, any::<bool>().prop_map(Value::Bool).boxed()),
        (Type::Int2, any::<i16>().prop_map(Value::Int2).boxed()),
        (Type::Int4, prop_oneof![any::<i32>(), -300..300].prop_map(Value::Int4).boxed()),
        (Type::Int8, prop_oneof![any::<i64>(), -300i64..300].prop_map(Value::Int8).boxed()),
        (Type::Numeric { precision: 38, scale: 5 }, decimals(38, 5..=5).boxed()),
        (Type::Decimal, decimals(20, 0..=18).boxed()),
        (Type::Float4, float4.prop_map(Value::Float4).boxed()),
        (Type::Float8, float8.prop_map(Value::Float8).boxed()),
        (Type::Text, texts().prop_map(Value::Text).boxed()),
        (Type::Varchar(8), texts().prop_map(Value::Text).boxed()),
        (
            Type::Char(8),
            texts().prop_map(|text| Value::Text(text.trim_end_matches(' ').to_owned())).boxed(),
        ),
        (Type::Bytea, prop::collection::vec(0u8..4, 0..5).prop_map(Value::Bytea).boxed()),
        (Type::Date, prop_oneof![DATES, -800_000..800_000].prop_map(Value::Date).boxed()),
        (Type::Time, TIMES.prop_map(Value::Time).boxed()),
        (
            Type::Timestamp,
            prop_oneof![times.clone(), near.clone()].prop_map(Value::Timestamp).boxed(),
        ),
        (Type::Timestamptz, prop_oneof![times, near].prop_map(Value::Timestamptz).boxed()),
        (Type::Uuid, any::<[u8; 16]>().prop_map(Value::Uuid).boxed()),
        (Type::Jsonb, documents().prop_map(Value::Jsonb).boxed()),
    ];
    prop::sample::select((0..all.len()).collect::<Vec<_>>())
        .prop_map(move |at| all[at].clone())
        .boxed()
}

/// A type, and values of it or NULL.
fn types() -> BoxedStrategy<(Type, BoxedStrategy<Value>)> {
    let arrays = scalars().prop_map(|(kind, values)| {
        let items = prop_oneof![8 => values, 1 => Just(Value::Null)];
        let arrays = prop::collection::vec(items, 0..4).prop_map(Value::Array).boxed();
        (Type::Array(Box::new(kind)), arrays)
    });
    prop_oneof![3 => scalars(), 1 => arrays].boxed()
}

fn typed() -> impl Strategy<Value = (Type, Value)> {
    types().prop_flat_map(|(kind, values)| {
        let values = prop_oneof![9 => values, 1 => Just(Value::Null)];
        (Just(kind), values)
    })
}

fn pairs() -> impl Strategy<Value = (Value, Value)> {
    types().prop_flat_map(|(_, values)| (values.clone(), values))
}

/// Equal, where NaN equals itself, and texts show scale and sign of zero.
fn same(a: &Value, b: &Value) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn rows_return(
        columns in prop::collection::vec((typed(), any::<bool>(), any::<bool>()), 0..9),
    ) {
        let definitions = (1..).zip(&columns);
        let definitions = definitions.map(|(n, ((kind, _), redactable, dropped))| Column {
            dropped: *dropped,
            ..column(n, kind.clone(), *redactable)
        });
        let table = table(definitions.collect());
        let values: Vec<Value> = columns.into_iter().map(|((_, value), ..)| value).collect();
        let row = Row::encode(&table, &values, || [3; 16]).unwrap();
        row.check(&table).unwrap();
        let read = decode_row(&table, &row).unwrap();
        for ((column, value), read) in table.columns.iter().zip(&values).zip(&read) {
            let expected = if column.dropped { &Value::Null } else { value };
            prop_assert!(same(read, expected), "{read:?} {expected:?}");
        }
        let erased = row.erase(|_| true).unwrap();
        prop_assert_eq!(erased.commitment(), row.commitment());
    }

    #[test]
    fn texts_return((kind, value) in typed()) {
        if !value.is_null() {
            let text = value.to_text(&kind, &Utc);
            let read = Value::parse(&text, &kind, &Utc);
            prop_assert!(read.as_ref().is_ok_and(|read| same(read, &value)), "{kind} {text} {read:?}");
        }
    }

    #[test]
    fn assigning_to_its_own_type_changes_nothing((kind, value) in typed()) {
        let assigned = value.clone().assign(&kind).unwrap();
        prop_assert!(same(&assigned, &value), "{kind} {value:?} {assigned:?}");
    }

    #[test]
    fn keys_are_in_the_order_of_values((a, b) in pairs()) {
        let (x, y) = (key::encode_key(std::slice::from_ref(&a)), key::encode_key(std::slice::from_ref(&b)));
        let order = compare(&a, &b).unwrap();
        prop_assert_eq!(x.cmp(&y), order, "{:?} {:?}", a, b);
        // No key is another's beginning, so that what follows never decides before it.
        prop_assert!(x == y || !y.starts_with(&x));
        // A second column decides only between equals.
        let (one, two) = (Value::Int4(1), Value::Int4(2));
        let x = key::encode_key(&[a, two]);
        let y = key::encode_key(&[b, one]);
        prop_assert_eq!(x.cmp(&y), order.then(std::cmp::Ordering::Greater));
    }

    #[test]
    fn any_text_is_a_value_or_a_refusal((kind, _) in types(), text in "\\PC{0,20}") {
        if let Ok(value) = Value::parse(&text, &kind, &Utc) {
            let table = table(vec![column(1, kind.clone(), false)]);
            let row = Row::encode(&table, std::slice::from_ref(&value), || [0; 16]).unwrap();
            prop_assert_eq!(row.check(&table), Ok(()), "{} {:?}", text, value);
        }
    }

    #[test]
    fn texts_that_look_like_moments_do_not_panic(
        (kind, _) in types(),
        text in "[-0-9:./ +TZtzjanuryBCpmAM]{0,24}",
    ) {
        drop(Value::parse(&text, &kind, &Utc));
    }
}

#[test]
fn types_are_named_as_postgresql_names_them() {
    for (kind, name) in [
        (Type::Numeric { precision: 10, scale: 2 }, "numeric(10,2)"),
        (Type::Decimal, "numeric"),
        (Type::Varchar(5), "character varying(5)"),
        (Type::Char(1), "character(1)"),
        (Type::Timestamptz, "timestamp with time zone"),
        (Type::Array(Box::new(Type::Int4)), "integer[]"),
    ] {
        assert_eq!(kind.to_string(), name);
    }
}

#[test]
fn modifiers_have_bounds() {
    for wrong in [
        Type::Numeric { precision: 0, scale: 0 },
        Type::Numeric { precision: 39, scale: 0 },
        Type::Numeric { precision: 2, scale: 3 },
        Type::Varchar(0),
        Type::Char(10_485_761),
    ] {
        assert_eq!(wrong.check().map_err(|refusal| refusal.sqlstate()), Err("22023"));
    }
    assert!(Type::Int8.reads_bytes_of(&Type::Int2));
    assert!(!Type::Int2.reads_bytes_of(&Type::Int8));
    assert!(Type::Text.reads_bytes_of(&Type::Varchar(3)));
    assert!(!Type::Text.reads_bytes_of(&Type::Char(3)));
}
