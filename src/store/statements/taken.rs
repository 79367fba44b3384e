//! Keeping others away from invites within a transaction.

use crate::store::error::Result;
use crate::store::row::Value;
use crate::store::session::Session;

/// Keeps others from these invites until the end of the transaction. PostgreSQL counts uses as of the beginning of a
/// statement: one that began before the rows were taken would miss what somebody else just did.
pub async fn take_rows(session: &mut Session<'_>, condition: &str, values: &[Value]) -> Result<()> {
    session.execute(&format!("UPDATE invite SET taken = taken WHERE {condition}"), values).await?;
    Ok(())
}
