//! Statements on a connection to PostgreSQL. A statement whose result nobody needs is sent together
//! with the next one, so that a transaction takes fewer round trips.

use deadpool_postgres::StatementCache;
use futures::FutureExt;
use futures::future::{join, join_all};
use tokio_postgres::{Client, Error, Row};

use super::statement::parameters;
use crate::store::row::Value;

/// A connection, in a transaction or outside of one. If this is dropped before the transaction is
/// committed, it is rolled back.
pub struct Pipeline<'a> {
    client: &'a Client,
    prepared: &'a StatementCache,
    /// The statements that are sent with the next one.
    waiting: Vec<(String, Vec<Value>)>,
    state: State,
}

/// Where the transaction of a pipeline stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is none, or it has ended.
    Outside,
    /// The statements that begin it have not been sent yet.
    Beginning,
    /// The server has begun it.
    Open,
}

impl<'a> Pipeline<'a> {
    /// A connection outside of a transaction.
    pub fn new(client: &'a Client, prepared: &'a StatementCache) -> Self {
        Pipeline { client, prepared, waiting: Vec::new(), state: State::Outside }
    }

    /// A connection in a transaction that begins with these statements.
    pub fn begin(client: &'a Client, prepared: &'a StatementCache, statements: &[&str]) -> Self {
        let waiting = statements.iter().map(|sql| ((*sql).to_owned(), Vec::new())).collect();
        Pipeline { client, prepared, waiting, state: State::Beginning }
    }

    /// Sends a statement with the next one, which fails if this one does.
    pub fn later(&mut self, sql: String, values: Vec<Value>) {
        self.waiting.push((sql, values));
    }

    /// Runs a statement, and returns its rows.
    pub async fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        let waiting = self.before(sql).await?;
        let (client, statement) = (self.client, self.prepared.prepare(self.client, sql).await?);
        self.run(waiting, client.query(&statement, &parameters(values))).await
    }

    /// Runs a statement, and returns how many rows it changed.
    pub async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error> {
        let waiting = self.before(sql).await?;
        let (client, statement) = (self.client, self.prepared.prepare(self.client, sql).await?);
        self.run(waiting, client.execute(&statement, &parameters(values))).await
    }

    /// Sends the statements that still wait, and then commits. Outside of a transaction, it does
    /// nothing.
    pub async fn commit(mut self) -> Result<(), Error> {
        if self.state == State::Outside {
            return Ok(());
        }
        let waiting = self.before("COMMIT").await?;
        self.run(waiting, async { Ok(()) }).await?;
        self.state = State::Outside;
        self.client.batch_execute("COMMIT").await
    }

    /// The statements to send with this one. If one of them may change something, first sends those
    /// that begin the transaction, and waits for their success: without a transaction, the change
    /// would stay, whatever fails after it.
    async fn before(&mut self, sql: &str) -> Result<Vec<(String, Vec<Value>)>, Error> {
        if self.state == State::Beginning {
            let changing = self.waiting.iter().position(|(sql, _)| changes(sql));
            if let Some(harmless) = changing.or(changes(sql).then_some(self.waiting.len())) {
                let first = self.waiting.drain(..harmless).collect();
                self.run(first, async { Ok(()) }).await?;
            }
        }
        Ok(std::mem::take(&mut self.waiting))
    }

    /// Sends all statements without waiting in between, and the last one after them. Returns the
    /// error of the first one that fails: the server runs none of the transaction after it.
    async fn run<T>(
        &mut self,
        statements: Vec<(String, Vec<Value>)>,
        last: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let client = self.client;
        let mut prepared = Vec::with_capacity(statements.len());
        for (sql, values) in &statements {
            prepared.push((self.prepared.prepare(client, sql).await?, parameters(values)));
        }
        if self.state == State::Beginning {
            self.state = State::Open;
        }
        // Each is sent when its future is polled first, in this order.
        let waiting = prepared.iter().map(|(statement, parameters)| client.execute(statement, parameters));
        answered(join_all(waiting), last).await
    }
}

/// The server gets the ROLLBACK before a statement of the connection's next user.
impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        if self.state == State::Open {
            drop(self.client.batch_execute("ROLLBACK").now_or_never());
        }
    }
}

/// The answer to the last of some statements, or the first of them that is an error. All are waited
/// for: whoever looks at one after the other may find a later answer first.
async fn answered<D, T, E>(
    waiting: impl Future<Output = Vec<Result<D, E>>>,
    last: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let (done, value) = join(waiting, last).await;
    done.into_iter().collect::<Result<Vec<_>, _>>()?;
    value
}

/// Whether a statement may change something.
fn changes(sql: &str) -> bool {
    !["SELECT ", "SET ", "START ", "SAVEPOINT "].iter().any(|beginning| sql.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    /// An answer that is there when it is looked for the second time.
    async fn late(answer: Result<(), &str>) -> Result<(), &str> {
        yield_now().await;
        answer
    }

    #[tokio::test]
    async fn of_several_errors_the_one_of_the_first_statement_is_told() {
        const ABORTED: Result<(), &str> = Err("current transaction is aborted");
        let lock = async || late(Err("deadlock detected")).await;
        let now = async |answer: Result<(), &'static str>| answer;
        assert_eq!(answered(join_all([lock()]), now(ABORTED)).await, Err("deadlock detected"));
        let waiting = [lock().boxed(), now(ABORTED).boxed()];
        assert_eq!(answered(join_all(waiting), now(ABORTED)).await, Err("deadlock detected"));
        assert_eq!(answered(join_all([late(Ok(()))]), lock()).await, Err("deadlock detected"));
        assert_eq!(answered(join_all([late(Ok(()))]), now(Ok(()))).await, Ok(()));
    }
}
