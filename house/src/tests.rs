//! Each rule of the house pass, on small sources: what is well passes, what was planted is found.

use std::collections::BTreeSet;

use super::debt::{self, Debt};
use super::modules::Crate;
use super::source::{Sources, parse};
use super::{circles, imports, is_root, order, owed, printing, sizes, structure};

fn sources(files: &[(&str, &str)]) -> Sources {
    parse(files.iter().copied()).unwrap()
}

/// The circles of a crate `x` whose files lie in `x/src`, as `a.rs -> b.rs`.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(String, String)> =
        files.iter().map(|(path, text)| (format!("x/src/{path}"), (*text).to_owned())).collect();
    let sources = parse(files).unwrap();
    let krate = Crate::of(&sources, "x/src/lib.rs");
    assert_eq!(krate.lost, Vec::<String>::new());
    let short = |path: &str| path.trim_start_matches("x/src/").to_owned();
    let circles = circles::of(&krate, &imports::of(&krate));
    circles.iter().map(|(from, to)| format!("{} -> {}", short(from), short(to))).collect()
}

#[test]
fn one_way_is_no_circle() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; use crate::c;\nfn f() { c::g::<B>() }"),
        ("b.rs", "pub struct B;"),
        ("c.rs", "use super::b::B;\npub fn g<T>() { let _ = B; }"),
    ];
    assert_eq!(circles_of(&files), Vec::<String>::new());
}

#[test]
fn two_files_that_need_each_other_are_a_circle_however_they_say_it() {
    let back = [
        "use super::a::A;",
        "use crate::{a::A};",
        "use crate::a::*;",
        "use crate::a;\nfn f(_: a::A) {}",
        "pub use crate::a::A;",
        "fn f(_: crate::a::A) {}",
        "fn f() { println!(\"{}\", 1 + crate::a::A); }",
        "impl crate::a::A {}",
        "mod inside { use super::super::a::A; }",
    ];
    for text in back {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B;\npub struct A;"),
            ("b.rs", &*format!("{text}\npub struct B;")),
        ];
        assert_eq!(circles_of(&files), ["a.rs -> b.rs", "b.rs -> a.rs"], "{text}");
    }
}

#[test]
fn a_circle_of_three_and_who_only_uses_it() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod user;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::c::C; pub struct B;"),
        ("c.rs", "use crate::a::A; pub struct C;"),
        ("user.rs", "use crate::a::A; use crate::b::B;"),
    ];
    assert_eq!(circles_of(&files), ["a.rs -> b.rs", "b.rs -> c.rs", "c.rs -> a.rs"]);
}

#[test]
fn a_directory_is_one_room() {
    // No file needs one that needs it in turn, but the rooms do.
    let files = [
        ("lib.rs", "mod probe; mod snapshot;"),
        ("probe/mod.rs", "pub mod session; pub struct ProbeError;"),
        ("probe/session.rs", "use crate::snapshot::maps::Maps;"),
        ("snapshot/mod.rs", "pub mod maps; mod words;"),
        ("snapshot/maps.rs", "pub struct Maps;"),
        ("snapshot/words.rs", "use crate::probe::ProbeError;"),
    ];
    assert_eq!(circles_of(&files), ["probe/session.rs -> snapshot/maps.rs", "snapshot/words.rs -> probe/mod.rs"]);
}

#[test]
fn what_a_door_hands_on_counts_for_its_owner() {
    let files = [
        ("lib.rs", "mod report; mod user;"),
        ("report/mod.rs", "mod model; mod service; pub use model::Report; pub use service::{Service as One};"),
        ("report/model.rs", "use super::One; pub struct Report;"),
        ("report/service.rs", "pub struct Service;"),
        ("user.rs", "use crate::report::Report;"),
    ];
    assert_eq!(circles_of(&files), Vec::<String>::new());
    let mut circle = files;
    circle[3].1 = "use super::Report; pub struct Service;";
    assert_eq!(circles_of(&circle), ["report/model.rs -> report/service.rs", "report/service.rs -> report/model.rs"]);
}

#[test]
fn a_room_may_use_the_words_of_its_door_but_not_its_functions() {
    let door = "mod room; pub struct Error; pub fn help() {}\nfn f() { room::work(); }";
    let words = ("stage/room.rs", "use super::Error; pub fn work() -> Error { Error }");
    let files = |room| [("lib.rs", "mod stage;"), ("stage/mod.rs", door), room];
    assert_eq!(circles_of(&files(words)), Vec::<String>::new());
    for text in ["use super::help; pub fn work() { help() }", "pub fn work() { crate::stage::help() }"] {
        let circle = circles_of(&files(("stage/room.rs", text)));
        assert_eq!(circle, ["stage/mod.rs -> stage/room.rs", "stage/room.rs -> stage/mod.rs"], "{text}");
    }
    // A door that does not use its room is no circle.
    let quiet = [
        ("lib.rs", "mod stage;"),
        ("stage/mod.rs", "pub mod room; pub fn help() {}"),
        ("stage/room.rs", "use super::help; fn work() { help() }"),
    ];
    assert_eq!(circles_of(&quiet), Vec::<String>::new());
}

#[test]
fn tests_may_use_everything() {
    let files = [
        ("lib.rs", "mod a; mod b; #[cfg(test)] mod fixture;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] use crate::fixture::F;"),
        ("fixture.rs", "pub use crate::a::A as F; pub use crate::b::B;"),
    ];
    assert_eq!(circles_of(&files), Vec::<String>::new());
}

#[test]
fn other_crates_and_local_names_are_no_imports() {
    let files = [
        ("lib.rs", "mod a; mod log;"),
        ("a.rs", "use clap; use serde::a; fn f(log: u32) { std::log(a::x(log)); clap::go() } pub struct A;"),
        ("log.rs", "use crate::a::A;"),
    ];
    assert_eq!(circles_of(&files), Vec::<String>::new());
}

#[test]
fn stages_import_leftwards_only() {
    let files = |output: &'static str, analysis: &'static str| {
        sources(&[
            ("acgs-perf/src/lib.rs", "pub mod analysis; pub mod command; pub mod engine; pub mod output; mod units;"),
            ("acgs-perf/src/analysis/mod.rs", analysis),
            ("acgs-perf/src/command/mod.rs", "pub mod record;"),
            ("acgs-perf/src/command/record.rs", "use crate::output::Format; use crate::engine::Engine;"),
            ("acgs-perf/src/engine.rs", "pub struct Engine;"),
            ("acgs-perf/src/output/mod.rs", output),
            ("acgs-perf/src/units.rs", "pub struct Unit;"),
        ])
    };
    let found = |sources: &Sources| {
        let krate = Crate::of(sources, order::ROOT);
        order::backwards(&krate, &imports::of(&krate)).into_iter().map(|(from, _)| from).collect::<Vec<_>>()
    };
    let well = files("use crate::analysis::Cut; use crate::units::Unit; pub struct Format;", "pub struct Cut;");
    assert_eq!(found(&well), Vec::<String>::new());
    let planted = files("pub struct Format;", "use crate::units::Unit; use crate::output::Format;");
    assert_eq!(found(&planted), ["acgs-perf/src/analysis/mod.rs"]);
    let engine = [
        ("acgs-perf/src/lib.rs", "pub mod command; mod engine;"),
        ("acgs-perf/src/command/mod.rs", "pub struct Args;"),
        ("acgs-perf/src/engine/mod.rs", "use crate::command::Args;"),
    ];
    assert_eq!(found(&sources(&engine)), ["acgs-perf/src/engine/mod.rs"]);
}

#[test]
fn the_kernel_side_stands_on_its_globals() {
    let found = |table: &str| {
        let sources = sources(&[
            ("acgs-perf-ebpf/src/main.rs", "mod globals; mod table { pub mod service; } mod hooks { mod tcp; }"),
            ("acgs-perf-ebpf/src/globals.rs", "pub static SHARDS: u32 = 1;"),
            ("acgs-perf-ebpf/src/table/service.rs", table),
            ("acgs-perf-ebpf/src/hooks/tcp.rs", "use crate::table::service::Table; pub struct Program;"),
        ]);
        let krate = Crate::of(&sources, order::KERNEL_ROOT);
        order::backwards(&krate, &imports::of(&krate))
    };
    assert!(found("use crate::globals::SHARDS; pub struct Table;").is_empty());
    let planted = found("use crate::hooks::tcp::Program; pub struct Table;");
    assert_eq!(planted.len(), 1);
}

#[test]
fn a_file_that_no_module_names_is_found_and_so_is_a_module_without_a_file() {
    let (debts, wrong) = structure(&sources(&[
        ("x/src/lib.rs", "mod a; mod gone; #[cfg(test)] mod tests; #[path = \"../../y/src/lib.rs\"] mod y;"),
        ("x/src/a.rs", ""),
        ("x/src/tests.rs", ""),
        ("x/src/lost.rs", ""),
        ("x/src/bin/tool.rs", "fn main() {}"),
        ("tests/live.rs", ""),
    ]));
    assert_eq!(debts, BTreeSet::new());
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(
        wrong[0].contains("no file for `mod gone`") && wrong[1].starts_with("x/src/lost.rs: no module"),
        "{wrong:?}"
    );
}

#[test]
fn crates_begin_where_cargo_looks() {
    let of_a_package =
        ["x/src/lib.rs", "x/src/main.rs", "x/src/bin/a.rs", "x/build.rs", "x/tests/a.rs", "x/tests/a/main.rs"];
    for root in of_a_package.into_iter().chain(["tests/a.rs", "tests/src/lib.rs"]) {
        assert!(is_root(root), "{root}");
    }
    for other in
        ["x/src/a.rs", "x/src/a/main.rs", "x/src/a/bin/b.rs", "lib.rs", "x/a.rs", "x/tests/a/b.rs", "tests/src/a.rs"]
    {
        assert!(!is_root(other), "{other}");
    }
}

#[test]
fn sizes_are_held_to_the_line() {
    let file = |lines: usize| format!("//! What.\n{}", "\n".repeat(lines - 1));
    let function = |lines: usize| format!("//! What.\nimpl A {{\nfn f(\n) {{\n{}}}\n}}\n", "\n".repeat(lines - 3));
    let of = |text: String| {
        let sources = parse([("x/src/a.rs".to_owned(), text)]).unwrap();
        (sizes::check(&sources), sizes::long_functions(&sources).len())
    };
    assert_eq!(of(file(500)), (vec![], 0));
    assert!(of(file(501)).0[0].starts_with("x/src/a.rs: 501 lines, more than 500"));
    assert_eq!(of(function(100)), (vec![], 0));
    assert_eq!(of(function(101)), (vec![], 1));
    let nested = format!("//! What.\ntrait T {{ fn f() {{ fn g() {{{}}} }} }}", "\n".repeat(100));
    assert_eq!(of(nested).1, 2);
    assert!(of("fn main() {}\n".into()).0[0].contains("begins without `//!`"));
    assert!(of("// @generated\nfn main() {}\n".into()).0.is_empty());
}

#[test]
fn crates_without_output_do_not_print() {
    let silent =
        "#[cfg(test)] mod tests { fn f() { println!(); } } #[test] fn t() { eprintln!(); } fn f() { panic!() }";
    let files = |text: &'static str| {
        sources(&[("acgs-perf-common/src/lib.rs", text), ("xtask/src/main.rs", "fn main() { println!(); }")])
    };
    assert_eq!(printing::check(&files(silent)), Vec::<String>::new());
    for text in ["fn f() { println!(); }", "fn f() { std::eprint!(); }", "impl A { fn f() { dbg!(1); } }"] {
        let wrong = printing::check(&files(text));
        assert!(wrong.len() == 1 && wrong[0].starts_with("acgs-perf-common/src/lib.rs:1: "), "{wrong:?}");
    }
}

#[test]
fn the_list_of_debts_can_only_shrink() {
    let (listed, wrong) = debt::parse("# kind\tfrom\tto\n\ncircle\ta.rs\tb.rs\norder\ta.rs\tc.rs\n");
    assert_eq!((listed.len(), wrong.len()), (2, 0));
    assert_eq!(debt::check(&listed, &listed), Vec::<String>::new());
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let mut more = listed.clone();
    more.insert(owed("circle", pair("a.rs", "d.rs")));
    more.insert(owed("long", pair("a.rs", "f")));
    let new = debt::check(&listed, &more);
    assert!(new.len() == 2 && new[0].starts_with("a.rs: imports d.rs") && new[1].contains("`f` has more"), "{new:?}");
    let fewer: BTreeSet<Debt> = listed.iter().skip(1).cloned().collect();
    let paid = debt::check(&listed, &fewer);
    assert_eq!(paid, ["docs/house-debt.tsv: paid, remove this line: circle\ta.rs\tb.rs"]);
    for text in ["has 2 debts now", "x: 2 debts.", "2\ndebts, a"] {
        assert_eq!(debt::check_length(text, &listed), None, "{text}");
    }
    for text in ["", "12 debts", "3 debts"] {
        assert!(debt::check_length(text, &listed).unwrap().contains("2 debts"), "{text}");
    }
    let (_, wrong) = debt::parse("circle a b\norder\ta\tb\norder\ta\tb\n");
    assert!(wrong.len() == 2 && wrong[1].contains("docs/house-debt.tsv:3: twice"), "{wrong:?}");
}
