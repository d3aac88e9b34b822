//! The tables of a report as types: whoever needs a row reads it here, and no field by its name.
//!
//! In: the tables of a service, or those of the recording. Out: rows, in the order of the report. A field that a report of another version
//! does not have is empty, and a row that it has in another shape is left out.

use std::collections::BTreeMap;

use acgs_perf_protocol::Kind;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::model::Distribution;
use crate::live::probes::endpoints::kind_named;
use crate::live::probes::{block_io, called_endpoints, endpoints, memory};
use crate::live::{host_cpu, workers};

/// A row of a table.
pub trait TableRow: DeserializeOwned {
    /// The field of the report that has the table.
    const SECTION: &'static str;
}

/// The rows of a table; `None` where the report does not have it.
#[must_use]
pub fn rows<T: TableRow>(tables: &BTreeMap<String, Value>) -> Option<Vec<T>> {
    let rows = tables.get(T::SECTION)?.as_array()?;
    Some(rows.iter().filter_map(|row| T::deserialize(row).ok()).collect())
}

/// The time of all values together.
fn sum_ns(of: &Distribution) -> u64 {
    of.sum_ns.or_else(|| Some(of.mean_ns?.saturating_mul(of.count))).unwrap_or(0)
}

/// Requests by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub struct EndpointRow {
    /// Protocol; empty in the row of all that have no figures of their own.
    pub protocol: String,
    /// Whether somebody waits for the answer.
    pub kind: String,
    /// Route, command or statement.
    pub name: String,
    /// Requests answered.
    pub requests: u64,
    /// Of these, those whose reply is an error.
    pub failed: u64,
    /// Of the failed ones, those that the reply calls the client's fault.
    pub refused: u64,
    /// Those whose reply went on as a stream.
    pub streamed: u64,
    /// Latency.
    pub latency: Distribution,
}

impl TableRow for EndpointRow {
    const SECTION: &'static str = endpoints::SECTION;
}

impl EndpointRow {
    /// Whether it has a name, and somebody waits for its answers.
    #[must_use]
    pub fn is_request(&self) -> bool {
        kind_named(&self.kind) == Some(Kind::Request)
    }

    /// Whether its answers come when something happens: they take nobody's time.
    #[must_use]
    pub fn waits_by_design(&self) -> bool {
        kind_named(&self.kind) == Some(Kind::WaitByDesign)
    }

    /// The time of all its requests.
    #[must_use]
    pub fn time_ns(&self) -> u64 {
        if self.waits_by_design() { 0 } else { sum_ns(&self.latency) }
    }

    /// The P99, or what it is at least.
    #[must_use]
    pub fn p99_ns(&self) -> Option<u64> {
        self.latency.p99_ns.or(self.latency.p99_at_least_ns)
    }

    /// Replies that the service calls its own fault.
    #[must_use]
    pub fn own_faults(&self) -> u64 {
        self.failed.saturating_sub(self.refused)
    }
}

/// Calls to peers by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub struct CallRow {
    /// Address of the peer; empty in the row of all that have no figures of their own.
    pub peer: String,
    /// Protocol.
    pub protocol: String,
    /// Whether the service waits for the answer.
    pub kind: String,
    /// Route, command or statement.
    pub name: String,
    /// Calls answered.
    pub calls: u64,
    /// Of these, those whose answer is an error.
    pub failed: u64,
    /// Calls that followed one for the same within a request.
    pub repeated: u64,
    /// Latency.
    pub latency: Distribution,
}

impl TableRow for CallRow {
    const SECTION: &'static str = called_endpoints::SECTION;
}

impl CallRow {
    /// The time of all of them.
    #[must_use]
    pub fn time_ns(&self) -> u64 {
        sum_ns(&self.latency)
    }

    /// Whether it has a name, and the service waits for its answers.
    #[must_use]
    pub fn is_request(&self) -> bool {
        kind_named(&self.kind) == Some(Kind::Request)
    }
}

/// Block I/O by device and operation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub struct BlockIoRow {
    /// Major and minor number.
    pub device: String,
    /// Name of the disk; empty if it is gone.
    pub disk: String,
    /// read, write or other.
    pub operation: String,
    /// Requests completed.
    pub requests: u64,
    /// Made → handed to the device.
    pub queue_time: Distribution,
    /// Handed to the device → completed.
    pub device_time: Distribution,
}

impl TableRow for BlockIoRow {
    const SECTION: &'static str = block_io::BLOCK_IO;
}

/// Page faults by kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub struct PageFaultRow {
    /// minor, or major if a disk was read.
    pub kind: String,
    /// How many.
    pub faults: u64,
}

impl TableRow for PageFaultRow {
    const SECTION: &'static str = memory::PAGE_FAULTS;
}

/// Stalls for memory by kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub struct MemoryStallRow {
    /// What was done meanwhile.
    pub kind: String,
    /// How long each took.
    pub time: Distribution,
}

impl TableRow for MemoryStallRow {
    const SECTION: &'static str = memory::MEMORY_STALLS;
}

/// Pressure of memory by control group.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub struct MemoryPressureRow {
    /// Path of the group, or the host.
    pub of: String,
    /// some, or full if all its threads stalled.
    pub kind: String,
    /// Time stalled.
    pub stalled_ns: u64,
}

impl TableRow for MemoryPressureRow {
    const SECTION: &'static str = memory::MEMORY_PRESSURE;
}

/// What a process of the service has answered.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub struct WorkerRow {
    /// Process.
    pub pid: String,
    /// Its command.
    pub comm: String,
    /// Requests answered.
    pub requests: u64,
    /// Of these, those that were slower than the P99 had been.
    pub slow: u64,
}

impl TableRow for WorkerRow {
    const SECTION: &'static str = workers::SECTION;
}

/// What a CPU of the host did.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub struct HostCpuRow {
    /// Had nothing to do.
    pub idle_ns: u64,
    /// Ran programs.
    pub user_ns: u64,
    /// Ran the kernel.
    pub system_ns: u64,
    /// Had nothing to do while a thread waited for a disk.
    pub io_wait_ns: u64,
    /// Was taken by the host of this virtual machine.
    pub steal_ns: u64,
}

impl TableRow for HostCpuRow {
    const SECTION: &'static str = host_cpu::SECTION;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::live::probes;
    use crate::live::table::TableSpec;

    fn has_fields_of<T: TableRow + Default + serde::Serialize>(specs: &[&TableSpec]) {
        let spec = specs.iter().find(|spec| spec.section == T::SECTION).expect("a table of this name");
        let declared: BTreeSet<&str> =
            spec.names.iter().map(|of| of.name).chain(spec.columns.iter().map(|of| of.name)).collect();
        let row = serde_json::to_value(T::default()).expect("it can be written");
        for field in row.as_object().expect("it has fields").keys() {
            assert!(declared.contains(field.as_str()), "{}: {field} is not among {declared:?}", T::SECTION);
        }
    }

    #[test]
    fn rows_have_no_field_that_no_probe_declares() {
        let specs: Vec<&TableSpec> = probes::tables().map(|(_, spec)| spec).collect();
        has_fields_of::<EndpointRow>(&specs);
        has_fields_of::<CallRow>(&specs);
        has_fields_of::<BlockIoRow>(&specs);
        has_fields_of::<PageFaultRow>(&specs);
        has_fields_of::<MemoryStallRow>(&specs);
        has_fields_of::<MemoryPressureRow>(&specs);
        has_fields_of::<WorkerRow>(&specs);
        has_fields_of::<HostCpuRow>(&specs);
    }

    #[test]
    fn what_a_report_does_not_have_is_empty_and_what_it_has_otherwise_is_left_out() {
        let table = serde_json::json!([{"name": "GET /a", "requests": 3}, {"name": "GET /b", "requests": "many"}, 7]);
        let tables = BTreeMap::from([(EndpointRow::SECTION.to_owned(), table)]);
        let found = rows::<EndpointRow>(&tables).expect("the table is there");
        assert_eq!(found, [EndpointRow { name: "GET /a".into(), requests: 3, ..EndpointRow::default() }]);
        assert_eq!(rows::<CallRow>(&tables), None);
    }
}
