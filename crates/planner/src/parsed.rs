//! A parsed statement.

use std::fmt;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use futures::future::BoxFuture;

use crate::operator::Operator;
use crate::operator::find_call;

/// A statement as it was written. Clones share it.
#[derive(Clone)]
pub struct Parsed(Arc<dyn Syntax>);

/// Behind a pointer, so that its end is compiled here.
trait Syntax: Send + Sync {
    fn statement(&self) -> &Statement;
}

impl Syntax for Statement {
    fn statement(&self) -> &Statement {
        self
    }
}

impl Parsed {
    /// Parses one statement in the session's dialect.
    ///
    /// # Errors
    /// What the parser says, with its line and column in the message.
    pub fn parse(state: &SessionState, text: &str) -> Result<Self> {
        let dialect = state.config_options().sql_parser.dialect;
        Ok(Self(Arc::new(state.sql_to_statement(text, &dialect)?)))
    }

    /// Whether it is a `select`, with or without `with` before it, or a set of them.
    pub fn is_query(&self) -> bool {
        matches!(self.0.statement(), Statement::Statement(statement)
            if matches!(**statement, ast::Statement::Query(_)))
    }

    /// Its plan: names resolved, types not yet.
    ///
    /// # Errors
    /// Names that are not known, and what the dialect takes and DataFusion does not.
    pub fn plan<'a>(&self, state: &'a SessionState) -> BoxFuture<'a, Result<LogicalPlan>> {
        Box::pin(state.statement_to_plan(self.0.statement().clone()))
    }

    /// Where it has the operator first, as line and column from 1; `None` when the operator came from a
    /// relation that is read.
    pub fn find(&self, operator: Operator) -> Option<(usize, usize)> {
        operator.find(self.0.statement())
    }

    /// Where it calls a function of that name first, as line and column from 1.
    pub fn find_call(&self, function: &str) -> Option<(usize, usize)> {
        find_call(self.0.statement(), function)
    }
}

impl fmt::Debug for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.statement())
    }
}
