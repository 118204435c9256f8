//! A rule as `pg_get_expr` shows it.

use ledger::rule::{Arithmetic, Comparison, Function, Volatile};
use ledger::{Catalog, Rule, Table, Type, Value, text::Utc};

use crate::functions::{quote_ident, quote_literal};
use crate::types::PgType;

/// The text of a rule; `catalog` names the sequences.
pub fn rule_text(rule: &Rule, table: Option<&Table>, catalog: &Catalog) -> String {
    Writer { table, catalog }.text(rule)
}

struct Writer<'w> {
    table: Option<&'w Table>,
    catalog: &'w Catalog,
}

impl Writer<'_> {
    #[expect(clippy::too_many_lines, reason = "one match with an arm for each kind")]
    fn text(&self, rule: &Rule) -> String {
        match rule {
            Rule::Literal(value, kind) => literal(value, kind),
            Rule::Column(number) => {
                let column = self
                    .table
                    .and_then(|table| table.columns.iter().find(|column| column.number == *number));
                column.map_or_else(
                    || format!("column{}", number.0),
                    |column| quote_ident(&column.name),
                )
            }
            Rule::Not(inner) => match inner.as_ref() {
                Rule::IsNull(a) => format!("({} IS NOT NULL)", self.text(a)),
                Rule::Distinct(a, b) => match b.as_ref() {
                    Rule::Literal(Value::Bool(b), _) => {
                        format!("({} IS {})", self.text(a), if *b { "TRUE" } else { "FALSE" })
                    }
                    _ => format!("(NOT ({} IS DISTINCT FROM {}))", self.text(a), self.text(b)),
                },
                Rule::Like(a, b, fold) => {
                    format!(
                        "({} {} {})",
                        self.text(a),
                        if *fold { "!~~*" } else { "!~~" },
                        self.text(b)
                    )
                }
                Rule::Matches(a, b, fold) => {
                    format!(
                        "({} {} {})",
                        self.text(a),
                        if *fold { "!~*" } else { "!~" },
                        self.text(b)
                    )
                }
                Rule::In(a, all) => format!("({} <> ALL ({}))", self.text(a), self.array(all)),
                other => format!("(NOT {})", self.text(other)),
            },
            Rule::And(all) => self.joined(all, " AND "),
            Rule::Or(all) => self.joined(all, " OR "),
            Rule::Compare(comparison, a, b) => {
                let op = match comparison {
                    Comparison::Equal => "=",
                    Comparison::NotEqual => "<>",
                    Comparison::Less => "<",
                    Comparison::LessOrEqual => "<=",
                    Comparison::Greater => ">",
                    Comparison::GreaterOrEqual => ">=",
                };
                format!("({} {op} {})", self.text(a), self.text(b))
            }
            Rule::Distinct(a, b) => format!("({} IS DISTINCT FROM {})", self.text(a), self.text(b)),
            Rule::Arithmetic(arithmetic, a, b) => {
                let op = match arithmetic {
                    Arithmetic::Add => "+",
                    Arithmetic::Subtract => "-",
                    Arithmetic::Multiply => "*",
                    Arithmetic::Divide => "/",
                    Arithmetic::Modulo => "%",
                    Arithmetic::Concatenate => "||",
                };
                format!("({} {op} {})", self.text(a), self.text(b))
            }
            Rule::Negate(a) => format!("(- {})", self.text(a)),
            Rule::IsNull(a) => format!("({} IS NULL)", self.text(a)),
            Rule::In(a, all) => format!("({} = ANY ({}))", self.text(a), self.array(all)),
            Rule::Like(a, b, fold) => {
                format!("({} {} {})", self.text(a), if *fold { "~~*" } else { "~~" }, self.text(b))
            }
            Rule::Matches(a, b, fold) => {
                format!("({} {} {})", self.text(a), if *fold { "~*" } else { "~" }, self.text(b))
            }
            Rule::Case(branches, otherwise) => self.case(branches, otherwise.as_deref()),
            Rule::Cast(a, kind) => format!("({})::{}", self.text(a), PgType::of(kind)),
            Rule::Call(function, args) => self.call(*function, args),
            Rule::Volatile(what) => self.volatile(*what),
        }
    }

    fn joined(&self, all: &[Rule], word: &str) -> String {
        let parts: Vec<String> = all.iter().map(|rule| self.text(rule)).collect();
        format!("({})", parts.join(word))
    }

    fn array(&self, all: &[Rule]) -> String {
        let items: Vec<String> = all.iter().map(|rule| self.text(rule)).collect();
        format!("ARRAY[{}]", items.join(", "))
    }

    fn case(&self, branches: &[(Rule, Rule)], otherwise: Option<&Rule>) -> String {
        let mut text = String::from("\nCASE\n");
        for (test, result) in branches {
            text.push_str(&format!("    WHEN {} THEN {}\n", self.text(test), self.text(result)));
        }
        let last = otherwise.map_or_else(|| "NULL::text".to_owned(), |rule| self.text(rule));
        text.push_str(&format!("    ELSE {last}\nEND"));
        text
    }

    fn call(&self, function: Function, args: &[Rule]) -> String {
        let name = match function {
            Function::Abs => "abs",
            Function::Coalesce => "COALESCE",
            Function::CharLength => "length",
            Function::OctetLength => "octet_length",
            Function::Lower => "lower",
            Function::Upper => "upper",
            Function::Trim => "btrim",
            Function::Round => "round",
            Function::NullIf => "NULLIF",
            Function::Greatest => "GREATEST",
            Function::Least => "LEAST",
            Function::Cardinality if args.len() == 2 => "array_length",
            Function::Cardinality => "cardinality",
        };
        let args: Vec<String> = args.iter().map(|rule| self.text(rule)).collect();
        format!("{name}({})", args.join(", "))
    }

    fn volatile(&self, what: Volatile) -> String {
        match what {
            Volatile::Now => "now()".to_owned(),
            Volatile::CurrentDate => "CURRENT_DATE".to_owned(),
            Volatile::LocalTimestamp => "LOCALTIMESTAMP".to_owned(),
            Volatile::ClockTimestamp => "clock_timestamp()".to_owned(),
            Volatile::RandomUuid => "gen_random_uuid()".to_owned(),
            Volatile::CurrentUser => "CURRENT_USER".to_owned(),
            Volatile::NextValue(oid) => {
                let name = self.catalog.get(oid).map_or_else(
                    || oid.0.to_string(),
                    |object| {
                        let name = quote_ident(object.name());
                        let schema = object.schema().and_then(|schema| self.catalog.get(schema));
                        match schema.map(ledger::Object::name) {
                            Some("public") | None => name,
                            Some(schema) => format!("{}.{name}", quote_ident(schema)),
                        }
                    },
                );
                format!("nextval({}::regclass)", quote_literal(&name))
            }
        }
    }
}

/// A constant: plain where its own text has the type, else quoted with it.
fn literal(value: &Value, kind: &Type) -> String {
    let shown = PgType::of(kind).without_modifier();
    match value {
        Value::Null => format!("NULL::{shown}"),
        Value::Bool(b) => b.to_string(),
        Value::Int4(i) if *i >= 0 => i.to_string(),
        Value::Numeric(d) if d.coefficient >= 0 && *kind == Type::Decimal && d.scale > 0 => {
            d.to_string()
        }
        Value::Int8(i) if *i > i64::from(i32::MAX) => format!("'{i}'::bigint"),
        value => format!("{}::{shown}", quote_literal(&value.to_text(kind, &Utc))),
    }
}
