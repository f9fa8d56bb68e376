//! Operators that a micro-batch cannot run on new rows alone, and where a model's SQL has them.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, Expr, Query, SetExpr, Spanned, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

/// An operator that is not delta-safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `group by` or an aggregate function.
    Aggregate,
    /// `distinct`, also that of `union`.
    Distinct,
    /// A function `over (…)`.
    Window,
    /// `limit`, `offset`, `fetch`.
    Limit,
    /// `order by`.
    Sort,
    /// A join of two relations that change.
    StreamJoin,
    /// An outer join that keeps unmatched rows of the unchanging side, or that side's semi join.
    OuterJoin,
    /// A union of new rows with a relation that does not change.
    StaticUnion,
    /// A union of changes of keys.
    KeyedUnion,
    /// A join that drops changes of keys.
    KeyedJoin,
    /// An unnest of a list in changes of keys.
    KeyedUnnest,
    /// A subquery over relations that change.
    Subquery,
    /// `with recursive`.
    Recursive,
    /// An operator of DataFusion without a rule here.
    Other,
}

impl Operator {
    /// What it is called in a message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aggregate => "an aggregate",
            Self::Distinct => "distinct",
            Self::Window => "a window function",
            Self::Limit => "limit",
            Self::Sort => "order by",
            Self::StreamJoin => "a join of two relations that change",
            Self::OuterJoin => "an outer join that keeps rows of the unchanging side",
            Self::StaticUnion => "a union with a relation that does not change",
            Self::KeyedUnion => "a union with a keyed source",
            Self::KeyedJoin => "a join that can drop rows of a keyed source",
            Self::KeyedUnnest => "an unnest of a list of a keyed source",
            Self::Subquery => "a subquery over a relation that changes",
            Self::Recursive => "a recursive query",
            Self::Other => "an operator without a rule for new rows",
        }
    }

    /// What to do about it.
    pub fn help(self) -> &'static str {
        match self {
            Self::Aggregate | Self::Window | Self::Recursive | Self::Other => {
                "materialize the model as `table`: it is then rebuilt on a schedule (config.meta.factmill.rebuild_every)"
            }
            Self::Distinct => {
                "give the model a `unique_key`, which keeps the newest row of each key, or materialize it as `table`"
            }
            Self::Limit => "remove the limit; a stream has no last row",
            Self::Sort => "remove the order by; rows of a table have no order",
            Self::StreamJoin => {
                "join only with seeds and tables that read no stream, or materialize the model as `table`"
            }
            Self::OuterJoin => {
                "put the stream on the side whose rows are kept, or materialize the model as `table`"
            }
            Self::StaticUnion => {
                "load the unchanging rows as a seed of their own, or materialize the model as `table`"
            }
            Self::KeyedUnion | Self::KeyedUnnest => {
                "one change of a key would become several rows or meet others; materialize the model as `table`"
            }
            Self::KeyedJoin => {
                "write it as a left join, so that every change of a key reaches the table, or materialize the model as `table`"
            }
            Self::Subquery => {
                "write it as a join with an unchanging table, or materialize the model as `table`"
            }
        }
    }

    /// Where the statement has it first, as line and column from 1; `None` when it came from a
    /// relation that is read.
    pub(crate) fn find(self, statement: &Statement) -> Option<(usize, usize)> {
        let Statement::Statement(statement) = statement else {
            return None;
        };
        match statement.visit(&mut Finder { operator: self }) {
            ControlFlow::Break(start) => Some(place(start)),
            ControlFlow::Continue(()) => None,
        }
    }
}

/// Where the statement calls a function of that name first.
pub(crate) fn find_call(statement: &Statement, function: &str) -> Option<(usize, usize)> {
    let Statement::Statement(statement) = statement else {
        return None;
    };
    match statement.visit(&mut CallFinder { function }) {
        ControlFlow::Break(start) => Some(place(start)),
        ControlFlow::Continue(()) => None,
    }
}

fn place(start: Location) -> (usize, usize) {
    (start.line as usize, start.column as usize)
}

/// The start of a span, unless the parser left it empty.
fn start(span: Span) -> ControlFlow<Location> {
    if span == Span::empty() {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(span.start)
    }
}

struct Finder {
    operator: Operator,
}

impl Finder {
    fn select(&self, select: &ast::Select) -> ControlFlow<Location> {
        match self.operator {
            Operator::Aggregate => match &select.group_by {
                ast::GroupByExpr::Expressions(exprs, _) if !exprs.is_empty() => {
                    start(exprs[0].span())
                }
                ast::GroupByExpr::All(_) => start(select.select_token.0.span),
                ast::GroupByExpr::Expressions(..) => ControlFlow::Continue(()),
            },
            Operator::Distinct if select.distinct.is_some() => start(select.select_token.0.span),
            Operator::StreamJoin | Operator::OuterJoin | Operator::KeyedJoin => {
                for table in &select.from {
                    for join in &table.joins {
                        start(join.relation.span())?;
                    }
                }
                // `from a, b` is a join too.
                match &select.from[..] {
                    [_, second, ..] => start(second.span()),
                    _ => ControlFlow::Continue(()),
                }
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn set_expr(&self, body: &SetExpr) -> ControlFlow<Location> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::SetOperation {
                left,
                right,
                set_quantifier,
                op,
            } => {
                let distinct = !matches!(
                    set_quantifier,
                    ast::SetQuantifier::All | ast::SetQuantifier::AllByName
                );
                let is_union = matches!(op, ast::SetOperator::Union);
                match self.operator {
                    Operator::Distinct if distinct => start(right.span())?,
                    Operator::StaticUnion | Operator::KeyedUnion if is_union => {
                        start(right.span())?
                    }
                    Operator::StreamJoin | Operator::OuterJoin if !is_union => start(right.span())?,
                    _ => {}
                }
                self.set_expr(left)?;
                self.set_expr(right)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Finder {
    type Break = Location;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Location> {
        match self.operator {
            Operator::Recursive => {
                if let Some(with) = query.with.as_ref().filter(|with| with.recursive) {
                    start(with.with_token.0.span)?;
                }
            }
            Operator::Limit => {
                if let Some(limit) = &query.limit_clause {
                    start(limit.span())?;
                }
                if let Some(quantity) = query
                    .fetch
                    .as_ref()
                    .and_then(|fetch| fetch.quantity.as_ref())
                {
                    start(quantity.span())?;
                }
            }
            Operator::Sort => {
                if let Some(order) = &query.order_by {
                    start(order.span())?;
                }
            }
            _ => {}
        }
        self.set_expr(&query.body)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Location> {
        match (self.operator, expr) {
            (Operator::Window, Expr::Function(call)) if call.over.is_some() => {
                start(call.name.span())
            }
            // An aggregate without `group by`: functions are told apart by the planner, not by the
            // parser, so these are the names that models use.
            (Operator::Aggregate, Expr::Function(call))
                if call.over.is_none() && is_aggregate(call) =>
            {
                start(call.name.span())
            }
            (
                Operator::Subquery,
                Expr::Exists { subquery, .. }
                | Expr::InSubquery { subquery, .. }
                | Expr::Subquery(subquery),
            ) => start(subquery.span()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, _: &TableFactor) -> ControlFlow<Location> {
        ControlFlow::Continue(())
    }
}

fn is_aggregate(call: &ast::Function) -> bool {
    const NAMES: [&str; 14] = [
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "median",
        "stddev",
        "var",
        "array_agg",
        "string_agg",
        "bool_and",
        "bool_or",
        "first_value",
        "last_value",
    ];
    let name = call.name.to_string();
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

struct CallFinder<'a> {
    function: &'a str,
}

impl Visitor for CallFinder<'_> {
    type Break = Location;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Location> {
        match expr {
            Expr::Function(call)
                if call
                    .name
                    .to_string()
                    .trim_matches('"')
                    .eq_ignore_ascii_case(self.function) =>
            {
                start(call.name.span())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
