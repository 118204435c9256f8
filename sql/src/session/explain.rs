//! EXPLAIN: the physical plan as a tree, in the shapes that tools know from PostgreSQL; with ANALYZE what
//! each node gave and how long it took. There are no estimates of cost, so none are shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use ledger::Column;
use ledger::catalog::Privilege;
use serde_json::{Map, Value, json};

use super::Session;
use super::settings::text_column;
use super::with::writing;
use crate::Error;
use crate::dml::{self, table_of};
use crate::outcome::{Outcome, Parameter, ResultColumn, Tag};
use crate::read::{self, PlanOptions, Planned};
use crate::scan::{BYTES_READ, ROW_GROUPS_READ, ROW_GROUPS_SKIPPED};
use crate::statement::{Command, ExplainOptions, Statement};
use crate::types::PgType;

/// The column of EXPLAIN's result.
pub(super) fn plan_column(options: ExplainOptions) -> ResultColumn {
    let type_oid = if options.json { PgType::Json.oid() } else { PgType::Text.oid() };
    ResultColumn { type_oid, ..text_column("QUERY PLAN") }
}

/// What is explained.
struct Subject {
    /// PostgreSQL's name of the operation, and the table that it writes to.
    writes: Option<(&'static str, String)>,
    planned: Option<Planned>,
}

/// A node of a plan.
struct Node {
    kind: String,
    detail: String,
    rows: Option<usize>,
    time: Option<Duration>,
    /// What a scan read of sealed files, by name.
    read: Vec<(&'static str, usize)>,
    children: Vec<Self>,
}

/// What EXPLAIN calls what a scan counts.
const READ: [(&str, &str); 3] = [
    ("Row Groups Read", ROW_GROUPS_READ),
    ("Row Groups Skipped", ROW_GROUPS_SKIPPED),
    ("Bytes Read", BYTES_READ),
];

impl Session {
    pub(super) async fn explain(
        &mut self,
        options: ExplainOptions,
        statement: &Statement,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        if let Command::Execute { name, arguments } = &statement.command {
            let (prepared, bound) = self.bound(name, arguments, parameters)?;
            let inner = prepared.statement.clone();
            return Box::pin(self.explain(options, &inner, &bound)).await;
        }
        let started = Instant::now();
        let subject = self.subject(statement, parameters)?;
        let mut root = None;
        let mut planning = started.elapsed();
        let mut running = None;
        if let Some(planned) = &subject.planned {
            let context = self.query_context(statement)?;
            let physical = read::physical(&context, planned, parameters).await?;
            let Some((plan, task)) = physical else {
                return shown(options, &Node::catalogs(), planning, None);
            };
            planning = started.elapsed();
            if options.analyze && subject.writes.is_none() {
                let began = Instant::now();
                let mut stream = self.bounded(read::execute(planned, Arc::clone(&plan), task)?);
                while let Some(batch) = stream.next().await {
                    batch?;
                }
                running = Some(began.elapsed());
            }
            root = Some(Node::of(plan.as_ref(), running.is_some()));
        }
        if options.analyze && subject.writes.is_some() {
            let began = Instant::now();
            self.write_for_explain(statement, parameters).await?;
            running = Some(began.elapsed());
        }
        let root = match subject.writes {
            Some((operation, table)) => Node {
                kind: "ModifyTable".to_string(),
                detail: format!("{operation} on {table}"),
                rows: None,
                time: None,
                read: Vec::new(),
                children: root.into_iter().collect(),
            },
            None => root.unwrap_or_else(Node::catalogs),
        };
        shown(options, &root, planning, running)
    }

    /// ANALYZE of a statement that writes: it is executed, its rows are not shown.
    async fn write_for_explain(
        &mut self,
        statement: &Statement,
        parameters: &[Parameter],
    ) -> Result<(), Error> {
        if let Outcome::Rows { mut stream, .. } =
            Box::pin(self.run(statement, parameters, None)).await?
        {
            while let Some(batch) = stream.next().await {
                batch?;
            }
        }
        Ok(())
    }

    fn subject(
        &mut self,
        statement: &Statement,
        parameters: &[Parameter],
    ) -> Result<Subject, Error> {
        if writing(&statement.command).is_some() {
            return Err(Error::unsupported(
                "EXPLAIN of a statement that writes within WITH",
                "EXPLAIN its parts one by one.",
            ));
        }
        match &statement.command {
            Command::Query(query) if query.into.is_none() => {
                let planned = self.planned_afresh(statement, &query.query, None, parameters)?;
                self.admit_reads(&planned)?;
                Ok(Subject { writes: None, planned: Some(planned) })
            }
            Command::Insert { insert, with, .. } => {
                let name = dml::insert_target(insert)?;
                let (oid, table) = self.explained(&name, Privilege::Insert)?;
                let catalog = self.catalog()?;
                let definition = table_of(&catalog, oid)?;
                let numbers = dml::target_columns(definition, &insert.columns)?;
                let targets: Vec<&Column> =
                    numbers.iter().filter_map(|number| definition.column(*number)).collect();
                let kinds: Vec<PgType> =
                    targets.iter().map(|column| PgType::of(&column.kind)).collect();
                let planned = match insert.source.as_deref() {
                    None => None,
                    Some(query) => {
                        let mut query = dml::without_defaults(query);
                        if with.is_some() {
                            query.with.clone_from(with);
                        }
                        Some(self.planned_afresh(statement, &query, Some(&kinds), parameters)?)
                    }
                };
                Ok(Subject { writes: Some(("Insert", table)), planned })
            }
            Command::Update { update, with } => {
                let (name, _) = dml::update_target(update)?;
                let (oid, table) = self.explained(&name, Privilege::Update)?;
                let catalog = self.catalog()?;
                let definition = table_of(&catalog, oid)?;
                let (query, numbers) = dml::update_query(definition, update, with.as_ref())?;
                let mut kinds = vec![PgType::Uuid];
                let targets = numbers.iter().filter_map(|number| definition.column(*number));
                kinds.extend(targets.map(|column| PgType::of(&column.kind)));
                let planned = self.planned_afresh(statement, &query, Some(&kinds), parameters)?;
                Ok(Subject { writes: Some(("Update", table)), planned: Some(planned) })
            }
            Command::Delete { delete, with } => {
                let (name, _, query) = dml::delete_query(delete, with.as_ref(), None)?;
                let (_, table) = self.explained(&name, Privilege::Delete)?;
                let planned =
                    self.planned_afresh(statement, &query, Some(&[PgType::Uuid]), parameters)?;
                Ok(Subject { writes: Some(("Delete", table)), planned: Some(planned) })
            }
            _ => Err(Error::unsupported(
                "EXPLAIN of this statement",
                "EXPLAIN takes queries, INSERT, UPDATE, DELETE and EXECUTE.",
            )),
        }
    }

    fn explained(
        &self,
        name: &[String],
        privilege: Privilege,
    ) -> Result<(ledger::Oid, String), Error> {
        let catalog = self.catalog()?;
        let oid = self.find_table(&catalog, name)?;
        self.need_privilege(&catalog, oid, privilege)?;
        Ok((oid, table_of(&catalog, oid)?.name.clone()))
    }

    fn planned_afresh(
        &self,
        statement: &Statement,
        query: &ast::Query,
        targets: Option<&[PgType]>,
        parameters: &[Parameter],
    ) -> Result<Planned, Error> {
        let context = self.query_context(statement)?;
        let oids: Vec<u32> = parameters.iter().map(|parameter| parameter.oid).collect();
        read::plan_query(&context, query, PlanOptions { parameter_oids: &oids, targets })
    }
}

impl Node {
    fn of(plan: &dyn ExecutionPlan, analyzed: bool) -> Self {
        let name = plan.name();
        let line = displayable(plan).one_line().to_string();
        let line = line.trim_end();
        let detail =
            line.strip_prefix(name).map_or(line, |rest| rest.trim_start_matches([':', ' ']));
        let metrics = plan.metrics().filter(|_| analyzed).map(|all| all.aggregate_by_name());
        let children: Vec<Self> =
            plan.children().into_iter().map(|child| Self::of(child.as_ref(), analyzed)).collect();
        let counted = |name| metrics.as_ref()?.sum_by_name(name).map(|sum| sum.as_usize());
        let read = READ.into_iter().filter_map(|(title, name)| Some((title, counted(name)?)));
        let mut read: Vec<_> = read.collect();
        if read.iter().all(|(_, count)| *count == 0) {
            read.clear();
        }
        let own = metrics.as_ref().and_then(MetricsSet::elapsed_compute).unwrap_or(0);
        let own = Duration::from_nanos(u64::try_from(own).unwrap_or(u64::MAX));
        let below: Duration = children.iter().filter_map(|child| child.time).sum();
        Self {
            kind: words(name.strip_suffix("Exec").unwrap_or(name)),
            detail: detail.to_string(),
            rows: metrics.as_ref().and_then(MetricsSet::output_rows),
            time: metrics.is_some().then(|| own + below),
            read,
            children,
        }
    }

    /// A query that the catalogs' own evaluator runs.
    fn catalogs() -> Self {
        Self {
            kind: "Result".to_string(),
            detail: String::new(),
            rows: None,
            time: None,
            read: Vec::new(),
            children: Vec::new(),
        }
    }

    fn title(&self) -> String {
        let mut title =
            if self.kind == "ModifyTable" { self.detail.clone() } else { self.kind.clone() };
        if let (Some(rows), Some(time)) = (self.rows, self.time) {
            title.push_str(&format!(
                "  (actual time=0.000..{:.3} rows={rows} loops=1)",
                milliseconds(time)
            ));
        }
        title
    }

    /// As PostgreSQL indents it: what belongs to a node by two, its children by an arrow.
    fn lines(&self, depth: usize, lines: &mut Vec<String>) {
        let indent = match depth.checked_sub(1) {
            None => String::new(),
            Some(above) => format!("{}->  ", " ".repeat(2 + above * 6)),
        };
        lines.push(format!("{indent}{}", self.title()));
        if !self.detail.is_empty() && self.kind != "ModifyTable" {
            lines.push(format!("{}Detail: {}", " ".repeat(indent.len() + 2), self.detail));
        }
        let read: Vec<_> = self.read.iter().map(|(name, n)| format!("{name}: {n}")).collect();
        if !read.is_empty() {
            lines.push(format!("{}{}", " ".repeat(indent.len() + 2), read.join("  ")));
        }
        for child in &self.children {
            child.lines(depth + 1, lines);
        }
    }

    fn json(&self) -> Value {
        let mut map = Map::new();
        map.insert("Node Type".into(), self.kind.clone().into());
        if self.kind == "ModifyTable" {
            let (operation, table) = self.detail.split_once(" on ").unwrap_or(("", ""));
            map.insert("Operation".into(), operation.into());
            map.insert("Relation Name".into(), table.into());
        } else if !self.detail.is_empty() {
            map.insert("Detail".into(), self.detail.clone().into());
        }
        if let (Some(rows), Some(time)) = (self.rows, self.time) {
            map.insert("Actual Startup Time".into(), json!(0.0));
            map.insert("Actual Total Time".into(), json!(milliseconds(time)));
            map.insert("Actual Rows".into(), json!(rows));
            map.insert("Actual Loops".into(), json!(1));
        }
        for (name, count) in &self.read {
            map.insert((*name).into(), json!(count));
        }
        if !self.children.is_empty() {
            let children = self.children.iter().map(Self::json).collect();
            map.insert("Plans".into(), Value::Array(children));
        }
        Value::Object(map)
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// `HashJoin` as `Hash Join`.
fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for (at, letter) in name.chars().enumerate() {
        if at > 0 && letter.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter);
    }
    words
}

fn shown(
    options: ExplainOptions,
    root: &Node,
    planning: Duration,
    running: Option<Duration>,
) -> Result<Outcome, Error> {
    let lines = if options.json {
        let mut map = Map::new();
        map.insert("Plan".into(), root.json());
        if let Some(running) = running {
            map.insert("Planning Time".into(), json!(milliseconds(planning)));
            map.insert("Triggers".into(), json!([]));
            map.insert("Execution Time".into(), json!(milliseconds(running)));
        }
        let text = serde_json::to_string_pretty(&Value::Array(vec![Value::Object(map)]));
        vec![text.map_err(|error| Error::internal(error.to_string()))?]
    } else {
        let mut lines = Vec::new();
        root.lines(0, &mut lines);
        if let Some(running) = running {
            lines.push(format!("Planning Time: {:.3} ms", milliseconds(planning)));
            lines.push(format!("Execution Time: {:.3} ms", milliseconds(running)));
        }
        lines
    };
    let kind = if options.json { PgType::Json } else { PgType::Text };
    let field = Field::new("QUERY PLAN", DataType::Utf8, true).with_metadata(kind.metadata());
    let column = Arc::new(StringArray::from(lines)) as ArrayRef;
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column])
        .map_err(|error| Error::internal(error.to_string()))?;
    Ok(Outcome::Rows {
        columns: vec![plan_column(options)],
        stream: futures::stream::iter([Ok(batch)]).boxed(),
        tag: Tag::Fixed("EXPLAIN".to_string()),
    })
}
