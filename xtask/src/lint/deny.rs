//! x
pub fn check() -> anyhow::Result<()> {
    Ok(())
}
