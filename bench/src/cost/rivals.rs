//! Other tools that answer the same questions, each with the command line that one would type.
//!
//! In: what is recorded. Out: the command, how one knows that it is attached, and a text that its output has when it
//! measured something.

/// What is recorded.
#[derive(Clone, Debug)]
pub struct Target {
    /// The agent's selector.
    pub selector: String,
    /// The process that answers.
    pub pid: u32,
    /// Its name in the kernel, where one process is not enough: every connection has a process of its own.
    pub comm: Option<&'static str>,
}

/// When a tool counts as attached.
#[derive(Clone, Debug)]
pub enum Ready {
    /// Its output has this text.
    Says(&'static str),
    /// It says nothing, and is still there after so many ms.
    After(u64),
}

/// A tool.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Program and arguments.
    pub words: Vec<String>,
    /// When it is attached.
    pub ready: Ready,
    /// Its output has this at the end.
    pub proof: &'static str,
}

impl Target {
    /// A condition of bpftrace on the running task.
    fn current(&self) -> String {
        self.comm.map_or_else(|| format!("pid == {}", self.pid), |comm| format!("comm == \"{comm}\""))
    }

    /// A condition on a task that a scheduler tracepoint names by these two fields.
    fn task(&self, pid: &str, comm: &str) -> String {
        match self.comm {
            Some(name) => format!("args->{comm} == \"{name}\""),
            None => format!("args->{pid} == {}", self.pid),
        }
    }

    /// The option by which a tool takes a process; none where one process is not enough, and the tool sees the host.
    fn option(&self) -> Vec<String> {
        if self.comm.is_some() { Vec::new() } else { vec!["-p".to_owned(), self.pid.to_string()] }
    }
}

/// Says once that everything is attached: bpftrace attaches in the order of the text, and this comes last.
const READY: &str = "interval:ms:200 /!@ready/ { printf(\"ready\\n\"); @ready = 1; }";

fn bpftrace(programs: &[String], maps: &[&str]) -> Tool {
    // What is in flight is not part of the answer.
    let end: String = maps.iter().map(|map| format!(" clear({map});")).collect();
    let text = format!("{} END {{{end} }} {READY}", programs.join(" "));
    Tool { words: ["bpftrace", "-e", &text].map(str::to_owned).to_vec(), ready: Ready::Says("ready"), proof: "|@@" }
}

/// Latency from the moment the bytes were ready, and queue time.
fn requests_text(target: &Target) -> String {
    let task = target.current();
    format!(
        "tracepoint:sock:sk_data_ready {{ @arrived[args->skaddr] = nsecs; }} \
         tracepoint:sock:sock_recv_length /{task} && args->ret > 0 && @arrived[args->sk]/ \
         {{ @queue_time = hist(nsecs - @arrived[args->sk]); }} \
         tracepoint:sock:sock_send_length /{task} && args->ret > 0 && @arrived[args->sk]/ \
         {{ @latency = hist(nsecs - @arrived[args->sk]); delete(@arrived[args->sk]); }}"
    )
}

/// As bpftrace's own runqlat.bt does it, for one service.
fn run_queue_text(target: &Target) -> String {
    let (woken, left) = (target.task("pid", "comm"), target.task("prev_pid", "prev_comm"));
    format!(
        "tracepoint:sched:sched_wakeup, tracepoint:sched:sched_wakeup_new /{woken}/ {{ @queued[args->pid] = nsecs; }} \
         tracepoint:sched:sched_switch {{ if (args->prev_state == 0 && {left}) {{ @queued[args->prev_pid] = nsecs; }} \
         $since = @queued[args->next_pid]; \
         if ($since) {{ @run_queue = hist(nsecs - $since); delete(@queued[args->next_pid]); }} }}"
    )
}

fn syscalls_text(target: &Target) -> String {
    let task = target.current();
    format!(
        "tracepoint:raw_syscalls:sys_enter /{task}/ {{ @entered[tid] = nsecs; }} \
         tracepoint:raw_syscalls:sys_exit /@entered[tid]/ \
         {{ @syscall[args->id] = hist(nsecs - @entered[tid]); delete(@entered[tid]); }}"
    )
}

/// Request latency.
pub fn requests(target: &Target) -> Tool {
    bpftrace(&[requests_text(target)], &["@arrived"])
}

/// Run-queue latency.
pub fn run_queue(target: &Target) -> Tool {
    bpftrace(&[run_queue_text(target)], &["@queued"])
}

/// What the always-on agent answers, as far as a line can.
pub fn requests_and_run_queue(target: &Target) -> Tool {
    bpftrace(&[requests_text(target), run_queue_text(target)], &["@arrived", "@queued"])
}

/// Latency of system calls.
pub fn syscalls(target: &Target) -> Tool {
    bpftrace(&[syscalls_text(target)], &["@entered"])
}

/// All three questions.
pub fn all_three(target: &Target) -> Tool {
    let programs = [requests_text(target), run_queue_text(target), syscalls_text(target)];
    bpftrace(&programs, &["@arrived", "@queued", "@entered"])
}

fn tool(words: &[&str], target: Vec<String>, ready: Ready, proof: &'static str) -> Tool {
    let words = words.iter().map(|word| (*word).to_owned()).chain(target).collect();
    Tool { words, ready, proof }
}

/// libbpf-tools.
pub fn runqlat(target: &Target) -> Tool {
    tool(&["runqlat"], target.option(), Ready::After(1000), "distribution")
}

/// libbpf-tools.
pub fn syscount(target: &Target) -> Tool {
    tool(&["syscount", "-L"], target.option(), Ready::After(1000), "COUNT")
}

/// libbpf-tools.
pub fn offcputime(target: &Target) -> Tool {
    tool(&["offcputime"], target.option(), Ready::After(1500), "schedule")
}

/// The kernel's own; it does not follow processes that start later.
pub fn perf_trace(target: &Target) -> Tool {
    let whom = if target.comm.is_some() { vec!["-a".to_owned()] } else { target.option() };
    tool(&["perf", "trace", "-s"], whom, Ready::After(1000), "stddev")
}

/// By ptrace.
pub fn strace(target: &Target) -> Tool {
    let pid = target.pid.to_string();
    tool(&["strace", "-c", "-f", "-p", &pid], Vec::new(), Ready::Says("attached"), "usecs/call")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_selected_by_id_and_many_by_name() {
        let mut target = Target { selector: "port:1".into(), pid: 7, comm: None };
        assert!(syscalls(&target).words[2].contains("sys_enter /pid == 7/"));
        assert_eq!(runqlat(&target).words, ["runqlat", "-p", "7"]);
        target.comm = Some("postgres");
        assert!(run_queue(&target).words[2].contains("args->prev_comm == \"postgres\""));
        assert_eq!(runqlat(&target).words, ["runqlat"]);
        assert_eq!(perf_trace(&target).words, ["perf", "trace", "-s", "-a"]);
    }

    #[test]
    fn what_says_ready_comes_last() {
        let target = Target { selector: "port:1".into(), pid: 7, comm: None };
        let text = &all_three(&target).words[2];
        assert!(text.ends_with(READY) && text.contains("clear(@arrived); clear(@queued); clear(@entered);"), "{text}");
    }
}
