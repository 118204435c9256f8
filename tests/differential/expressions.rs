//! Random expressions and conditions of a few kinds. They never name what isn't in sight.

use super::maker::Maker;

/// The kinds of expression that are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Int,
    Big,
    Numeric,
    Text,
    Bool,
    Date,
}

const KINDS: [Kind; 6] = [Kind::Int, Kind::Big, Kind::Numeric, Kind::Text, Kind::Bool, Kind::Date];

/// Columns of the two tables, by kind; both have the same.
pub(super) const COLUMNS: &[(&str, Kind)] = &[
    ("id", Kind::Int),
    ("i", Kind::Int),
    ("j", Kind::Int),
    ("b", Kind::Big),
    ("n", Kind::Numeric),
    ("t", Kind::Text),
    ("f", Kind::Bool),
    ("d", Kind::Date),
];

pub(super) const TABLE: &str =
    "(id int PRIMARY KEY, i int, j int, b bigint, n numeric(12,3), t text, f boolean, d date)";

impl Maker<'_> {
    pub(super) fn kind(&mut self) -> Kind {
        self.pick(&KINDS)
    }

    pub(super) fn column(&mut self, kind: Kind) -> String {
        let from = self.from[self.random.below(self.from.len())].clone();
        self.own_column(&from, kind)
    }

    pub(super) fn literal(&mut self, kind: Kind) -> String {
        if self.one_in(12) {
            let name = match kind {
                Kind::Int => "int",
                Kind::Big => "bigint",
                Kind::Numeric => "numeric(12,3)",
                Kind::Text => "text",
                Kind::Bool => "boolean",
                Kind::Date => "date",
            };
            return format!("NULL::{name}");
        }
        let of: &[&str] = match kind {
            Kind::Int => &["0", "1", "-1", "2", "7", "100", "2147483647", "(-2147483647)"],
            Kind::Big => {
                &["5::bigint", "9223372036854775807", "3000000000", "0::bigint", "(-3)::bigint"]
            }
            Kind::Numeric => &["0.5", "1.10", "-2.345", "100.001", "0.0", "99999.9"],
            Kind::Text => &["'a'", "'B'", "''", "'abc'", "'Zz'", "'10'", "'é%'", "' x '", "'a_b'"],
            Kind::Bool => &["true", "false"],
            Kind::Date => &["date '2024-02-29'", "date '1999-12-31'", "date '2030-01-01'"],
        };
        self.pick(of).to_owned()
    }

    pub(super) fn expression(&mut self, kind: Kind, depth: usize) -> String {
        if depth == 0 || self.one_in(4) {
            return if self.one_in(3) { self.literal(kind) } else { self.column(kind) };
        }
        let d = depth - 1;
        match self.random.below(9) {
            0 => {
                let (when, then, other) =
                    (self.condition(d), self.expression(kind, d), self.expression(kind, d));
                format!("CASE WHEN {when} THEN {then} ELSE {other} END")
            }
            1 => {
                format!("coalesce({}, {})", self.expression(kind, d), self.expression(kind, d))
            }
            2 => format!("nullif({}, {})", self.expression(kind, d), self.expression(kind, d)),
            3 if self.depth < 3 => self.subquery(kind),
            4 if kind != Kind::Bool => {
                let name = self.pick(&["greatest", "least"]);
                format!("{name}({}, {})", self.expression(kind, d), self.column(kind))
            }
            _ => match kind {
                Kind::Int => self.int(d),
                Kind::Big => self.big(d),
                Kind::Numeric => self.numeric(d),
                Kind::Text => self.text(d),
                Kind::Bool => format!("({})", self.condition(d)),
                Kind::Date => self.date(d),
            },
        }
    }

    /// One value of a subquery.
    fn subquery(&mut self, kind: Kind) -> String {
        let (text, name) = self.inner();
        let column = self.own_column(&name, kind);
        match self.random.below(5) {
            0 if kind == Kind::Big => format!("(SELECT count({column}) FROM {text})"),
            0 | 1 if kind != Kind::Bool => {
                let aggregate = self.pick(&["min", "max"]);
                format!("(SELECT {aggregate}({column}) FROM {text})")
            }
            2 if kind == Kind::Int => format!("(SELECT count(*)::int FROM {text})"),
            3 => format!("(SELECT {column} FROM {text} ORDER BY {name}.id DESC LIMIT 1 OFFSET 1)"),
            _ => format!("(SELECT {column} FROM {text} ORDER BY {name}.id LIMIT 1)"),
        }
    }

    fn int(&mut self, d: usize) -> String {
        let (text, date, int) = (Kind::Text, Kind::Date, Kind::Int);
        match self.random.below(13) {
            0..=2 => {
                let operator = self.pick(&["+", "-", "*", "/", "%"]);
                format!("({} {operator} {})", self.expression(int, d), self.expression(int, d))
            }
            3 => format!("length({})", self.expression(text, d)),
            4 => {
                let field = self.pick(&["day", "year", "month", "dow", "doy", "week", "quarter"]);
                format!("extract({field} FROM {})::int", self.expression(date, d))
            }
            5 => format!("({} - {})", self.expression(date, d), self.expression(date, d)),
            6 => format!("strpos({}, {})", self.expression(text, d), self.literal(text)),
            7 => format!("octet_length({})", self.expression(text, d)),
            8 => format!("ascii({})", self.expression(text, d)),
            9 => format!("abs({})", self.expression(int, d)),
            10 => format!(
                "cardinality(string_to_array({}, {}))",
                self.expression(text, d),
                self.pick(&["'a'", "'b'", "','"])
            ),
            11 => format!("jsonb_array_length(jsonb_build_array({}, 1))", self.expression(int, d)),
            _ => format!("(-{})", self.column(int)),
        }
    }

    fn big(&mut self, d: usize) -> String {
        match self.random.below(5) {
            0 => format!("abs({})", self.expression(Kind::Big, d)),
            1 => format!("{}::bigint", self.expression(Kind::Int, d)),
            2 => format!("round({})::bigint", self.expression(Kind::Numeric, d)),
            _ => {
                let operator = self.pick(&["+", "-", "*"]);
                let (left, right) = (self.expression(Kind::Big, d), self.expression(Kind::Big, d));
                format!("({left} {operator} {right})")
            }
        }
    }

    fn numeric(&mut self, d: usize) -> String {
        let kind = Kind::Numeric;
        match self.random.below(6) {
            0 => format!("round({}, {})", self.expression(kind, d), self.random.below(4)),
            1 => {
                let name = self.pick(&["abs", "ceil", "floor", "trunc", "sign"]);
                format!("{name}({})", self.expression(kind, d))
            }
            2 => format!("({} + {})", self.expression(kind, d), self.expression(Kind::Int, d)),
            _ => {
                let operator = self.pick(&["+", "-", "*"]);
                format!("({} {operator} {})", self.expression(kind, d), self.expression(kind, d))
            }
        }
    }

    fn text(&mut self, d: usize) -> String {
        let kind = Kind::Text;
        let small = 1 + self.random.below(5);
        match self.random.below(20) {
            0..=2 => format!("({} || {})", self.expression(kind, d), self.expression(kind, d)),
            3 => format!("substr({}, {small})", self.expression(kind, d)),
            4 => {
                let kind = self.pick(&[Kind::Int, Kind::Date, Kind::Bool, Kind::Big]);
                format!("{}::text", self.expression(kind, d))
            }
            5 => {
                let name = self.pick(&["upper", "lower", "initcap", "reverse", "btrim", "md5"]);
                format!("{name}({})", self.expression(kind, d))
            }
            6 => {
                let name = self.pick(&["left", "right", "repeat"]);
                format!("{name}({}, {small})", self.expression(kind, d))
            }
            7 => format!("replace({}, 'a', {})", self.expression(kind, d), self.literal(kind)),
            8 => {
                let name = self.pick(&["lpad", "rpad"]);
                format!("{name}({}, {small}, '*')", self.expression(kind, d))
            }
            9 => format!("concat({}, {})", self.expression(kind, d), self.expression(Kind::Int, d)),
            10 => format!(
                "concat_ws('-', {}, {}, 'z')",
                self.expression(kind, d),
                self.expression(kind, d)
            ),
            11 => format!("split_part({}, 'b', {small})", self.expression(kind, d)),
            12 => format!("translate({}, 'ab', 'X')", self.expression(kind, d)),
            13 => format!("regexp_replace({}, '[a-c]+', '<\\&>', 'g')", self.expression(kind, d)),
            14 => {
                let format = self.pick(&["YYYY-MM-DD", "DD Mon YY", "FMDay", "Q IW DDD"]);
                format!("to_char({}, '{format}')", self.expression(Kind::Date, d))
            }
            15 => format!("to_char({}, '999,999')", self.column(Kind::Int)),
            16 => format!("format('%s/%L', {}, {})", self.expression(kind, d), self.column(kind)),
            17 => format!(
                "jsonb_build_object('k', {}, 'l', {})::text",
                self.expression(kind, d),
                self.column(Kind::Int)
            ),
            18 => format!(
                "(jsonb_build_object('k', jsonb_build_array({}, {})) #>> '{{k,1}}')",
                self.column(Kind::Int),
                self.expression(kind, d)
            ),
            _ => format!("overlay({} PLACING 'OO' FROM {small})", self.expression(kind, d)),
        }
    }

    fn date(&mut self, d: usize) -> String {
        let value = self.expression(Kind::Date, d);
        match self.random.below(4) {
            0 => {
                let unit = self.pick(&["month", "year", "week", "quarter"]);
                format!("date_trunc('{unit}', {value})::date")
            }
            1 => {
                let span = self.pick(&["1 month", "-1 year", "40 days", "1 mon -1 day"]);
                format!("({value} + interval '{span}')::date")
            }
            2 => format!("to_date(to_char({value}, 'DDMMYYYY'), 'DDMMYYYY')"),
            _ => format!("({value} + {})", self.random.below(500)),
        }
    }

    pub(super) fn condition(&mut self, depth: usize) -> String {
        let d = depth.saturating_sub(1);
        let kind = self.kind();
        match self.random.below(if depth == 0 { 3 } else { 17 }) {
            0..=2 => {
                let operator = self.pick(&["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"]);
                format!("{} {operator} {}", self.expression(kind, d), self.expression(kind, d))
            }
            3 => format!("({}) IS {}NULL", self.expression(kind, d), self.pick(&["", "NOT "])),
            4 => format!("({} AND {})", self.condition(d), self.condition(d)),
            5 => format!("({} OR {})", self.condition(d), self.condition(d)),
            6 => format!("NOT ({})", self.condition(d)),
            7 => {
                let not = self.pick(&["", "NOT "]);
                let (one, other) = (self.literal(kind), self.literal(kind));
                format!("{} {not}IN ({one}, {other})", self.column(kind))
            }
            8 | 9 if self.depth < 3 => {
                let not = self.pick(&["", "NOT "]);
                let cut = self.pick(&["", "", " LIMIT 1", " OFFSET 1"]);
                let (text, _) = self.inner();
                format!("{not}EXISTS (SELECT 1 FROM {text}{cut})")
            }
            10 | 11 if self.depth < 3 => {
                let not = self.pick(&["", "NOT "]);
                let value = self.expression(kind, d);
                let (text, name) = self.inner();
                format!("{value} {not}IN (SELECT {} FROM {text})", self.own_column(&name, kind))
            }
            12 if self.depth < 3 => {
                let (operator, all) =
                    (self.pick(&["=", "<", ">=", "<>"]), self.pick(&["ANY", "ALL"]));
                let value = self.expression(kind, d);
                let (text, name) = self.inner();
                format!(
                    "{value} {operator} {all} (SELECT {} FROM {text})",
                    self.own_column(&name, kind)
                )
            }
            13 => {
                let how = self.pick(&["LIKE", "NOT LIKE", "ILIKE", "SIMILAR TO", "~", "!~*"]);
                let pattern = self.pick(&["a%", "%b%", "_", "a|B", "%é%", "[ab]%"]);
                format!("{} {how} '{pattern}'", self.expression(Kind::Text, d))
            }
            14 => {
                let how = self.pick(&["", " SYMMETRIC"]);
                let (low, high) = (self.literal(kind), self.literal(kind));
                format!("{} BETWEEN{how} {low} AND {high}", self.expression(kind, d))
            }
            15 => {
                let how = self.pick(&["IS TRUE", "IS NOT TRUE", "IS FALSE", "IS UNKNOWN"]);
                format!("({}) {how}", self.condition(d))
            }
            _ => {
                let operator = self.pick(&["=", "<", ">=", "<>"]);
                let (left, right) = (self.column(kind), self.column(kind));
                format!(
                    "({left}, {}) {operator} ({right}, {})",
                    self.column(Kind::Int),
                    self.literal(Kind::Int)
                )
            }
        }
    }
}
