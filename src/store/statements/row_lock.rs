//! Locks the rows of invites within a transaction.

use crate::store::error::Result;
use crate::store::row::Value;
use crate::store::session::Session;

/// Locks the rows of the invites that meet a condition, until the transaction ends. In PostgreSQL,
/// a statement sees the rows as they were when it began. So what another transaction has just
/// committed is only seen by a statement that begins after the rows are locked.
pub async fn lock_invites(session: &mut Session<'_>, condition: &str, values: &[Value]) -> Result<()> {
    session.execute(&format!("UPDATE invite SET taken = taken WHERE {condition}"), values).await?;
    Ok(())
}
