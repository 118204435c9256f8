//! Rules against what PostgreSQL 15 answers.

use super::*;
use crate::rule::evaluate::Nothing;
use crate::{Refusal, codec};

fn int(v: i32) -> Rule {
    Rule::Literal(Value::Int4(v), Type::Int4)
}

fn text(v: &str) -> Rule {
    Rule::Literal(Value::Text(v.to_owned()), Type::Text)
}

fn number(v: &str) -> Rule {
    Rule::Literal(Value::Numeric(v.parse().unwrap()), Type::Decimal)
}

fn null() -> Rule {
    Rule::Literal(Value::Null, Type::Int4)
}

fn truth(v: bool) -> Rule {
    Rule::Literal(Value::Bool(v), Type::Bool)
}

fn eval(rule: Rule) -> Value {
    rule.evaluate(&Nothing).unwrap()
}

fn code(rule: Rule) -> &'static str {
    rule.evaluate(&Nothing).unwrap_err().sqlstate()
}

fn arithmetic(operator: Arithmetic, a: Rule, b: Rule) -> Rule {
    Rule::Arithmetic(operator, Box::new(a), Box::new(b))
}

fn compare(comparison: Comparison, a: Rule, b: Rule) -> Value {
    eval(Rule::Compare(comparison, Box::new(a), Box::new(b)))
}

#[test]
fn logic_has_three_values() {
    let unknown = || Rule::Literal(Value::Null, Type::Bool);
    assert_eq!(eval(Rule::And(vec![truth(true), unknown()])), Value::Null);
    assert_eq!(eval(Rule::And(vec![unknown(), truth(false)])), Value::Bool(false));
    assert_eq!(eval(Rule::Or(vec![unknown(), truth(true)])), Value::Bool(true));
    assert_eq!(eval(Rule::Or(vec![truth(false), unknown()])), Value::Null);
    assert_eq!(eval(Rule::Not(Box::new(unknown()))), Value::Null);
    assert!(unknown().allows(&Nothing).unwrap());
    assert!(!truth(false).allows(&Nothing).unwrap());
    assert_eq!(compare(Comparison::Equal, null(), int(1)), Value::Null);
    assert_eq!(eval(Rule::Distinct(Box::new(null()), Box::new(int(1)))), Value::Bool(true));
    assert_eq!(eval(Rule::In(Box::new(int(1)), vec![null(), int(1)])), Value::Bool(true));
    assert_eq!(eval(Rule::In(Box::new(int(1)), vec![null(), int(2)])), Value::Null);
    assert_eq!(eval(Rule::In(Box::new(int(1)), vec![int(2)])), Value::Bool(false));
}

#[test]
fn arithmetic_is_checked() {
    assert_eq!(eval(arithmetic(Arithmetic::Add, int(1), int(2))), Value::Int4(3));
    assert_eq!(code(arithmetic(Arithmetic::Add, int(i32::MAX), int(1))), "22003");
    assert_eq!(code(arithmetic(Arithmetic::Divide, int(1), int(0))), "22012");
    assert_eq!(code(arithmetic(Arithmetic::Modulo, number("1"), number("0"))), "22012");
    assert_eq!(eval(arithmetic(Arithmetic::Divide, int(-7), int(2))), Value::Int4(-3));
    assert_eq!(eval(arithmetic(Arithmetic::Modulo, int(-7), int(2))), Value::Int4(-1));
    assert_eq!(
        eval(arithmetic(Arithmetic::Multiply, number("1.5"), int(2))),
        Value::Numeric("3.0".parse().unwrap())
    );
    assert_eq!(
        eval(arithmetic(Arithmetic::Concatenate, text("a"), text("b"))),
        Value::Text("ab".into())
    );
    assert_eq!(code(Rule::Negate(Box::new(int(i32::MIN)))), "22003");
    let float = |v: f64| Rule::Literal(Value::Float8(v), Type::Float8);
    assert_eq!(code(arithmetic(Arithmetic::Multiply, float(1e308), float(10.0))), "22003");
    let date = |v: i32| Rule::Literal(Value::Date(v), Type::Date);
    assert_eq!(eval(arithmetic(Arithmetic::Subtract, date(10), date(3))), Value::Int4(7));
    assert_eq!(eval(arithmetic(Arithmetic::Add, date(10), int(3))), Value::Date(13));
}

#[test]
fn patterns() {
    let like = |t: &str, p: &str, fold: bool| {
        eval(Rule::Like(Box::new(text(t)), Box::new(text(p)), fold)) == Value::Bool(true)
    };
    for (t, p, expected) in [
        ("abc", "a%", true),
        ("abc", "_b_", true),
        ("abc", "b%", false),
        ("", "%", true),
        ("", "_", false),
        ("a%c", "a\\%c", true),
        ("abc", "a\\%c", false),
        ("mississippi", "m%iss%ip%", true),
        ("aaab", "%a%b", true),
        ("aaa", "%b", false),
        ("äb", "_b", true),
    ] {
        assert_eq!(like(t, p, false), expected, "{t} LIKE {p}");
    }
    assert!(like("ABC", "abc", true));
    assert_eq!(code(Rule::Like(Box::new(text("a")), Box::new(text("a\\")), false)), "22025");
    let matches = |p: &str| Rule::Matches(Box::new(text("Abc1")), Box::new(text(p)), false);
    assert_eq!(eval(matches("^[A-Z][a-z]+[0-9]$")), Value::Bool(true));
    assert_eq!(code(matches("(")), "2201B");
}

#[test]
fn functions() {
    let call = |f: Function, arguments: Vec<Rule>| eval(Rule::Call(f, arguments));
    assert_eq!(call(Function::Coalesce, vec![null(), int(2), int(3)]), Value::Int4(2));
    assert_eq!(call(Function::CharLength, vec![text("äb")]), Value::Int4(2));
    assert_eq!(call(Function::OctetLength, vec![text("äb")]), Value::Int4(3));
    assert_eq!(call(Function::Upper, vec![text("straße é")]), Value::Text("STRAßE É".into()));
    assert_eq!(call(Function::Trim, vec![text("  a ")]), Value::Text("a".into()));
    assert_eq!(call(Function::Greatest, vec![int(1), null(), int(3)]), Value::Int4(3));
    assert_eq!(call(Function::Least, vec![null(), null()]), Value::Null);
    assert_eq!(call(Function::NullIf, vec![int(1), int(1)]), Value::Null);
    assert_eq!(call(Function::Abs, vec![int(-1)]), Value::Int4(1));
    let rounded = call(Function::Round, vec![number("1.255"), int(2)]);
    assert_eq!(rounded, Value::Numeric("1.26".parse().unwrap()));
    assert_eq!(call(Function::Lower, vec![null()]), Value::Null);
    let case = Rule::Case(vec![(truth(false), int(1)), (truth(true), int(2))], None);
    assert_eq!(eval(case), Value::Int4(2));
    let cast = Rule::Cast(Box::new(text("12")), Type::Int4);
    assert_eq!(eval(cast), Value::Int4(12));
}

#[test]
fn a_wrong_rule_is_refused_not_a_panic() {
    let wrong = Rule::Not(Box::new(int(1))).evaluate(&Nothing);
    assert!(matches!(wrong, Err(Refusal::Malformed { .. })));
    let column = Rule::Column(ColumnNumber(1)).evaluate(&Nothing);
    assert!(matches!(column, Err(Refusal::Malformed { .. })));
}

#[test]
fn a_rule_nested_too_deep_does_not_decode() {
    let deep = |levels: u32| (1..levels).fold(truth(true), |rule, _| Rule::Not(Box::new(rule)));
    let rule = deep(codec::MAX_DEPTH);
    assert_eq!(rule.depth(), codec::MAX_DEPTH);
    assert_eq!(codec::decode::<Rule>(&codec::encode(&rule)), Ok(rule));
    assert!(codec::decode::<Rule>(&codec::encode(&deep(codec::MAX_DEPTH + 2))).is_err());
    // A megabyte of NOT overflows no stack, and the level is given back afterwards.
    assert!(codec::decode::<Rule>(&vec![2; 1 << 20]).is_err());
    assert!(codec::decode::<Rule>(&codec::encode(&deep(codec::MAX_DEPTH))).is_ok());
}
