//! `--config` of a verb that reads captures: other rules for what was recorded.
//!
//! In: a capture, which has its rows as the kernel side has named them, and a configuration. Out: the same capture, to be cut by the routes,
//! kinds and objectives of that.

use std::path::Path;

use crate::discover::config;
use crate::snapshot::Context;

/// Has the services of a recording follow the configuration: those that it names in all, others in what it says of endpoints.
///
/// # Errors
/// When it cannot be read.
pub fn apply(path: &Path, context: &mut Context) -> anyhow::Result<()> {
    let config = config::load(path)?;
    for service in &mut context.services {
        // Of a merged capture that keeps hosts apart.
        let name = service.name.split('@').next().unwrap_or_default();
        match config.services.iter().find(|spec| spec.name == service.name || spec.name == name) {
            Some(spec) => {
                service.objective = spec.objective;
                service.endpoints.clone_from(&spec.endpoints);
            }
            None => service.endpoints.clone_from(&config.endpoints),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::capture;

    #[test]
    fn a_capture_follows_another_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.toml");
        let mut context = capture().context;
        let mut other = context.services[0].clone();
        other.name = "other".into();
        context.services.push(other);
        std::fs::write(&path, "routes = [\"/a/{x}\"]\n[services.redis]\nselector = 1\np99_ms = 9\nroutes = [\"/b\"]\n")
            .unwrap();
        apply(&path, &mut context).unwrap();
        let [own, other] = [0, 1].map(|at| &context.services[at]);
        assert_eq!((own.objective.p99.as_millis(), own.endpoints.routes.join(" ")), (9, "/b /a/{x}".into()));
        assert_eq!((other.objective, other.endpoints.routes.join(" ")), (Default::default(), "/a/{x}".into()));
        assert!(apply(Path::new("/nonexistent"), &mut context).is_err());
    }
}
