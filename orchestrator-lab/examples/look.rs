#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
use orchestrator_lab::*;
fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    for name in Scenario::built_in_names().into_iter().filter(|n| names.is_empty() || names.iter().any(|m| m == n)) {
        let scenario = Scenario::built_in(name).unwrap();
        let contenders: Vec<_> = BUILT_IN_POLICIES.iter().map(|n| Contender::built_in(n).unwrap()).collect();
        let started = std::time::Instant::now();
        let report = run(&scenario, &contenders, 1).unwrap();
        println!("== {name} {:?}", started.elapsed());
        for table in report.tables() {
            println!("{}", table.header.join(" | "));
            for row in table.rows { println!("   {}", row.join(" | ")); }
        }
        std::fs::write(format!("/tmp/lab/{name}.svg"), plot(&report)).unwrap();
    }
}
