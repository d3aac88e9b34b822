//! Booting a kernel in QEMU and reading its console.
//!
//! In: a kernel's image and its initial file system. Out: each line of the console as it comes, and why the machine ended.
//! No disk, no network card, no modules.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use acgs_perf_setup::process::describe;
use anyhow::{Context, Result};

use crate::console::Console;
use crate::initial;
use crate::programs::Programs;

/// The program.
pub const QEMU: &str = "qemu-system-x86_64";
/// A boot takes 2 to 5 s in emulation; an archive of this size some more.
const BOOT: Duration = Duration::from_secs(120);
/// A kernel of the matrix takes some twenty minutes, and more where the host is busy.
const WHOLE: Duration = Duration::from_secs(3600);
/// A boot that uses the hardware takes about a second.
const PROBE: Duration = Duration::from_secs(30);
const MEMORY: &str = "1024M";

/// Who runs the machine's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceleration {
    /// The processor itself.
    Hardware,
    /// QEMU's emulation, one thread for all virtual CPUs. With one thread for each, kernels that patch their own text, as
    /// attaching to functions does, crash or hang (QEMU 7.2).
    Emulation,
    /// The same with one virtual CPU, whose clock runs by the instructions that it has executed, one in a nanosecond, and with
    /// nothing left to chance: the same image does the same, to the instruction, however busy the host is.
    /// <https://www.qemu.org/docs/master/devel/tcg-icount.html>
    Counting {
        /// CPUs that the kernel makes room for, of which one is there.
        possible: u32,
    },
}

/// What the kernel is told.
///
/// The kernel's trial of its timer fails at times on a busy machine, which the guest takes for a broken one and panics.
const WORDS: &str = "console=ttyS0 panic=-1 quiet no_timer_check";
/// And where instructions are counted: addresses as they are linked, and the counter as the only clock. Sleeping takes none of
/// them, since the clock then jumps to the next timer.
const COUNTING: [&[&str]; 2] = [
    &["-icount", "shift=0,sleep=off", "-seed", "1", "-rtc", "base=2026-01-01,clock=vm"],
    &["nokaslr", "norandmaps", "tsc=reliable", "clocksource=tsc", "tsc_early_khz=1000000"],
];

impl Acceleration {
    /// What a real boot shows to work: a `/dev/kvm` may be there and be unusable.
    pub fn of_this_machine(vmlinuz: &Path, programs: &Programs, directory: &Path) -> Result<Self> {
        let usable = OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
        if !usable {
            return Ok(Self::Emulation);
        }
        let initrd = directory.join("probe.cpio");
        let init = Programs { binaries: programs.only_init(), ..Programs::default() };
        fs::write(&initrd, initial::files(&init, &[])?).with_context(|| format!("write {}", initrd.display()))?;
        let mut console = Console::default();
        let ended = Self::Hardware.boot(vmlinuz, &initrd, (PROBE, PROBE), |line| {
            console.note(line);
            console.release.is_some()
        });
        Ok(if ended.is_ok_and(|ended| ended == Ended::ByItself) && console.done {
            Self::Hardware
        } else {
            Self::Emulation
        })
    }

    /// For the output and the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hardware => "KVM",
            Self::Emulation => "TCG",
            Self::Counting { .. } => "TCG, counting instructions",
        }
    }

    /// CPUs of this machine that one virtual machine keeps busy.
    pub fn cpus(self) -> usize {
        match self {
            Self::Hardware => 2,
            Self::Emulation | Self::Counting { .. } => 1,
        }
    }

    /// Runs a machine with the limits of the matrix, `times` as long.
    pub fn run(self, vmlinuz: &Path, initrd: &Path, times: u32, line: impl FnMut(&str) -> bool) -> Result<Ended> {
        self.boot(vmlinuz, initrd, (BOOT, WHOLE * times), line)
    }

    /// Boots, hands each line to `line`, which says whether the machine is up, and waits for the end.
    fn boot(
        self,
        vmlinuz: &Path,
        initrd: &Path,
        (boot, whole): (Duration, Duration),
        mut line: impl FnMut(&str) -> bool,
    ) -> Result<Ended> {
        let mut command = self.command(vmlinuz, initrd);
        let words = describe(&command);
        let mut child = command.spawn().with_context(|| format!("start `{words}`"))?;
        let console = child.stdout.take().context("no console")?;
        let machine = Machine(child);
        let (sender, lines) = channel();
        thread::spawn(move || {
            // The console is bytes; a kernel that dies may print anything.
            let bytes = BufReader::new(console).split(b'\n').map_while(Result::ok);
            for line in bytes {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
        let start = Instant::now();
        let mut up = false;
        loop {
            let limit = if up { whole } else { boot };
            match lines.recv_timeout(limit.saturating_sub(start.elapsed())) {
                Ok(text) => up |= line(&text),
                Err(RecvTimeoutError::Disconnected) => return machine.end(),
                Err(RecvTimeoutError::Timeout) => return Ok(Ended::TimedOut(limit)),
            }
        }
    }

    fn command(self, vmlinuz: &Path, initrd: &Path) -> Command {
        let mut command = Command::new(QEMU);
        match self {
            Self::Hardware => command.args(["-accel", "kvm", "-cpu", "host"]),
            Self::Emulation | Self::Counting { .. } => command.args(["-accel", "tcg,thread=single", "-cpu", "qemu64"]),
        };
        let (mut cpus, mut words) = ("2".to_owned(), WORDS.to_owned());
        if let Self::Counting { possible } = self {
            let [of_machine, of_kernel] = COUNTING;
            command.args(of_machine);
            cpus = if possible > 1 { format!("1,maxcpus={possible}") } else { "1".to_owned() };
            words = format!("{WORDS} {}", of_kernel.join(" "));
        }
        command.args(["-M", "pc", "-smp", &cpus, "-m", MEMORY, "-nodefaults", "-nic", "none", "-display", "none"]);
        command.args(["-serial", "stdio", "-no-reboot", "-kernel"]).arg(vmlinuz).arg("-initrd").arg(initrd);
        command.args(["-append", &words]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // SAFETY: prctl is a system call and nothing else, which may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                // Ends with this process, however that ends.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            })
        };
        if self == Self::Hardware {
            // That it does not work is the answer, and no complaint.
            command.stderr(Stdio::null());
        }
        command
    }
}

/// Why a machine is not running any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It switched itself off, or rebooted after a panic.
    ByItself,
    /// QEMU failed.
    Failed,
    /// It took longer than this, and was ended.
    TimedOut(Duration),
}

/// A running QEMU, ended with this value.
struct Machine(Child);

impl Machine {
    fn end(mut self) -> Result<Ended> {
        let status = self.0.wait().context("wait for QEMU")?;
        Ok(if status.success() { Ended::ByItself } else { Ended::Failed })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
