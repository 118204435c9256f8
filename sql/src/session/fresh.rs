//! How new the state is that a statement reads (`ledger.read`), and what only the node that leads can do. A node that is
//! alone has nothing to ask, and is not asked.

use std::time::Duration;

use datafusion::sql::sqlparser::ast;
use futures::future::BoxFuture;
use ledger::Height;
use storage::{Reading, Unready};

use super::Session;
use crate::Error;
use crate::settings::Freshness;
use crate::statement::Command;
use crate::transaction::Isolation;

/// How long a statement waits for a block that it wants to see, or that its session wrote.
const ARRIVES: Duration = Duration::from_secs(10);

impl Session {
    /// What has to come here before the next statement's snapshot is taken; nothing if the state is new enough.
    pub(super) fn to_come(
        &self,
        command: &Command,
    ) -> Option<BoxFuture<'static, Result<(), Error>>> {
        // All statements of such a transaction see what the first one saw.
        if self.transaction.as_ref().is_some_and(|own| own.snapshot.is_some()) {
            return None;
        }
        let freshness = self.shared.with_settings(|settings| settings.freshness());
        let order = &self.engine.order;
        let caught_up = match freshness {
            // Of what only gives values, order tells whether this node still leads; what fails is told once that is known.
            Freshness::Linearizable => order
                .catch_up(Reading::Linearizable)
                .filter(|_| order.follows() || !is_plain_insert(command)),
            Freshness::Bounded(time) => order.catch_up(Reading::Bounded(time)),
            Freshness::Stale | Freshness::Block(_) => None,
        };
        let wanted = match freshness {
            Freshness::Block(height) => self.written.max(height),
            _ => self.written,
        };
        let behind = wanted > Height(0) && self.engine.state.head().height < wanted;
        if caught_up.is_none() && !behind {
            return None;
        }
        let applied = behind.then(|| self.engine.state.wait_applied(wanted));
        Some(Box::pin(async move {
            if let Some(caught_up) = caught_up {
                caught_up.await.map_err(unready)?;
            }
            if let Some(applied) = applied {
                let arrived = tokio::time::timeout(ARRIVES, applied).await;
                arrived.map_err(|_| unready(Unready::Behind { height: wanted }))?;
            }
            Ok(())
        }))
    }

    /// What has to come before the failure of a statement that was run without asking is told: what it saw was the
    /// newest, or something else is told.
    pub(super) fn to_confirm(
        &self,
        command: &Command,
    ) -> Option<BoxFuture<'static, Result<(), Error>>> {
        let freshness = self.shared.with_settings(|settings| settings.freshness());
        if freshness != Freshness::Linearizable {
            return None;
        }
        let caught_up = self.engine.order.catch_up(Reading::Linearizable)?;
        is_plain_insert(command).then(|| -> BoxFuture<'static, _> {
            Box::pin(async { caught_up.await.map_err(unready) })
        })
    }

    /// What has to come here before it can be said that something isn't there.
    pub(super) fn newest(&self) -> Option<BoxFuture<'static, Result<(), Error>>> {
        if self.transaction.as_ref().is_some_and(|own| own.snapshot.is_some()) {
            return None;
        }
        let caught_up = self.engine.order.catch_up(Reading::Linearizable)?;
        Some(Box::pin(async move { caught_up.await.map_err(unready) }))
    }

    /// The session wrote something: it never reads a state without it.
    pub(crate) fn note_written_at(&mut self, height: Height) {
        if height > self.engine.state.head().height {
            self.written = self.written.max(height);
        }
    }

    /// Whether this node leads may have changed: `in_hot_standby`.
    pub(crate) fn note_role(&mut self) {
        let follows = self.engine.order.follows();
        if follows != self.follows {
            self.follows = follows;
            let value = if follows { "on" } else { "off" };
            self.shared.with_settings(|settings| settings.put_fact("in_hot_standby", value));
        }
    }

    /// Locks that are asked for, and SERIALIZABLE, are kept in the memory of the node that leads.
    ///
    /// # Errors
    /// 0A000 on any other node.
    pub(crate) fn need_leader(&self, what: &str) -> Result<(), Error> {
        self.shared.need_leader(what)
    }

    /// A SERIALIZABLE transaction that writes is validated where it is ordered.
    ///
    /// # Errors
    /// 0A000 on a node that doesn't lead.
    pub(super) fn need_leader_to_write(&self) -> Result<(), Error> {
        if self.isolation() == Isolation::Serializable {
            self.need_leader("writing in a SERIALIZABLE transaction")?;
        }
        Ok(())
    }
}

fn unready(reason: Unready) -> Error {
    Error::new("57P03", reason.to_string()).with_hint(
        "Try again, connect to another node, or SET ledger.read = 'stale' to read what this node has.",
    )
}

/// Whether a statement reads nothing but what has to hold when it is ordered.
fn is_plain_insert(command: &Command) -> bool {
    let Command::Insert { insert, with: None, .. } = command else { return false };
    let Some(source) = &insert.source else { return false };
    let ast::SetExpr::Values(values) = source.body.as_ref() else { return false };
    insert.on.is_none()
        && insert.returning.is_none()
        && source.with.is_none()
        && values.rows.iter().all(|row| row.iter().all(is_given))
}

/// Whether an expression is a value that the client gives.
fn is_given(expression: &ast::Expr) -> bool {
    match expression {
        ast::Expr::Value(_) | ast::Expr::TypedString(_) | ast::Expr::Identifier(_) => true,
        ast::Expr::UnaryOp { expr, .. }
        | ast::Expr::Cast { expr, .. }
        | ast::Expr::Nested(expr) => is_given(expr),
        _ => false,
    }
}
