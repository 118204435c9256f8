//! The value of an expression at a row.

use super::{Env, Run, order_of};
use crate::Error;
use crate::catalog::evaluator::cast::{in_range, out_of_range};
use crate::catalog::evaluator::tree::{Arithmetic, Call, Comparison, Expr, Test};
use crate::catalog::functions;
use crate::functions::Datum;
use crate::types::PgType;

fn truth(value: Option<bool>) -> Datum {
    value.map_or(Datum::Null, Datum::Bool)
}

fn known(value: &Datum) -> Option<bool> {
    match value {
        Datum::Bool(b) => Some(*b),
        _ => None,
    }
}

/// A comparison; `None` is NULL.
fn compare(how: Comparison, a: &Datum, b: &Datum) -> Option<bool> {
    if a.is_null() || b.is_null() {
        return None;
    }
    let order = order_of(a, b);
    Some(match how {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}

/// LIKE, character by character.
fn like(value: &str, pattern: &str, escape: Option<char>, fold: bool) -> Result<bool, Error> {
    let mut regex = String::from("(?s)^");
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        if Some(c) == escape {
            let next = characters.next().ok_or_else(|| {
                Error::new("22025", "LIKE pattern must not end with escape character")
            })?;
            regex.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
            continue;
        }
        match c {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    Ok(functions::regex(&regex, fold)?.is_match(value))
}

impl Run<'_> {
    pub(crate) fn values(&self, exprs: &[Expr], env: &Env<'_>) -> Result<Vec<Datum>, Error> {
        exprs.iter().map(|expr| self.value(expr, env)).collect()
    }

    /// A call; NULL for a NULL argument of a strict function.
    pub(crate) fn call(&self, call: &Call, env: &Env<'_>) -> Result<Datum, Error> {
        let arguments = self.values(&call.arguments, env)?;
        let builtin = call.builtin.0;
        if builtin.strict && arguments.iter().any(Datum::is_null) {
            return Ok(Datum::Null);
        }
        (builtin.body)(&functions::Call { facts: self.facts, kinds: &call.kinds }, &arguments)
    }

    fn column(env: &Env<'_>, depth: usize, index: usize) -> Result<Datum, Error> {
        let missing = || Error::internal("a column was bound to no row");
        let mut env = env;
        for _ in 0..depth {
            env = env.outer.ok_or_else(missing)?;
        }
        loop {
            let found = index.checked_sub(env.base).and_then(|place| env.row.get(place));
            match (found, env.beside) {
                (Some(value), _) => return Ok(value.clone()),
                (None, Some(beside)) => env = beside,
                (None, None) => return Err(missing()),
            }
        }
    }

    pub(crate) fn value(&self, expr: &Expr, env: &Env<'_>) -> Result<Datum, Error> {
        Ok(match expr {
            Expr::Literal(value) => value.clone(),
            Expr::Parameter(place) => self.parameters.get(*place).cloned().unwrap_or(Datum::Null),
            Expr::Column { depth, index } => Self::column(env, *depth, *index)?,
            Expr::Call(call) => self.call(call, env)?,
            Expr::Set(place) => env
                .sets
                .get(*place)
                .and_then(|rows| rows.get(env.place))
                .cloned()
                .unwrap_or(Datum::Null),
            Expr::Aggregate(place) => env.aggregates.get(*place).cloned().unwrap_or(Datum::Null),
            Expr::Window(place) => env.windows.get(*place).cloned().unwrap_or(Datum::Null),
            Expr::Not(inner) => truth(known(&self.value(inner, env)?).map(|b| !b)),
            Expr::And(all) => self.junction(all, env, false)?,
            Expr::Or(all) => self.junction(all, env, true)?,
            Expr::IsNull(inner) => Datum::Bool(match self.value(inner, env)? {
                Datum::Record(fields) => fields.iter().all(Datum::is_null),
                value => value.is_null(),
            }),
            Expr::Distinct(a, b) => {
                let (a, b) = (self.value(a, env)?, self.value(b, env)?);
                Datum::Bool(order_of(&a, &b).is_ne())
            }
            Expr::Compare(how, a, b) => {
                truth(compare(*how, &self.value(a, env)?, &self.value(b, env)?))
            }
            Expr::Like { value, pattern, escape, fold } => {
                match (self.value(value, env)?, self.value(pattern, env)?) {
                    (Datum::Text(value), Datum::Text(pattern)) => {
                        Datum::Bool(like(&value, &pattern, *escape, *fold)?)
                    }
                    _ => Datum::Null,
                }
            }
            Expr::Matches { value, pattern, fold } => {
                match (self.value(value, env)?, self.value(pattern, env)?) {
                    (Datum::Text(value), Datum::Text(pattern)) => {
                        Datum::Bool(functions::regex(&pattern, *fold)?.is_match(&value))
                    }
                    _ => Datum::Null,
                }
            }
            Expr::In(value, list) => {
                let value = self.value(value, env)?;
                let list = self.values(list, env)?;
                self.quantify(Test::Compare(Comparison::Equal), false, &value, &list)?
            }
            Expr::Quantified { test, all, value, array } => {
                let value = self.value(value, env)?;
                match self.value(array, env)? {
                    Datum::Array(items) => self.quantify(*test, *all, &value, &items)?,
                    _ => Datum::Null,
                }
            }
            other => self.compound(other, env)?,
        })
    }

    fn compound(&self, expr: &Expr, env: &Env<'_>) -> Result<Datum, Error> {
        let first = |row: &Vec<Datum>| row.first().cloned().unwrap_or(Datum::Null);
        Ok(match expr {
            Expr::QuantifiedQuery { test, all, value, query } => {
                let value = self.value(value, env)?;
                let rows = self.nested(query, env)?;
                let items: Vec<Datum> = match value {
                    Datum::Record(_) => rows.iter().map(|row| Datum::Record(row.clone())).collect(),
                    _ => rows.iter().map(first).collect(),
                };
                self.quantify(*test, *all, &value, &items)?
            }
            Expr::Exists(query) => Datum::Bool(!self.nested(query, env)?.is_empty()),
            Expr::Scalar(query) => {
                let rows = self.nested(query, env)?;
                if rows.len() > 1 {
                    let message = "more than one row returned by a subquery used as an expression";
                    return Err(Error::new("21000", message));
                }
                rows.first().map_or(Datum::Null, first)
            }
            Expr::ArrayOf(query) => {
                Datum::Array(self.nested(query, env)?.iter().map(first).collect())
            }
            Expr::Case { arms, otherwise } => {
                for (condition, result) in arms {
                    if self.value(condition, env)? == Datum::Bool(true) {
                        return self.value(result, env);
                    }
                }
                match otherwise {
                    Some(otherwise) => self.value(otherwise, env)?,
                    None => Datum::Null,
                }
            }
            Expr::Coalesce(all) => {
                for expr in all {
                    let value = self.value(expr, env)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Datum::Null
            }
            Expr::NullIf(a, b) => {
                let (a, b) = (self.value(a, env)?, self.value(b, env)?);
                if compare(Comparison::Equal, &a, &b) == Some(true) { Datum::Null } else { a }
            }
            Expr::Extreme(all, greatest) => {
                let values = self.values(all, env)?.into_iter().filter(|value| !value.is_null());
                let best =
                    values.reduce(|a, b| if order_of(&a, &b).is_gt() == *greatest { a } else { b });
                best.unwrap_or(Datum::Null)
            }
            other => self.made(other, env)?,
        })
    }

    /// Arrays, rows, their parts, and casts.
    fn made(&self, expr: &Expr, env: &Env<'_>) -> Result<Datum, Error> {
        Ok(match expr {
            Expr::Array(items) => Datum::Array(self.values(items, env)?),
            Expr::Record(fields) => Datum::Record(self.values(fields, env)?),
            Expr::Field(inner, place) => match self.value(inner, env)? {
                Datum::Record(fields) => fields.into_iter().nth(*place).unwrap_or(Datum::Null),
                _ => Datum::Null,
            },
            Expr::Item(array, lower, index) => {
                match (self.value(array, env)?, self.value(index, env)?) {
                    (Datum::Array(items), Datum::Int(index)) => index
                        .checked_sub(*lower)
                        .and_then(|place| usize::try_from(place).ok())
                        .and_then(|place| items.into_iter().nth(place))
                        .unwrap_or(Datum::Null),
                    _ => Datum::Null,
                }
            }
            Expr::Cast(inner, from, to) => crate::catalog::evaluator::cast(
                self.facts,
                self.value(inner, env)?,
                from,
                to,
                true,
            )?,
            other => self.arithmetic(other, env)?,
        })
    }

    fn arithmetic(&self, expr: &Expr, env: &Env<'_>) -> Result<Datum, Error> {
        Ok(match expr {
            Expr::Arithmetic(how, a, b, kind) => match (self.value(a, env)?, self.value(b, env)?) {
                (Datum::Null, _) | (_, Datum::Null) => Datum::Null,
                (Datum::Int(a), Datum::Int(b)) => Datum::Int(whole(*how, a, b, kind)?),
                (a, b) => Datum::Float(float(*how, a.float(), b.float())?),
            },
            Expr::Negate(inner, kind) => match self.value(inner, env)? {
                Datum::Int(i) => {
                    Datum::Int(in_range(i.checked_neg().ok_or_else(|| out_of_range(kind))?, kind)?)
                }
                Datum::Float(f) => Datum::Float(-f),
                _ => Datum::Null,
            },
            Expr::Concatenate(a, b) => match (self.value(a, env)?, self.value(b, env)?) {
                (Datum::Text(a), Datum::Text(b)) => Datum::Text(a + &b),
                (Datum::Array(mut a), Datum::Array(b)) => {
                    a.extend(b);
                    Datum::Array(a)
                }
                (Datum::Array(a), Datum::Null) | (Datum::Null, Datum::Array(a)) => Datum::Array(a),
                _ => Datum::Null,
            },
            Expr::Append(array, item) => {
                let mut items = match self.value(array, env)? {
                    Datum::Array(items) => items,
                    _ => Vec::new(),
                };
                items.push(self.value(item, env)?);
                Datum::Array(items)
            }
            Expr::Prepend(item, array) => {
                let mut items = vec![self.value(item, env)?];
                if let Datum::Array(rest) = self.value(array, env)? {
                    items.extend(rest);
                }
                Datum::Array(items)
            }
            _ => return Err(Error::internal("an expression that nothing evaluates")),
        })
    }

    /// AND (`decisive` is false) or OR (true), in three values.
    fn junction(&self, all: &[Expr], env: &Env<'_>, decisive: bool) -> Result<Datum, Error> {
        let mut unknown = false;
        for expr in all {
            match known(&self.value(expr, env)?) {
                Some(value) if value == decisive => return Ok(Datum::Bool(decisive)),
                Some(_) => {}
                None => unknown = true,
            }
        }
        Ok(if unknown { Datum::Null } else { Datum::Bool(!decisive) })
    }

    fn quantify(
        &self,
        test: Test,
        all: bool,
        value: &Datum,
        items: &[Datum],
    ) -> Result<Datum, Error> {
        let mut unknown = false;
        for item in items {
            let holds = match (test, value, item) {
                (Test::Compare(how), a, b) => compare(how, a, b),
                (Test::Like { fold, negated }, Datum::Text(a), Datum::Text(b)) => {
                    Some(like(a, b, Some('\\'), fold)? != negated)
                }
                (Test::Matches { fold, negated }, Datum::Text(a), Datum::Text(b)) => {
                    Some(functions::regex(b, fold)?.is_match(a) != negated)
                }
                _ => None,
            };
            match holds {
                Some(holds) if holds != all => return Ok(Datum::Bool(!all)),
                Some(_) => {}
                None => unknown = true,
            }
        }
        Ok(if unknown { Datum::Null } else { Datum::Bool(all) })
    }
}

fn whole(how: Arithmetic, a: i64, b: i64, kind: &PgType) -> Result<i64, Error> {
    let by_zero = || Error::new("22012", "division by zero");
    let result = match how {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide if b == 0 => return Err(by_zero()),
        Arithmetic::Modulo if b == 0 => return Err(by_zero()),
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Modulo => Some(a.checked_rem(b).unwrap_or(0)),
        Arithmetic::And => Some(a & b),
        Arithmetic::Or => Some(a | b),
    };
    in_range(result.ok_or_else(|| out_of_range(kind))?, kind)
}

fn float(how: Arithmetic, a: f64, b: f64) -> Result<f64, Error> {
    Ok(match how {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide if b == 0.0 => return Err(Error::new("22012", "division by zero")),
        Arithmetic::Divide => a / b,
        _ => return Err(Error::internal("an operator that floats don't have")),
    })
}
