//! What a configuration says, and how it is refused.

use super::*;

fn read(text: &str) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("acgs-perf.toml");
    std::fs::write(&path, text).unwrap();
    load(&path).map_err(|error| error.to_string())
}

#[test]
fn the_catalogue_names_the_services_in_order() {
    let config = catalogue().unwrap();
    assert_eq!(config.services.len(), 16);
    assert_eq!(config.services[0].name, "constitutional-ai");
    assert_eq!(config.services[0].selector_text(), "port:8001");
    assert_eq!(config.services[15].selector_text(), "port:6389 or port:6379");
    assert_eq!(config.objective, Objective::default());
}

#[test]
fn the_example_reads() {
    let config = read(include_str!("../../../../deploy/acgs-perf.example.toml")).unwrap();
    let redis = config.services.last().unwrap();
    assert_eq!(redis.name, "redis");
    assert_eq!(
        redis.objective,
        Objective { p99: Duration::from_millis(1), min_rps: 1000.0, cache_hit_rate: Some(0.85) }
    );
    assert_eq!(config.services[2].selector_text(), "comm:nginx,port:8443");
    assert_eq!(config.alerts, Alerts::default());
    let told = read("[alerts]\ncommand = [\"/bin/x\", \"--y\"]\nwebhook = \"http://127.0.0.1:1/\"\n").unwrap().alerts;
    assert_eq!((told.command.join(" "), told.webhook.as_deref()), ("/bin/x --y".into(), Some("http://127.0.0.1:1/")));
    assert_eq!(config.services[4].selector_text(), "unit:acgs-audit or unix:/run/acgs/audit.sock");
}

#[test]
fn order_and_objectives_follow_the_file() {
    let config = read("[objective]\np99_ms = 7\n[services]\nz = 1\na = [2, 3]\n[services.m]\nselector = 4\n").unwrap();
    let names: Vec<_> = config.services.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["z", "a", "m"]);
    assert!(config.services.iter().all(|spec| spec.objective.p99 == Duration::from_millis(7)));
    let text =
        "[objective]\ncache_hit_rate = 0.85\n[services]\na = 1\n[services.b]\nselector = 2\ncache_hit_rate = 0.5\n";
    let rates: Vec<_> = read(text).unwrap().services.iter().map(|spec| spec.objective.cache_hit_rate).collect();
    assert_eq!(rates, [Some(0.85), Some(0.5)]);
    let catalogue = read("[objective]\np99_ms = 0.5\n").unwrap().services;
    assert_eq!(catalogue.len(), 16);
    assert_eq!(catalogue[3].objective.p99, Duration::from_micros(500));
}

#[test]
fn endpoints_of_all_and_of_one() {
    let config = read(
        "routes = [\"/p/{id}\"]\n[objective]\nverdict = \"worst_endpoint\"\n[endpoint.\"GET /health\"]\nexclude = true\n\
         [services.a]\nselector = 1\nroutes = [\"/q/{x}\"]\n[services.a.endpoint.\"GET /p/{id}\"]\np99_ms = 2\n[services.b]\nselector = 2\n",
    )
    .unwrap();
    let [a, b] = [0, 1].map(|at| &config.services[at].endpoints);
    assert_eq!(a.routes, ["GET /p/{id}", "/q/{x}", "GET /health", "/p/{id}"]);
    assert_eq!(a.endpoints["GET /p/{id}"].p99, Some(Duration::from_millis(2)));
    assert_eq!((b, b.by_worst_endpoint), (&config.endpoints, true));
    assert_eq!(read("words_per_level = 3\n").unwrap().services[0].endpoints.words(), 3);
}

#[test]
fn errors_name_file_line_and_key() {
    let cases = [
        ("\nservice = 3", "acgs-perf.toml:2: unknown field `service`, expected one of `constitutional_hash`"),
        ("[objective]\np99 = 3", "acgs-perf.toml:2: unknown field `p99`"),
        ("constitutional_hash = \"00\"", "acgs-perf.toml:1: constitutional_hash is \"00\", this build carries \"cdd01"),
        ("[alerts]\nmail = 1", "acgs-perf.toml:2: unknown field `mail`, expected `command` or `webhook`"),
        ("[objective]\np99_ms = 0", ":2: p99_ms is 0"),
        ("[objective]\nmin_rps = -1.0", ":2: min_rps is -1"),
        ("[objective]\np99_ms = nan", ":2: p99_ms is NaN"),
        ("[objective]\ncache_hit_rate = 85", ":2: cache_hit_rate is 85; use a share above 0"),
        ("[objective]\ncache_hit_rate = nan", ":2: cache_hit_rate is NaN"),
        ("[objective]\ncache_hit_rate = \"high\"", ":2: invalid type: string \"high\""),
        ("[services]\nredis = { selector = 1, cache_hit_rate = 0 }", ":2: cache_hit_rate is 0; use"),
        ("[services]\nredis = { selector = 1, cache_hit_rate = true }", "cache_hit_rate must be a number"),
        ("[services]\nredis = \"prot:1\"", ":2: services.redis: unknown selector kind \"prot\"; use one of"),
        ("[services]\nredis = 0", ":2: services.redis: \"0\" is not a TCP port"),
        ("[services]\nredis = []", "the list is empty"),
        ("[services]\nredis = 1.5", "not a value of type float"),
        (
            "[services]\nredis = { selector = 1, p95_ms = 1 }",
            "services.redis: unknown key \"p95_ms\"; use selector, p99",
        ),
        ("[services]\nredis = { p99_ms = 1 }", "no selector"),
        ("[services]\nredis = { selector = 1, p99_ms = \"1\" }", "p99_ms must be a number"),
        ("[services]\n\"a b\" = 1", ":2: ' ' cannot stand in a service name"),
        ("[services]\nredis = 1\nredis = 2", ":3: duplicate key"),
        ("[services\n", "acgs-perf.toml:1: "),
        ("\nroutes = [\"x\"]", ":2: the route \"x\" is no path"),
        ("[endpoint.\"GET /a\"]\np99_ms = -1", "endpoint.\"GET /a\": p99_ms is -1"),
        ("[services]\na = { selector = 1, routes = [\"y\"] }", ":2: services.a: the route \"y\" is no path"),
        ("[services]\na = { selector = 1, routes = 1 }", "services.a: invalid type: integer `1`"),
    ];
    for (text, expected) in cases {
        let error = read(text).unwrap_err();
        assert!(error.contains(expected) && !error.contains('\n'), "{text:?}: {error}");
    }
    let error = load(Path::new("/nonexistent/acgs.toml")).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/acgs.toml: cannot read the configuration: No such file"), "{error}");
}

#[test]
fn what_is_too_large_is_refused_in_one_line() {
    let long = format!("# {}\n", "x".repeat(1 << 20));
    let error = read(&long).unwrap_err();
    assert!(error.ends_with("acgs-perf.toml: larger than 1 MiB, too large for the configuration; name another file"));
    let error = load(Path::new("/dev/zero")).unwrap_err().to_string();
    assert!(error.starts_with("/dev/zero: larger than 1 MiB") && !error.contains('\n'), "{error}");
    let error = read("[constitution]\ndocument = \"/dev/zero\"\n").unwrap_err();
    assert!(error.starts_with("/dev/zero: larger than 32 MiB, too large for the constitution"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("latin1.toml");
    std::fs::write(&path, b"# \xe4\n").unwrap();
    assert!(load(&path).unwrap_err().to_string().ends_with("latin1.toml: not UTF-8 from byte 2 on; name a TOML file"));
}

#[test]
fn a_constitution_that_does_not_fit_the_hash_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("acgs-perf.toml");
    std::fs::write(&config, "[constitution]\ndocument = \"constitution.md\"\n").unwrap();
    let missing = load(&config).unwrap_err().to_string();
    assert!(missing.contains("constitution.md: cannot read the constitution"), "{missing}");
    std::fs::write(directory.path().join("constitution.md"), "abc").unwrap();
    let wrong = load(&config).unwrap_err().to_string();
    assert!(wrong.contains("is ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, which"), "{wrong}");
}
