//! WITH queries that write (`WITH gone AS (DELETE … RETURNING *) SELECT …`): each part runs once, in order,
//! and all parts read the state from before the statement; what a part returns is a relation of the parts
//! after it. It knows nothing of how rows are written.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::datasource::MemTable;
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use futures::TryStreamExt;
use ledger::{Oid, VersionId};
use storage::Snapshot;

use super::Session;
use super::prepare::Known;
use crate::dml;
use crate::functions::Function;
use crate::outcome::{Outcome, Parameter};
use crate::overlay::{OWN, Overlay};
use crate::read::{self, Extension, PlanOptions, QueryContext, VirtualTable};
use crate::statement::{Command, CopyWhat, Statement, name_of};
use crate::types::PgType;
use crate::{Error, ResultColumn};

/// What the parts of one statement share.
pub(crate) struct Beside {
    /// The state that every part reads.
    pub(crate) snapshot: Snapshot,
    pub(crate) overlay: Overlay,
    /// What the parts so far gave.
    pub(crate) relations: Vec<Arc<dyn Extension>>,
    /// Another transaction changed a row that is to be written: the whole statement looks again.
    stale: bool,
}

/// One part: its name, and what it does.
enum Part<'a> {
    Writes(Box<Command>),
    Reads(&'a ast::Cte),
}

/// Columns and types of what a part gives; `None`: nothing.
type Shape = Option<(Vec<ResultColumn>, Vec<PgType>)>;

/// The result of a part, under its name. Without columns it can't be read.
struct Given {
    name: String,
    table: Option<VirtualTable>,
}

impl Extension for Given {
    fn table(
        &self,
        _context: &QueryContext,
        schema: Option<&str>,
        name: &str,
    ) -> Result<Option<VirtualTable>, Error> {
        if schema.is_some() || name != self.name {
            return Ok(None);
        }
        self.table.clone().map(Some).ok_or_else(|| {
            Error::new("0A000", format!("WITH query \"{name}\" does not have a RETURNING clause"))
                .with_hint("Add RETURNING to the statement in WITH.")
        })
    }

    fn functions(&self, _schema: Option<&str>, _name: &str) -> Vec<Arc<Function>> {
        Vec::new()
    }
}

/// The WITH list of a statement, if one of its queries writes.
pub(super) fn writing(command: &Command) -> Option<&ast::With> {
    let with = match command {
        Command::Query(query) => query.query.with.as_ref(),
        Command::Insert { with, .. }
        | Command::Update { with, .. }
        | Command::Delete { with, .. }
        | Command::Merge { with, .. } => with.as_ref(),
        Command::CreateTable { create, .. } => create.query.as_ref()?.with.as_ref(),
        Command::Copy(copy) => match &copy.what {
            CopyWhat::Query(query) => query.query.with.as_ref(),
            CopyWhat::Writing(command) => return writing(command),
            CopyWhat::Table { .. } => None,
        },
        _ => None,
    }?;
    any_writes(with).then_some(with)
}

/// The WITH list of a statement that runs in parts, each of which reads the state from before it: one of them writes,
/// or a query in RETURNING reads tables.
pub(super) fn apart(command: &Command) -> Option<Cow<'_, ast::With>> {
    if let Some(with) = writing(command) {
        return Some(Cow::Borrowed(with));
    }
    let (with, returning) = match command {
        Command::Insert { insert, with, .. } => (with, &insert.returning),
        Command::Update { update, with } => (with, &update.returning),
        Command::Delete { delete, with } => (with, &delete.returning),
        _ => return None,
    };
    let mut queries = Queries;
    if returning.as_ref()?.visit(&mut queries).is_continue() {
        return None;
    }
    Some(with.as_ref().map_or_else(
        || {
            let with_token = ast::helpers::attached_token::AttachedToken::empty();
            Cow::Owned(ast::With { with_token, recursive: false, cte_tables: Vec::new() })
        },
        Cow::Borrowed,
    ))
}

/// Stops at a query.
struct Queries;

impl Visitor for Queries {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

/// Whether a query of a WITH list writes.
pub(crate) fn any_writes(with: &ast::With) -> bool {
    with.cte_tables.iter().any(|cte| writes(&cte.query))
}

fn writes(query: &ast::Query) -> bool {
    matches!(
        query.body.as_ref(),
        ast::SetExpr::Insert(_)
            | ast::SetExpr::Update(_)
            | ast::SetExpr::Delete(_)
            | ast::SetExpr::Merge(_)
    )
}

/// The first statement in a WITH list that writes, as messages call it.
pub(super) fn first_writer(with: &ast::With) -> &'static str {
    let of = |cte: &ast::Cte| match cte.query.body.as_ref() {
        ast::SetExpr::Insert(_) => Some("INSERT"),
        ast::SetExpr::Update(_) => Some("UPDATE"),
        ast::SetExpr::Delete(_) => Some("DELETE"),
        ast::SetExpr::Merge(_) => Some("MERGE"),
        _ => None,
    };
    with.cte_tables.iter().find_map(of).unwrap_or("this statement")
}

/// The statement itself, without its WITH list.
fn main_part(command: &Command) -> Command {
    let mut main = command.clone();
    match &mut main {
        Command::Query(query) => query.query.with = None,
        Command::Insert { with, .. }
        | Command::Update { with, .. }
        | Command::Delete { with, .. }
        | Command::Merge { with, .. } => *with = None,
        Command::CreateTable { create, .. } => {
            if let Some(query) = &mut create.query {
                query.with = None;
            }
        }
        Command::Copy(copy) => match &mut copy.what {
            CopyWhat::Query(query) => query.query.with = None,
            CopyWhat::Writing(command) => **command = main_part(command),
            CopyWhat::Table { .. } => {}
        },
        _ => {}
    }
    main
}

fn part_of(cte: &ast::Cte) -> Result<Part<'_>, Error> {
    if !writes(&cte.query) {
        return Ok(Part::Reads(cte));
    }
    match crate::statement::command_of_query(cte.query.as_ref().clone())? {
        Command::Merge { .. } => Err(Error::new("0A000", "MERGE not supported in WITH query")
            .with_hint("Run MERGE on its own.")),
        command => Ok(Part::Writes(Box::new(command))),
    }
}

/// `WITH cte SELECT * FROM cte`: the columns' names in the list are its own.
fn whole(with: &ast::With, cte: &ast::Cte) -> ast::Query {
    let all = ast::SelectItem::Wildcard(ast::WildcardAdditionalOptions::default());
    let from = dml::relation(&[name_of(&cte.alias.name)], None);
    let mut query = dml::select_from(vec![all], vec![from], None);
    query.with = Some(ast::With { cte_tables: vec![cte.clone()], ..with.clone() });
    query
}

impl Session {
    /// Executes a statement whose WITH list writes.
    pub(super) async fn run_with(
        &mut self,
        statement: &Statement,
        with: &ast::With,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        refuse_twins(with)?;
        let before = self.transaction_mut().overlay.clone();
        loop {
            self.begin_beside(before.clone())?;
            let result = Box::pin(self.run_parts(statement, with, parameters)).await;
            let stale = self.beside.take().is_some_and(|beside| beside.stale);
            if !stale {
                return result;
            }
            // The rows are locked now: nothing that was written so far counts.
            self.transaction_mut().overlay = before.clone();
            self.bounds.check()?;
        }
    }

    fn begin_beside(&mut self, overlay: Overlay) -> Result<(), Error> {
        let snapshot = self.snapshot()?;
        self.beside =
            Some(Box::new(Beside { snapshot, overlay, relations: Vec::new(), stale: false }));
        Ok(())
    }

    async fn run_parts(
        &mut self,
        statement: &Statement,
        with: &ast::With,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        for cte in &with.cte_tables {
            let (columns, batches) = match part_of(cte)? {
                Part::Writes(command) => {
                    let given: Vec<u32> = parameters.iter().map(|given| given.oid).collect();
                    let shape = self.returned(statement, &command, &given)?;
                    let part = Statement::of(*command, statement);
                    let outcome = Box::pin(self.data(&part, parameters, None)).await?;
                    let batches = match outcome {
                        Outcome::Rows { stream, .. } => stream.try_collect().await?,
                        _ => Vec::new(),
                    };
                    (shape, batches)
                }
                Part::Reads(cte) => {
                    let context = self.query_context(statement)?;
                    let query = whole(with, cte);
                    let (planned, batches) =
                        self.collect(&context, &query, None, parameters).await?;
                    self.admit_reads(&planned)?;
                    (Some((planned.columns, planned.types)), batches)
                }
            };
            self.give_beside(cte, columns, &batches)?;
        }
        let main = Statement::of(main_part(&statement.command), statement);
        Box::pin(self.data(&main, parameters, None)).await
    }

    /// Makes what a part gave a relation of the parts after it.
    fn give_beside(
        &mut self,
        cte: &ast::Cte,
        shape: Shape,
        batches: &[RecordBatch],
    ) -> Result<(), Error> {
        let table = match shape {
            Some((columns, kinds)) => Some(relation_of(cte, &columns, &kinds, batches)?),
            None => None,
        };
        let given = Given { name: name_of(&cte.alias.name), table };
        if let Some(beside) = self.beside.as_mut() {
            beside.relations.push(Arc::new(given));
        }
        Ok(())
    }

    /// The same of a part that returns other tables' columns, too.
    fn returned_beside(
        &self,
        statement: &Statement,
        command: &Command,
        (oid, table, alias): (Oid, &ledger::Table, &str),
        oids: &[u32],
    ) -> Result<Shape, Error> {
        let from;
        let (from, returning) = match command {
            Command::Update { update, .. } => {
                from = dml::update_from(update);
                (from.as_slice(), update.returning.as_deref())
            }
            Command::Delete { delete, .. } => {
                (delete.using.as_deref().unwrap_or_default(), delete.returning.as_deref())
            }
            _ => return Ok(None),
        };
        let Some(others) = dml::Others::of(table, alias, from, returning)? else { return Ok(None) };
        let (query, targets) = match command {
            Command::Update { update, with } => dml::update_query(table, update, with.as_ref())?,
            Command::Delete { delete, with } => {
                (dml::delete_query(delete, with.as_ref(), Some(&others))?.2, Vec::new())
            }
            _ => return Ok(None),
        };
        let mut kinds = vec![PgType::Uuid];
        let columns = targets.iter().filter_map(|number| table.column(*number));
        kinds.extend(columns.map(|column| PgType::of(&column.kind)));
        let context = self.query_context(statement)?;
        let options = PlanOptions { parameter_oids: oids, targets: Some(&kinds) };
        let found = read::plan_query(&context, &query, options)?;
        let oids: Vec<u32> = found.parameters.iter().map(PgType::oid).collect();
        self.others_shape(statement, (oid, table, alias), &others, &found, &oids).map(Some)
    }

    /// Columns and types of what a writing part returns.
    fn returned(
        &self,
        statement: &Statement,
        command: &Command,
        oids: &[u32],
    ) -> Result<Shape, Error> {
        let (name, alias, returning) = match command {
            Command::Insert { insert, .. } => {
                let alias = insert.table_alias.as_ref().map(|alias| name_of(&alias.alias));
                (dml::insert_target(insert)?, alias, insert.returning.as_deref())
            }
            Command::Update { update, .. } => {
                let (name, alias) = dml::update_target(update)?;
                (name, Some(alias), update.returning.as_deref())
            }
            Command::Delete { delete, .. } => {
                let (name, alias, _) = dml::delete_query(delete, None, None)?;
                (name, Some(alias), delete.returning.as_deref())
            }
            _ => return Ok(None),
        };
        let Some(items) = returning else { return Ok(None) };
        let catalog = self.catalog()?;
        let oid = self.find_table(&catalog, &name)?;
        let table = dml::table_of(&catalog, oid)?;
        let alias = alias.as_deref().unwrap_or(&table.name);
        if let Some(shape) = self.returned_beside(statement, command, (oid, table, alias), oids)? {
            return Ok(Some(shape));
        }
        self.returning_shape(statement, oid, table, alias, items).map(Some)
    }

    /// Whether a row that is to be written was written by another part of the statement already: then, as
    /// in PostgreSQL, it is left alone.
    ///
    /// # Errors
    /// When another transaction was faster: the statement then looks again, or fails with 40001.
    pub(crate) fn written_beside(&mut self, table: Oid, version: VersionId) -> Result<bool, Error> {
        let Some(own) = self.transaction.as_ref().filter(|_| self.beside.is_some()) else {
            return Ok(false);
        };
        if version.height == OWN || own.overlay.ends(table, version) {
            return Ok(true);
        }
        self.superseded().map(|_| false)
    }

    /// A row was changed by another transaction: the parts so far read a state that is past.
    ///
    /// # Errors
    /// Always, among parts: the statement begins again.
    pub(crate) fn begin_again(&mut self) -> Result<(), Error> {
        let Some(beside) = self.beside.as_mut() else { return Ok(()) };
        beside.stale = true;
        Err(Error::internal("the statement begins again"))
    }

    /// Parameters and result of a statement whose WITH list writes, before it runs.
    pub(super) fn know_with(
        &mut self,
        statement: &Statement,
        with: &ast::With,
        oids: &[u32],
    ) -> Result<Known, Error> {
        refuse_twins(with)?;
        self.open_snapshot()?;
        let overlay = self.transaction_mut().overlay.clone();
        self.begin_beside(overlay)?;
        let known = self.know_parts(statement, with, oids);
        self.beside = None;
        known
    }

    fn know_parts(
        &mut self,
        statement: &Statement,
        with: &ast::With,
        oids: &[u32],
    ) -> Result<Known, Error> {
        let mut oids = oids.to_vec();
        for cte in &with.cte_tables {
            let used = placeholders(cte);
            let (shape, found) = match part_of(cte)? {
                Part::Writes(command) => {
                    let shape = self.returned(statement, &command, &oids)?;
                    let known = self.know(&Statement::of(*command, statement), &oids)?;
                    (shape, known.parameters)
                }
                Part::Reads(cte) => {
                    let context = self.query_context(statement)?;
                    let options = PlanOptions { parameter_oids: &oids, targets: None };
                    let planned = read::plan_query(&context, &whole(with, cte), options)?;
                    let found = planned.parameters.iter().map(PgType::oid).collect();
                    (Some((planned.columns, planned.types)), found)
                }
            };
            settle(&mut oids, &used, &found);
            self.give_beside(cte, shape, &[])?;
        }
        let main = Statement::of(main_part(&statement.command), statement);
        let known = self.know(&main, &oids)?;
        let more = known.parameters.get(oids.len()..).unwrap_or_default();
        oids.extend_from_slice(more);
        for (own, found) in oids.iter_mut().zip(&known.parameters) {
            if *own == 0 {
                *own = *found;
            }
        }
        Ok(Known { parameters: oids, ..known })
    }
}

/// Takes over the types of the parameters that a part uses.
fn settle(oids: &mut Vec<u32>, used: &BTreeSet<usize>, found: &[u32]) {
    for place in used {
        let Some(kind) = found.get(*place) else { continue };
        if oids.len() <= *place {
            oids.resize(*place + 1, 0);
        }
        if let Some(own) = oids.get_mut(*place).filter(|own| **own == 0) {
            *own = *kind;
        }
    }
}

fn refuse_twins(with: &ast::With) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for cte in &with.cte_tables {
        let name = name_of(&cte.alias.name);
        if !seen.insert(name.clone()) {
            return Err(Error::new(
                "42712",
                format!("WITH query name \"{name}\" specified more than once"),
            ));
        }
    }
    Ok(())
}

/// A part's rows under the names that the WITH list gives them.
fn relation_of(
    cte: &ast::Cte,
    columns: &[ResultColumn],
    kinds: &[PgType],
    batches: &[RecordBatch],
) -> Result<VirtualTable, Error> {
    let given = &cte.alias.columns;
    let own = if writes(&cte.query) { given.as_slice() } else { &[] };
    if own.len() > columns.len() {
        return Err(Error::new(
            "42P10",
            format!(
                "WITH query \"{}\" has {} columns available but {} columns specified",
                name_of(&cte.alias.name),
                columns.len(),
                own.len()
            ),
        ));
    }
    let mut shown = Vec::with_capacity(columns.len());
    let mut fields = Vec::with_capacity(columns.len());
    for (place, (column, kind)) in columns.iter().zip(kinds).enumerate() {
        // Names of objects and rows come as texts.
        let kind = match kind {
            PgType::Reg(_) | PgType::Record(_) | PgType::Unknown => PgType::Text,
            kind => kind.clone(),
        };
        let name = own.get(place).map_or_else(|| column.name.clone(), |own| name_of(&own.name));
        fields.push(Field::new(format!("f{place}"), kind.arrow(), true));
        shown.push((name, kind));
    }
    let schema = Arc::new(Schema::new(fields));
    let batches = batches
        .iter()
        .map(|batch| {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
                .map_err(|error| Error::internal(format!("a part has another shape: {error}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let provider = MemTable::try_new(schema, vec![batches])?;
    Ok(VirtualTable { oid: 0, columns: shown, hidden: 0, provider: Arc::new(provider) })
}

/// The parameters that stand in a WITH query, by place.
fn placeholders(cte: &ast::Cte) -> BTreeSet<usize> {
    let mut found = Placeholders(BTreeSet::new());
    // It never breaks off.
    let _whole: ControlFlow<()> = cte.query.visit(&mut found);
    found.0
}

struct Placeholders(BTreeSet<usize>);

impl Visitor for Placeholders {
    type Break = ();

    fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<()> {
        if let ast::Value::Placeholder(name) = &value.value
            && let Some(place) = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok())
        {
            self.0.extend(place.checked_sub(1).filter(|place| *place < 65_535));
        }
        ControlFlow::Continue(())
    }
}
