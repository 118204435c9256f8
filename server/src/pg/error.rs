//! What goes wrong, as the wire shows it: severity, SQLSTATE and the other fields. It knows no cause.

use std::borrow::Cow;
use std::ops::Deref;

/// An error or a notice, ready for ErrorResponse or NoticeResponse. It is one pointer wide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem(Box<Fields>);

impl Deref for Problem {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.0
    }
}

/// What a problem says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// `ERROR`, `FATAL`, `NOTICE`, …
    pub(crate) severity: Cow<'static, str>,
    /// Five characters.
    pub(crate) sqlstate: Cow<'static, str>,
    /// What is wrong, in one sentence.
    pub(crate) message: String,
    /// More about it.
    pub(crate) detail: Option<String>,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub(crate) position: Option<usize>,
    /// What the server was doing (COPY's line).
    pub(crate) context: Option<String>,
    /// The schema it is about.
    pub(crate) schema: Option<String>,
    /// The table it is about.
    pub(crate) table: Option<String>,
    /// The column it is about.
    pub(crate) column: Option<String>,
    /// The data type it is about.
    pub(crate) datatype: Option<String>,
    /// The constraint it is about.
    pub(crate) constraint: Option<String>,
    /// The name of the routine that reports it: drivers look at `RevalidateCachedQuery`.
    pub(crate) routine: Option<String>,
}

impl Problem {
    /// An error of the statement: the session goes on.
    pub(crate) fn error(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Fields {
            severity: "ERROR".into(),
            sqlstate: sqlstate.into(),
            message: message.into(),
            ..Fields::default()
        }))
    }

    /// An error that ends the connection.
    pub(crate) fn fatal(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::error(sqlstate, message).into_fatal()
    }

    /// The same as the connection's end.
    pub(crate) fn into_fatal(mut self) -> Self {
        self.0.severity = "FATAL".into();
        self
    }

    /// With a detail.
    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// With a hint.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// With what the server was doing.
    pub(crate) fn with_context(mut self, context: impl Into<String>) -> Self {
        self.0.context = Some(context.into());
        self
    }

    /// Whether the connection ends with it.
    pub(crate) fn is_fatal(&self) -> bool {
        self.severity == "FATAL" || self.severity == "PANIC"
    }

    /// The fields that are set, by the protocol's letters.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (u8, Cow<'_, str>)> {
        let always = [
            (b'S', Some(Cow::Borrowed(&*self.severity))),
            (b'V', Some(Cow::Borrowed(&*self.severity))),
            (b'C', Some(Cow::Borrowed(&*self.sqlstate))),
            (b'M', Some(Cow::Borrowed(cut(&self.message)))),
            (b'P', self.position.map(|position| Cow::Owned(position.to_string()))),
        ];
        let optional = [
            (b'D', &self.detail),
            (b'H', &self.hint),
            (b'W', &self.context),
            (b's', &self.schema),
            (b't', &self.table),
            (b'c', &self.column),
            (b'd', &self.datatype),
            (b'n', &self.constraint),
            (b'R', &self.routine),
        ];
        let optional = optional
            .into_iter()
            .map(|(field, value)| (field, value.as_deref().map(|text| Cow::Borrowed(cut(text)))));
        always.into_iter().chain(optional).filter_map(|(field, value)| Some((field, value?)))
    }
}

impl From<sql::Report> for Problem {
    fn from(report: sql::Report) -> Self {
        Self(Box::new(Fields {
            severity: report.severity.into(),
            sqlstate: report.sqlstate.into(),
            message: report.message,
            detail: report.detail,
            hint: report.hint,
            position: report.position,
            context: None,
            schema: report.schema,
            table: report.table,
            column: report.column,
            datatype: report.datatype,
            constraint: report.constraint,
            routine: report.routine.map(str::to_owned),
        }))
    }
}

impl From<sql::Error> for Problem {
    fn from(error: sql::Error) -> Self {
        error.report().into()
    }
}

/// No field is longer than this, so that an answer about a large value stays small.
const LONGEST_FIELD: usize = 16 * 1024;

fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_FIELD);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// The problem of a panic, which is a bug of ours: one statement fails, the session lives on.
pub(crate) fn of_panic(panic: &(dyn std::any::Any + Send)) -> Problem {
    let what = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    tracing::error!(panic = %what, "a statement panicked");
    Problem::error("XX000", "internal error: the statement failed by a fault of the server")
        .with_detail(what)
        .with_hint("This is a bug in Stele. The server's log has the place.")
}
