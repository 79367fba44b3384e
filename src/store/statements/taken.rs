//! Locking invites within a transaction.

use crate::store::error::Result;
use crate::store::row::Value;
use crate::store::session::Session;

/// Locks invites until the end of the transaction. PostgreSQL counts uses as of the beginning of a
/// statement: one that begins before the rows are locked would miss what another transaction has
/// just done.
pub async fn take_rows(session: &mut Session<'_>, condition: &str, values: &[Value]) -> Result<()> {
    session.execute(&format!("UPDATE invite SET taken = taken WHERE {condition}"), values).await?;
    Ok(())
}
