//! What the agent says about a kernel: `acgs-perf doctor --load --format json`.
//!
//! In: the text, perhaps among other lines of a console. Out: each probe with its state and hooks, and each program with what
//! the kernel's verifier did for it.

use anyhow::{Context, Result};
use serde_json::Value;

/// A probe on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its name.
    pub name: String,
    /// `active`, `disabled` or `unsupported`.
    pub state: String,
    /// Why it is not active.
    pub reason: Option<String>,
    /// The hooks that were chosen.
    pub hooks: Vec<String>,
}

/// A program that the kernel took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Instructions that the verifier went through, over all paths.
    pub verified_instructions: u64,
}

/// The whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// The probes.
    pub probes: Vec<Probe>,
    /// The programs; empty where they were not loaded.
    pub programs: Vec<Program>,
}

impl Diagnosis {
    /// Finds the JSON among the lines: it begins with a lone `{` and ends with a lone `}`, as pretty-printed JSON does.
    pub fn among(lines: &[String]) -> Result<Self> {
        let all = || lines.join("\n");
        let first = lines.iter().position(|line| line == "{").with_context(|| format!("no JSON in: {}", all()))?;
        let last =
            lines.iter().rposition(|line| line == "}").with_context(|| format!("no end of JSON in: {}", all()))?;
        let text = lines.get(first..=last).unwrap_or_default().join("\n");
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text).with_context(|| format!("the doctor's JSON: {text}"))?;
        let list = |name: &str| json[name].as_array().cloned().unwrap_or_default();
        let text = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
        let probe = |value: &Value| {
            let hooks = value["hooks"].as_array().into_iter().flatten().filter_map(Value::as_str);
            Some(Probe {
                name: text(value, "name")?,
                state: text(value, "state")?,
                reason: text(value, "reason"),
                hooks: hooks.map(str::to_owned).collect(),
            })
        };
        let program = |value: &Value| {
            let verified_instructions = value["verified_instructions"].as_u64()?;
            Some(Program { name: text(value, "name")?, verified_instructions })
        };
        Ok(Self {
            probes: list("probes").iter().filter_map(probe).collect(),
            programs: list("programs").iter().filter_map(program).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"a warning before
{
  "probes": [
    {"name": "tcp", "state": "unsupported", "reason": "why", "hooks": ["tp_btf/a"]},
    {"name": "sched", "state": "active", "hooks": ["tp_btf/b", "tp_btf/c"]}
  ],
  "programs": [
    {"name": "sched_switch", "hook": "tp_btf/sched_switch", "verified_instructions": 4321, "translated_bytes": 1},
    {"name": "old", "hook": "tp_btf/x"}
  ]
}
@ something after"#;

    #[test]
    fn probes_and_programs_are_found_among_other_lines() {
        let lines: Vec<String> = TEXT.lines().map(str::to_owned).collect();
        let found = Diagnosis::among(&lines).unwrap();
        assert_eq!(found.probes[0].reason.as_deref(), Some("why"));
        assert_eq!(found.probes[1].hooks, ["tp_btf/b", "tp_btf/c"]);
        // A kernel that does not say how much it verified is unknown, not 0.
        assert_eq!(found.programs, [Program { name: "sched_switch".into(), verified_instructions: 4321 }]);
    }

    #[test]
    fn without_json_the_error_has_what_was_said() {
        let error = Diagnosis::among(&["acgs-perf: no".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("acgs-perf: no"), "{error}");
    }
}
