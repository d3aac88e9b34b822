//! `bench instructions`: guest instructions per request and per kernel program, in a machine that counts them; and the gate that
//! holds each program to the committed count.
//!
//! In: a kernel of the VM ring, the static builds; root only where apt or setup need it. Out: the page on standard output; with
//! `--accept` the page, `docs/cost-instructions.tsv` and the first table of `docs/cost.md`; with `--check` failure when a program
//! grew; with `--rivals` the same of other tools.

mod figures;
mod gate;
mod guest;
mod many;
mod plan;
mod rivals;
mod summary;
mod table;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use acgs_perf_setup::process::{cargo, output, root};
use acgs_perf_setup::{self as setup, Toolchain};
use acgs_perf_vm::image::{self, Image};
use acgs_perf_vm::kernels::{self, KERNELS, Kernel};
use acgs_perf_vm::{directory, programs, qemu};
use anyhow::{Context, Result, bail};

use crate::cost::opening;
use figures::Figures;
use gate::{Change, Ground, ROOM, ROOM_ELSEWHERE, Table};
use guest::Machine;

/// The kernel of a first table.
const FIRST: &str = "6.18";
const PAGE: &str = "docs/cost-instructions.md";
const TABLE: &str = "docs/cost-instructions.tsv";
const RIVALS_PAGE: &str = "docs/cost-rivals.md";
const RIVALS_TABLE: &str = "docs/cost-rivals.tsv";
const COMMAND: &str = "cargo xtask bench instructions";

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The kernel, by its name in the list of `test --vm list` [default: that of the table, else 6.18].
    #[arg(long, conflicts_with = "check")]
    kernel: Option<String>,
    /// Compare with the table, and fail when a program grew or anything else than programs is different.
    #[arg(long)]
    check: bool,
    /// With --check: where kernel or compiler are others than the table's, compare by 10 % instead of failing.
    #[arg(long, requires = "check", hide = true)]
    elsewhere: bool,
    /// Take the counts as they are now into the table and the pages.
    #[arg(long, conflicts_with = "check")]
    accept: bool,
    /// Other tools beside ours, in a machine of their own.
    #[arg(long, conflicts_with = "check")]
    rivals: bool,
    /// Many services with many endpoints, and room for many CPUs, in a machine of their own.
    #[arg(long, conflicts_with_all = ["check", "rivals"])]
    many: bool,
}

/// The whole task.
pub fn instructions(options: &Options) -> Result<()> {
    let before = read(TABLE)?;
    if options.check {
        let before = before.with_context(|| format!("there is no {TABLE}; `{COMMAND} --accept` makes it"))?;
        return check(&before, !options.elsewhere);
    }
    let toolchain = setup::ensure_for_vm()?;
    let image = match (&options.kernel, &before) {
        (Some(name), _) => image::ensure(kernels::chosen(std::slice::from_ref(name))?[0], &directory()?)?,
        (None, Some(table)) => image_of(table)?,
        (None, None) => image::ensure(kernels::chosen(&[FIRST.to_owned()])?[0], &directory()?)?,
    };
    if options.many {
        return many(&image, &toolchain, options.accept);
    }
    if options.rivals {
        return rivals(&image, &toolchain, before.as_ref(), options.accept);
    }
    let (figures, ground) = count(&image, &toolchain)?;
    let page = table::page(&figures, &ground, &others());
    if !options.accept {
        print!("{page}");
        return Ok(());
    }
    if let Some(before) = &before {
        let differences = ground.differences(&before.ground);
        for line in changes(before, &figures, ROOM).iter().map(Change::to_string).chain(differences.iter().cloned()) {
            println!("accepted: {line}");
        }
        if !differences.is_empty() {
            println!("The ground is another one: commit this alone, on a tree that passed before.");
        }
    }
    let table = Table { ground, rows: figures.rows };
    write(PAGE, &page)?;
    write(TABLE, &table.text())?;
    open(&table, read(RIVALS_TABLE)?.as_ref())
}

/// Counts other tools.
fn rivals(image: &Image, toolchain: &Toolchain, own: Option<&Table>, accept: bool) -> Result<()> {
    setup::ensure_rivals();
    let programs = programs::build(toolchain, &[])?;
    let machine = Machine { image, programs: &programs, step: rivals::step()?, more: rivals::files()?, possible: 1 };
    let mut figures = Figures::among(&guest::run(&machine)?)?;
    // Their programs are theirs, and the gate is not for them.
    figures.rows.retain(|row| row.what == figures::WHOLE);
    let compiler = format!("{}; {}", toolchain.versions(), rivals::versions()?);
    let ground = Ground { kernel: image.package.clone(), compiler };
    let page = rivals::page(&figures, &ground);
    if !accept {
        print!("{page}");
        return Ok(());
    }
    let table = Table { ground, rows: figures.rows };
    write(RIVALS_PAGE, &page)?;
    write(RIVALS_TABLE, &table.text())?;
    own.map_or(Ok(()), |own| open(own, Some(&table)))
}

/// Counts many services.
fn many(image: &Image, toolchain: &Toolchain, accept: bool) -> Result<()> {
    let programs = programs::build(toolchain, &[])?;
    let mut runs = Vec::new();
    for case in many::CASES {
        let machine =
            Machine { image, programs: &programs, step: case.step(), more: Vec::new(), possible: case.possible };
        runs.push((case, many::Outcome::among(&guest::run(&machine)?)?));
    }
    let page = many::page(&runs, &image.package);
    if !accept {
        print!("{page}");
        return Ok(());
    }
    write(many::PAGE, &page)
}

/// Writes the table that the page on cost begins with.
fn open(own: &Table, rivals: Option<&Table>) -> Result<()> {
    let path = root().join(opening::PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    write(opening::PAGE, &opening::replaced(&page, &summary::text(own, rivals))?)
}

fn write(name: &str, text: &str) -> Result<()> {
    let path = root().join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    println!("wrote {name}");
    Ok(())
}

/// Counts and compares; on another ground fails where that is `strict`.
fn check(before: &Table, strict: bool) -> Result<()> {
    let toolchain = setup::ensure_for_vm()?;
    let image = image_of(before)?;
    let (figures, ground) = count(&image, &toolchain)?;
    let differences = ground.differences(&before.ground);
    let room = if differences.is_empty() { ROOM } else { ROOM_ELSEWHERE };
    let changes = changes(before, &figures, room);
    let (failures, hints): (Vec<Change>, Vec<Change>) = changes.into_iter().partition(Change::is_failure);
    for hint in hints {
        println!("instructions: {hint}; --accept keeps it so");
    }
    for difference in &differences {
        println!("instructions: {difference}");
    }
    let mut faults: Vec<String> = failures.iter().map(Change::to_string).collect();
    if !faults.is_empty() {
        faults.push(format!("make it smaller, or run `{COMMAND} --accept` and commit {TABLE} and {PAGE}"));
    }
    if !differences.is_empty() {
        let text = format!(
            "counts of another kernel or compiler can be compared by {ROOM_ELSEWHERE} % only: install those of the table \
             (ACGS_PERF_BPF_TOOLCHAIN chooses a compiler), or, on a tree that passed with them, run `{COMMAND} --accept` and commit \
             that alone"
        );
        if strict { faults.push(text) } else { println!("instructions: {text}") }
    }
    if faults.is_empty() {
        println!("instructions: every program within {room} % of {TABLE}");
        return Ok(());
    }
    bail!("{}", faults.join("\n"))
}

/// Boots and counts.
fn count(image: &Image, toolchain: &Toolchain) -> Result<(Figures, Ground)> {
    let programs = programs::build(toolchain, &[])?;
    let ground = Ground { kernel: image.package.clone(), compiler: toolchain.versions() };
    let machine = Machine { image, programs: &programs, step: plan::step(), more: Vec::new(), possible: 1 };
    Ok((Figures::among(&guest::run(&machine)?)?, ground))
}

/// The table's own kernel while it can be had; else the newest of its series.
fn image_of(table: &Table) -> Result<Image> {
    let wanted = &table.ground.kernel;
    let package = wanted.split(' ').next().unwrap_or_default();
    let kernel: &Kernel = KERNELS.iter().find(|kernel| kernel.has(package)).with_context(|| {
        format!("no kernel of the matrix has the package {wanted:?} of {TABLE}; `{COMMAND} --kernel NAME --accept` takes another")
    })?;
    image::ensure_package(kernel, wanted, &directory()?).or_else(|error| {
        println!("instructions: {error:#}; taking the newest");
        image::ensure(kernel, &directory()?).with_context(|| {
            format!("`{COMMAND} --kernel NAME --accept` takes another kernel; `cargo xtask test --vm list` names them")
        })
    })
}

/// What else took part; it does not change what a program takes.
fn others() -> Vec<String> {
    let first =
        |text: Option<String>| text.and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or("?".into());
    let rustc = first(output(cargo().arg("--version")));
    vec![
        format!("Compiler of the agent and of the load: {}", rustc.trim_start_matches("cargo ")),
        format!("Machine: {}", first(output(Command::new(qemu::QEMU).arg("--version")))),
    ]
}

fn changes(before: &Table, figures: &Figures, room: u64) -> Vec<Change> {
    before.changes(&figures.rows, room)
}

fn read(name: &str) -> Result<Option<Table>> {
    let path: PathBuf = root().join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Table::parse(&text).map(Some).with_context(|| format!("read {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}
