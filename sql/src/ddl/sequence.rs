//! CREATE and ALTER SEQUENCE.

use ledger::catalog::Sequence;
use ledger::{Catalog, Object, Oid, Type};
use storage::{LockMode, LockTarget};

use super::types::type_of;
use crate::Error;
use crate::error::Report;
use crate::names::shown;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::statement::SequenceOptions;

impl Session {
    pub(super) fn create_sequence(
        &mut self,
        name: &[String],
        if_not_exists: bool,
        options: &SequenceOptions,
    ) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        let (schema, relation) = self.place_for(&catalog, name)?;
        if catalog.find_relation(schema, &relation).is_some() {
            if if_not_exists {
                self.notices.push(Report {
                    sqlstate: "42P07".to_string(),
                    ..Report::notice(format!("relation \"{relation}\" already exists, skipping"))
                });
                return Ok(Outcome::done("CREATE SEQUENCE"));
            }
            return Err(Error::Exists { kind: "relation", name: relation });
        }
        let kind = match &options.kind {
            Some(kind) => sequence_type(type_of(kind)?)?,
            None => Type::Int8,
        };
        let mut sequence = definition(options, kind, schema, &relation, self.user.0)?;
        sequence.owned_by = self.owner_column(&catalog, options, schema)?;
        let oid = self.oids_for(&catalog, schema).next();
        self.define(oid, Object::Sequence(sequence.clone()))?;
        self.shared.own_sequence(oid, sequence);
        Ok(Outcome::done("CREATE SEQUENCE"))
    }

    pub(super) async fn alter_sequence(
        &mut self,
        name: &[String],
        if_exists: bool,
        options: &SequenceOptions,
    ) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        let oid = match self.find_sequence(&catalog, name) {
            Ok(oid) => oid,
            Err(Error::UndefinedTable { .. }) if if_exists => {
                self.notices.push(Report::notice(format!(
                    "relation \"{}\" does not exist, skipping",
                    shown(name)
                )));
                return Ok(Outcome::done("ALTER SEQUENCE"));
            }
            Err(error) => return Err(error),
        };
        self.need_owner(&catalog, oid)?;
        let old = self.settled_sequence(oid).await?;
        let mut new = altered(&old, options)?;
        if let Some(owner) = &options.owned_by {
            new.owned_by = match owner {
                None => None,
                Some(_) => self.owner_column(&catalog, options, old.schema)?,
            };
        }
        self.define(oid, Object::Sequence(new.clone()))?;
        self.shared.own_sequence(oid, new);
        Ok(Outcome::done("ALTER SEQUENCE"))
    }

    /// A sequence that nobody takes values from until the transaction's end.
    pub(super) async fn settled_sequence(&mut self, oid: Oid) -> Result<Sequence, Error> {
        self.acquire(LockTarget::Table(oid), LockMode::Update).await?;
        if let Some(own) = self.shared.own_sequences().remove(&oid) {
            return Ok(own);
        }
        // Leases don't wait for the catalog's lock, so that the newest state counts.
        let newest = self.engine.state.snapshot();
        let own = self.transaction_mut().overlay.catalog().cloned();
        let mut sequence = own
            .as_ref()
            .unwrap_or_else(|| newest.catalog())
            .sequence(oid)
            .cloned()
            .ok_or_else(|| Error::internal("a sequence that isn't there"))?;
        if let Some(current) = newest.catalog().sequence(oid) {
            sequence.next = current.next;
            sequence.epoch = current.epoch;
        }
        Ok(sequence)
    }

    fn owner_column(
        &self,
        catalog: &Catalog,
        options: &SequenceOptions,
        schema: Oid,
    ) -> Result<Option<(Oid, ledger::ColumnNumber)>, Error> {
        let Some(Some(owner)) = &options.owned_by else { return Ok(None) };
        let Some((column, table)) = owner.split_last().filter(|(_, table)| !table.is_empty())
        else {
            return Err(Error::new("42601", "invalid OWNED BY option")
                .with_hint("Specify OWNED BY table.column or OWNED BY NONE."));
        };
        let oid = self.find_table(catalog, table)?;
        let definition = super::super::dml::table_of(catalog, oid)?;
        if definition.schema != schema {
            return Err(Error::new(
                "55000",
                "sequence must be in same schema as table it is linked to",
            ));
        }
        let column = definition
            .find_column(column)
            .ok_or_else(|| super::table::no_column(column, &definition.name))?;
        Ok(Some((oid, column.number)))
    }
}

fn sequence_type(kind: Type) -> Result<Type, Error> {
    match kind {
        Type::Int2 | Type::Int4 | Type::Int8 => Ok(kind),
        _ => Err(Error::new("22023", "sequence type must be smallint, integer, or bigint")),
    }
}

fn bounds(kind: &Type, ascending: bool) -> (i64, i64) {
    let (least, greatest) = match kind {
        Type::Int2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        Type::Int4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    if ascending { (1, greatest) } else { (least, -1) }
}

/// A sequence of these options.
///
/// # Errors
/// 22023 when they contradict each other.
pub(super) fn definition(
    options: &SequenceOptions,
    kind: Type,
    schema: Oid,
    name: &str,
    owner: Oid,
) -> Result<Sequence, Error> {
    let increment = options.increment.unwrap_or(1);
    let (least, greatest) = bounds(&kind, increment > 0);
    let min = options.min.flatten().unwrap_or(least);
    let max = options.max.flatten().unwrap_or(greatest);
    let start = options.start.unwrap_or(if increment > 0 { min } else { max });
    let sequence = Sequence {
        schema,
        name: name.to_string(),
        owner,
        kind,
        start,
        increment,
        min,
        max,
        cycle: options.cycle.unwrap_or(false),
        cache: options.cache.unwrap_or(1),
        owned_by: None,
        next: Some(start),
        epoch: 0,
    };
    check(&sequence)?;
    Ok(sequence)
}

fn altered(old: &Sequence, options: &SequenceOptions) -> Result<Sequence, Error> {
    let mut new = old.clone();
    if let Some(kind) = &options.kind {
        new.kind = sequence_type(type_of(kind)?)?;
    }
    new.increment = options.increment.unwrap_or(old.increment);
    let (least, greatest) = bounds(&new.kind, new.increment > 0);
    let (old_least, old_greatest) = bounds(&old.kind, old.increment > 0);
    new.min = match options.min {
        Some(min) => min.unwrap_or(least),
        None if old.min == old_least && options.kind.is_some() => least,
        None => old.min,
    };
    new.max = match options.max {
        Some(max) => max.unwrap_or(greatest),
        None if old.max == old_greatest && options.kind.is_some() => greatest,
        None => old.max,
    };
    new.start = options.start.unwrap_or(old.start);
    new.cache = options.cache.unwrap_or(old.cache);
    new.cycle = options.cycle.unwrap_or(old.cycle);
    if let Some(restart) = options.restart {
        new.next = Some(restart.unwrap_or(new.start));
    }
    if new.next.is_some_and(|next| !(new.min..=new.max).contains(&next)) {
        let next = new.next.unwrap_or_default();
        let (word, way, bound) = if next < new.min {
            ("less", "MINVALUE", new.min)
        } else {
            ("greater", "MAXVALUE", new.max)
        };
        return Err(Error::new(
            "22023",
            format!("RESTART value ({next}) cannot be {word} than {way} ({bound})"),
        ));
    }
    new.epoch = old.epoch.wrapping_add(1);
    check(&new)?;
    Ok(new)
}

fn check(sequence: &Sequence) -> Result<(), Error> {
    let invalid = |message: String| Err(Error::new("22023", message));
    if sequence.increment == 0 {
        return invalid("INCREMENT must not be zero".to_string());
    }
    if sequence.min >= sequence.max {
        return invalid(format!(
            "MINVALUE ({}) must be less than MAXVALUE ({})",
            sequence.min, sequence.max
        ));
    }
    if sequence.start < sequence.min {
        return invalid(format!(
            "START value ({}) cannot be less than MINVALUE ({})",
            sequence.start, sequence.min
        ));
    }
    if sequence.start > sequence.max {
        return invalid(format!(
            "START value ({}) cannot be greater than MAXVALUE ({})",
            sequence.start, sequence.max
        ));
    }
    if sequence.cache < 1 {
        return invalid(format!("CACHE ({}) must be greater than zero", sequence.cache));
    }
    Ok(())
}

/// A relation's name that is free: `table_column_suffix`, cut to 63 bytes, numbered when it is taken.
pub(super) fn free_name(
    catalog: &Catalog,
    schema: Oid,
    table: &str,
    columns: &str,
    suffix: &str,
) -> String {
    (0..u32::MAX)
        .map(|number| {
            let suffix = if number == 0 { suffix.to_string() } else { format!("{suffix}{number}") };
            cut_name(table, columns, &suffix)
        })
        .find(|name| catalog.find_relation(schema, name).is_none())
        .unwrap_or_default()
}

/// `table_columns_suffix` in at most 63 bytes; the longer of the first two is cut first, as PostgreSQL does.
pub(super) fn cut_name(table: &str, columns: &str, suffix: &str) -> String {
    let (mut first, mut second) = (table.to_string(), columns.to_string());
    let rest = suffix.len() + 1 + usize::from(!second.is_empty());
    while first.len() + second.len() + rest > 63 {
        let longer = if first.len() > second.len() { &mut first } else { &mut second };
        if longer.pop().is_none() {
            break;
        }
    }
    if second.is_empty() {
        format!("{first}_{suffix}")
    } else {
        format!("{first}_{second}_{suffix}")
    }
}
