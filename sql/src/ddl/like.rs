//! LIKE in CREATE TABLE: another table's columns, and as asked for their defaults, constraints, indexes,
//! identities and comments. The copies live on their own.

use datafusion::sql::sqlparser::ast;
use ledger::catalog::{Index, IndexOrigin};
use ledger::{Column, Object, Oid, Table};

use super::column::{Feed, Written, index_column};
use super::constraint::column_names;
use super::sequence;
use crate::Error;
use crate::dml::table_of;
use crate::session::Session;
use crate::statement::{Like, SequenceOptions, parse_expression};

/// What is still to be copied once the table is there.
pub(super) struct Copied {
    like: Like,
    source: Oid,
    table: Table,
}

impl Session {
    /// Puts the columns of LIKE clauses among the written ones.
    pub(super) fn liked_columns(
        &self,
        likes: &[Like],
        written: &mut Vec<Written>,
    ) -> Result<Vec<Copied>, Error> {
        let catalog = self.catalog()?;
        let mut copied = Vec::with_capacity(likes.len());
        let mut added = 0;
        for like in likes {
            let source = self.find_table(&catalog, &like.table)?;
            self.need_privilege(&catalog, source, ledger::catalog::Privilege::Select)?;
            let table = table_of(&catalog, source)?.clone();
            let first = (like.at + added).min(written.len());
            for (at, column) in (first..).zip(table.live_columns()) {
                written.insert(at, self.liked(like, column)?);
                added += 1;
            }
            copied.push(Copied { like: like.clone(), source, table });
        }
        Ok(copied)
    }

    fn liked(&self, like: &Like, column: &Column) -> Result<Written, Error> {
        let feed = match &column.identity {
            Some(identity) if like.identity => {
                let catalog = self.catalog()?;
                let own = catalog.sequence(identity.sequence);
                let options = own.map_or_else(SequenceOptions::default, |own| SequenceOptions {
                    start: Some(own.start),
                    increment: Some(own.increment),
                    min: Some(Some(own.min)),
                    max: Some(Some(own.max)),
                    cache: Some(own.cache),
                    cycle: Some(own.cycle),
                    ..SequenceOptions::default()
                });
                Some(Feed { identity: Some(identity.always), options })
            }
            _ => None,
        };
        Ok(Written {
            name: column.name.clone(),
            kind: column.kind.clone(),
            not_null: column.not_null,
            default: None,
            sequence: feed,
            constraints: Vec::new(),
        })
    }

    /// What the clause includes beside the columns.
    pub(super) async fn copy_like(&mut self, oid: Oid, copied: Copied) -> Result<(), Error> {
        let Copied { like, source, table: from } = copied;
        let catalog = self.catalog()?;
        let mut table = table_of(&catalog, oid)?.clone();
        for column in from.live_columns() {
            let Some(own) = table.columns.iter_mut().find(|own| own.name == column.name) else {
                continue;
            };
            if like.defaults && column.identity.is_none() {
                own.default.clone_from(&column.default);
            }
            if like.comments {
                own.comment.clone_from(&column.comment);
            }
        }
        self.define(oid, Object::Table(table))?;
        let mut constraints = Vec::new();
        if like.constraints {
            for check in &from.checks {
                constraints.push(ast::TableConstraint::Check(ast::CheckConstraint {
                    name: Some(ast::Ident::with_quote('"', &check.name)),
                    expr: Box::new(parse_expression(&check.text)?),
                    enforced: None,
                }));
            }
        }
        self.add_constraints(oid, &constraints, true).await?;
        if like.indexes {
            let indexes: Vec<Index> =
                catalog.indexes_of(source).map(|(_, index)| index.clone()).collect();
            for index in &indexes {
                self.copy_index(oid, &from, index).await?;
            }
        }
        Ok(())
    }

    async fn copy_index(&mut self, oid: Oid, from: &Table, index: &Index) -> Result<(), Error> {
        let names = column_names(from, &index.columns);
        let primary = matches!(index.origin, IndexOrigin::PrimaryKey(_));
        match index.origin {
            IndexOrigin::ForeignKey => Ok(()),
            IndexOrigin::PrimaryKey(_) | IndexOrigin::Unique(_) => {
                let columns: Vec<ast::IndexColumn> = names
                    .iter()
                    .map(|name| index_column(&ast::Ident::with_quote('"', name.as_str())))
                    .collect();
                self.add_key(oid, None, &columns, primary, true)
            }
            IndexOrigin::Plain => {
                let catalog = self.catalog()?;
                let table = table_of(&catalog, oid)?;
                let columns = names
                    .iter()
                    .filter_map(|name| table.find_column(name).map(|column| column.number))
                    .collect();
                let joined = names.join("_");
                let name = sequence::free_name(&catalog, table.schema, &table.name, &joined, "idx");
                let copy = Index {
                    schema: table.schema,
                    name,
                    table: oid,
                    columns,
                    unique: index.unique,
                    origin: IndexOrigin::Plain,
                    comment: None,
                };
                let number = self.oids_for(&catalog, oid).next();
                self.define(number, Object::Index(copy))
            }
        }
    }
}
