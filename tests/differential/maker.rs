//! Makes random statements over tables `a` and `b`. Each has one meaning only: what depends on the order of rows says
//! that order. It knows no server.

use std::fmt::Write as _;

use super::expressions::{COLUMNS, Kind};
use crate::random::Random;

/// Makes statements. `from` holds the names that columns can be taken from.
pub(super) struct Maker<'a> {
    pub(super) random: &'a mut Random,
    pub(super) from: Vec<String>,
    /// Names given to relations so far.
    pub(super) names: usize,
    /// How many queries are around the one that is made.
    pub(super) depth: usize,
}

/// A query's FROM with its WHERE, and the names that it brings.
struct Source {
    text: String,
    names: Vec<String>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(random: &'a mut Random) -> Self {
        Self { random, from: Vec::new(), names: 0, depth: 0 }
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.below(of.len())]
    }

    pub(super) fn one_in(&mut self, bound: usize) -> bool {
        self.random.below(bound) == 0
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("q{}", self.names)
    }

    /// Runs with other names of relations in sight beside those that are.
    fn beside<T>(&mut self, names: Vec<String>, run: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.from.clone();
        // The inner names come twice as often: a subquery is mostly about its own rows.
        self.from.extend(names.clone());
        self.from.extend(names);
        self.depth += 1;
        let made = run(self);
        self.depth -= 1;
        self.from = before;
        made
    }

    /// A relation of the tables' columns under a fresh name.
    fn relation(&mut self) -> (String, String) {
        let name = self.fresh();
        let table = self.pick(&["a", "b"]);
        let text = match self.random.below(6) {
            0 if self.depth < 2 => {
                let inner = self.fresh();
                let filter = self.alone(vec![inner.clone()], |m| m.condition(1));
                format!("(SELECT {inner}.* FROM {table} {inner} WHERE {filter}) {name}")
            }
            1 => {
                let n = 1 + self.random.below(20);
                format!("(SELECT * FROM {table} ORDER BY id DESC LIMIT {n}) {name}")
            }
            _ => format!("{table} {name}"),
        };
        (text, name)
    }

    /// Runs with these names alone in sight.
    fn alone<T>(&mut self, names: Vec<String>, run: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.from, names);
        self.depth += 1;
        let made = run(self);
        self.depth -= 1;
        self.from = before;
        made
    }

    /// FROM and WHERE of a query.
    fn source(&mut self) -> Source {
        let (mut text, first) = self.relation();
        let mut names = vec![first];
        let joins = self.pick(&[0, 0, 1, 1, 2]);
        for _ in 0..joins {
            let (right, name) = self.relation();
            let left = names[self.random.below(names.len())].clone();
            match self.random.below(8) {
                0 => {
                    // The rows of another table that belong to each row.
                    let inner = self.fresh();
                    let outer = vec![left.clone()];
                    let filter =
                        self.alone(outer, |m| m.beside(vec![inner.clone()], |m| m.condition(1)));
                    let cut = self.pick(&["", " LIMIT 1", " LIMIT 2", " OFFSET 1"]);
                    let how = self.pick(&["CROSS JOIN", "LEFT JOIN"]);
                    let on = if how == "LEFT JOIN" { " ON true" } else { "" };
                    write!(
                        text,
                        " {how} LATERAL (SELECT {inner}.* FROM b {inner} WHERE {filter} ORDER BY {inner}.id{cut}) {name}{on}"
                    )
                    .unwrap();
                }
                1 => write!(
                    text,
                    " CROSS JOIN (SELECT * FROM {} WHERE id < 4) {name}",
                    self.pick(&["a", "b"])
                )
                .unwrap(),
                2 => {
                    let using = self.pick(&["id", "i", "t", "d"]);
                    if joins > 1 {
                        write!(text, " JOIN {right} ON {left}.{using} = {name}.{using}").unwrap();
                    } else {
                        let how = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
                        write!(text, " {how} {right} USING ({using})").unwrap();
                    }
                }
                _ => {
                    let how = self.pick(&[
                        "JOIN",
                        "LEFT JOIN",
                        "RIGHT JOIN",
                        "FULL JOIN",
                        "JOIN",
                        "LEFT JOIN",
                    ]);
                    let (l, r) = self.pick(&[
                        ("id", "id"),
                        ("i", "j"),
                        ("t", "t"),
                        ("id", "i"),
                        ("d", "d"),
                        ("n", "n"),
                    ]);
                    let mut on = format!("{left}.{l} = {name}.{r}");
                    if how != "FULL JOIN" && self.one_in(3) {
                        let pair = vec![left.clone(), name.clone()];
                        let more = self.alone(pair, |m| m.condition(1));
                        write!(on, " AND {more}").unwrap();
                    }
                    write!(text, " {how} {right} ON {on}").unwrap();
                }
            }
            names.push(name);
        }
        Source { text, names }
    }

    /// A subquery's FROM and WHERE, which may name what is around it; with the name of its relation.
    pub(super) fn inner(&mut self) -> (String, String) {
        let name = self.fresh();
        let table = self.pick(&["a", "b"]);
        let outer = self.from.clone();
        let filter = self.beside(vec![name.clone()], |m| {
            let mut filter = m.condition(1);
            if !outer.is_empty() && m.one_in(2) {
                let kind = m.kind();
                let own = m.own_column(&name, kind);
                let around = outer[m.random.below(outer.len())].clone();
                let other = m.own_column(&around, kind);
                let operator = m.pick(&["=", "=", "=", "<", "IS NOT DISTINCT FROM"]);
                filter = format!("{own} {operator} {other} AND {filter}");
            }
            filter
        });
        (format!("{table} {name} WHERE {filter}"), name)
    }

    pub(super) fn own_column(&mut self, name: &str, kind: Kind) -> String {
        let fitting: Vec<_> = COLUMNS.iter().filter(|(_, k)| *k == kind).collect();
        format!("{name}.{}", fitting[self.random.below(fitting.len())].0)
    }

    /// A whole query.
    pub(super) fn query(&mut self) -> String {
        match self.random.below(12) {
            0 | 1 => self.grouped(),
            2 => self.windowed(),
            3 => self.combined(),
            4 => self.with(),
            5 => self.distinct_on(),
            6 => self.gathered(),
            _ => {
                let kinds = self.kinds();
                self.plain(&kinds)
            }
        }
    }

    fn kinds(&mut self) -> Vec<Kind> {
        (0..=self.random.below(4)).map(|_| self.kind()).collect()
    }

    /// A SELECT of columns of these kinds.
    fn plain(&mut self, kinds: &[Kind]) -> String {
        let source = self.source();
        let distinct = self.pick(&["", "", "", "DISTINCT "]);
        let names = source.names.clone();
        self.alone(names, |m| {
            let mut columns = String::new();
            for (at, kind) in kinds.iter().enumerate() {
                let between = if at == 0 { "" } else { ", " };
                write!(columns, "{between}{} AS c{at}", m.expression(*kind, 3)).unwrap();
            }
            let filter = m.filter();
            format!("SELECT {distinct}{columns} FROM {}{filter}", source.text)
        })
    }

    fn filter(&mut self) -> String {
        if self.one_in(3) { String::new() } else { format!(" WHERE {}", self.condition(2)) }
    }

    fn grouped(&mut self) -> String {
        let source = self.source();
        let names = source.names.clone();
        self.alone(names, |m| {
            let filter = m.filter();
            let measure = m.pick(&[Kind::Int, Kind::Big, Kind::Numeric]);
            let (value, text, condition) =
                (m.expression(measure, 1), m.column(Kind::Text), m.condition(1));
            let totals = format!(
                "count(*), count({value}), sum({value}), min({value}), max({text}), count(DISTINCT {text}), \
                 count(*) FILTER (WHERE {condition}), bool_or({condition})"
            );
            let (first, second) = (m.kind(), m.kind());
            let (g, h) = (m.column(first), m.column(second));
            let having = if m.one_in(2) {
                format!(" HAVING count(*) > {}", m.random.below(3))
            } else {
                String::new()
            };
            match m.random.below(4) {
                0 => {
                    let sets = m.pick(&["ROLLUP (G, H)", "CUBE (G, H)", "GROUPING SETS ((G), (H), ())", "GROUPING SETS ((G, H), (G))"]);
                    let sets = sets.replace('G', "\u{1}").replace('H', "\u{2}");
                    let sets = sets.replace("\u{1}ROUPIN\u{1}", "GROUPING").replace('\u{1}', &g).replace('\u{2}', &h);
                    if g == h {
                        return format!("SELECT {g} AS g, {totals} FROM {}{filter} GROUP BY {g}{having}", source.text);
                    }
                    format!(
                        "SELECT {g} AS g, {h} AS h, grouping({g}, {h}), {totals} FROM {}{filter} GROUP BY {sets}{having}",
                        source.text
                    )
                }
                1 => format!("SELECT {totals} FROM {}{filter}{having}", source.text),
                _ => {
                    let group = m.expression(first, 1);
                    format!("SELECT {group} AS g, {totals} FROM {}{filter} GROUP BY 1{having}", source.text)
                }
            }
        })
    }

    /// Aggregates that show an order, made total by the keys.
    fn gathered(&mut self) -> String {
        let source = self.source();
        let names = source.names.clone();
        self.alone(names.clone(), |m| {
            let keys: Vec<_> = names.iter().map(|name| format!("{name}.id")).collect();
            let (text, kind) = (m.expression(Kind::Text, 1), m.kind());
            let (value, group, order) = (m.column(kind), m.column(Kind::Bool), m.column(Kind::Int));
            let keys = keys.join(", ");
            let filter = m.filter();
            format!(
                "SELECT {group} AS g, string_agg({text}, '-' ORDER BY {order}, {keys}), array_agg({value} ORDER BY {keys}), \
                 jsonb_agg({value} ORDER BY {keys}) FROM {}{filter} GROUP BY {group}",
                source.text
            )
        })
    }

    fn windowed(&mut self) -> String {
        let source = self.source();
        let names = source.names.clone();
        self.alone(names.clone(), |m| {
            let keys: Vec<_> = names.iter().map(|name| format!("{name}.id")).collect();
            let keys = keys.join(", ");
            let (by, along) = (m.kind(), m.kind());
            let (part, order) = (m.expression(by, 1), m.expression(along, 1));
            let direction = m.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
            let kind = m.kind();
            let (value, number) = (m.expression(kind, 1), m.expression(Kind::Int, 1));
            let exact = format!("PARTITION BY {part} ORDER BY {order}{direction}, {keys}");
            let loose = format!("PARTITION BY {part} ORDER BY {order}{direction}");
            let frame = m.pick(&[
                "",
                " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
                " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
                " ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING",
                " GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
            ]);
            let filter = m.filter();
            format!(
                "SELECT {keys}, row_number() OVER ({exact}), rank() OVER ({loose}), dense_rank() OVER ({loose}), \
                 count(*) OVER ({loose}), sum({number}) OVER ({loose}), lag({value}) OVER ({exact}), lead({value}, 2) OVER ({exact}), \
                 first_value({value}) OVER ({exact}{frame}), last_value({value}) OVER ({exact}{frame}), \
                 sum({number}) OVER ({exact}{frame}), max({number}) OVER ({exact}{frame}), ntile(3) OVER ({exact}) FROM {}{filter}",
                source.text
            )
        })
    }

    fn combined(&mut self) -> String {
        let kinds = self.kinds();
        let mut sql = self.plain(&kinds);
        for _ in 0..=self.random.below(2) {
            let how = self.pick(&[
                "UNION",
                "UNION ALL",
                "INTERSECT",
                "INTERSECT ALL",
                "EXCEPT",
                "EXCEPT ALL",
            ]);
            let other = self.plain(&kinds);
            sql = format!("({sql}) {how} ({other})");
        }
        sql
    }

    fn with(&mut self) -> String {
        let name = self.fresh();
        let kind = self.kind();
        if self.one_in(3) {
            let all = self.pick(&["", " ALL"]);
            let step = 1 + self.random.below(3);
            let start = self.alone(vec!["a".to_owned()], |m| m.expression(kind, 1));
            return format!(
                "WITH RECURSIVE {name}(n, v, w) AS (SELECT a.id, {start}, {start} FROM a WHERE a.id < 5 UNION{all} \
                 SELECT {name}.n + {step}, {name}.v, b.{column} FROM {name} JOIN b ON b.id = {name}.n + {step} WHERE {name}.n < 20) \
                 SELECT count(*), min(n), max(n), sum(n), count(v), count(w) FROM {name}",
                column = COLUMNS.iter().find(|(_, k)| *k == kind).unwrap().0,
            );
        }
        let (text, inner) = self.inner();
        let filter = self.alone(vec![name.clone()], |m| m.condition(2));
        let column = self.alone(vec![name.clone()], |m| m.expression(kind, 2));
        let twice = if self.one_in(2) {
            format!(" WHERE {name}.id IN (SELECT x.i FROM {name} x) OR {filter}")
        } else {
            format!(" WHERE {filter}")
        };
        format!(
            "WITH {name} AS (SELECT {inner}.* FROM {text}) SELECT {column} AS c FROM {name}{twice}"
        )
    }

    fn distinct_on(&mut self) -> String {
        let source = self.source();
        let names = source.names.clone();
        self.alone(names.clone(), |m| {
            let keys: Vec<_> = names.iter().map(|name| format!("{name}.id")).collect();
            let (kind, shown) = (m.kind(), m.kind());
            let (on, value) = (m.expression(kind, 1), m.expression(shown, 2));
            let direction = m.pick(&["", " DESC"]);
            let filter = m.filter();
            let keys = keys.join(", ");
            format!(
                "SELECT DISTINCT ON ({on}) {keys}, {value} FROM {}{filter} ORDER BY {on}{direction}, {keys}",
                source.text
            )
        })
    }

    /// A statement that changes `a`, whatever the order in which rows are met.
    pub(super) fn change(&mut self) -> String {
        let kind = self.pick(&[Kind::Int, Kind::Big, Kind::Numeric, Kind::Text, Kind::Date]);
        let columns: Vec<_> = COLUMNS
            .iter()
            .filter(|(name, k)| *k == kind && *name != "id")
            .map(|(name, _)| *name)
            .collect();
        let column = self.pick(&columns);
        let own = vec!["a".to_owned()];
        let both = vec!["a".to_owned(), "b".to_owned()];
        let (seventh, offset) = (self.random.below(7), self.random.below(60));
        match self.random.below(10) {
            0 => {
                let filter = self.alone(own, |m| m.condition(2));
                format!("DELETE FROM a WHERE {filter} AND a.id % 7 = {seventh}")
            }
            1 => {
                let filter = self.alone(both, |m| m.condition(2));
                format!(
                    "DELETE FROM a USING b WHERE a.id = b.id AND {filter} AND a.id % 7 = {seventh}"
                )
            }
            2 => format!(
                "INSERT INTO a SELECT b.id + {offset}, b.i, b.j, b.b, b.n, b.t, b.f, b.d FROM b WHERE b.id < 6 ON CONFLICT DO NOTHING"
            ),
            3 => {
                let value = self
                    .alone(vec!["a".to_owned(), "excluded".to_owned()], |m| m.expression(kind, 1));
                format!(
                    "INSERT INTO a SELECT b.id + {offset}, b.i, b.j, b.b, b.n, b.t, b.f, b.d FROM b WHERE b.id < 9 \
                     ON CONFLICT (id) DO UPDATE SET {column} = {value} WHERE a.id <> 3"
                )
            }
            4 => {
                let value = self.alone(both.clone(), |m| m.expression(kind, 1));
                let filter = self.alone(both, |m| m.condition(1));
                format!(
                    "MERGE INTO a USING b ON a.id = b.id + {offset} WHEN MATCHED AND {filter} THEN DELETE \
                     WHEN MATCHED AND a.id % 7 = {seventh} THEN DO NOTHING WHEN MATCHED THEN UPDATE SET {column} = {value} \
                     WHEN NOT MATCHED AND b.id % 7 = {seventh} THEN INSERT (id, t, n) VALUES (b.id + {offset}, b.t, b.n) \
                     WHEN NOT MATCHED THEN DO NOTHING"
                )
            }
            5 => {
                let value = self.alone(both.clone(), |m| m.expression(kind, 2));
                let filter = self.alone(both, |m| m.condition(1));
                format!("UPDATE a SET {column} = {value} FROM b WHERE a.id = b.id AND {filter}")
            }
            6 => {
                let (text, inner) = self.alone(own, Self::inner);
                format!(
                    "UPDATE a SET (i, t) = (SELECT {inner}.j, {inner}.t FROM {text} ORDER BY {inner}.id LIMIT 1) WHERE a.id % 7 = {seventh}"
                )
            }
            7 => format!("INSERT INTO a (id, t) VALUES ({offset}, 'new')"),
            _ => {
                let value = self.alone(own.clone(), |m| m.expression(kind, 2));
                let filter = self.alone(own, |m| m.condition(2));
                format!("UPDATE a SET {column} = {value} WHERE {filter}")
            }
        }
    }
}
