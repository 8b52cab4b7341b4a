//! House rules that a look at the files can check, and which invariants have tests.
//!
//! An invariant is proven by the functions that carry its number, `inv_03_…`; a behaviour of the conformance suite counts
//! once, however many backends it runs on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::tools::root;

/// A longer file holds more than one idea.
const LINES: usize = 700;
/// How many invariants there are.
const INVARIANTS: u32 = 47;
/// What is never finished. In pieces, so that this file passes.
const UNFINISHED: [&str; 3] = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore")];

/// Looks at every Rust file of the workspace.
pub(crate) fn names() -> Result<()> {
    let mut found = Found::default();
    walk(root(), &mut |file, text| found.look(file, text))?;
    println!("{} Rust files, {} tests of {} invariants:", found.files, found.tests(), found.proven.len());
    let proven = found.proven.iter().map(|(number, count)| format!("{number:02} ×{count}"));
    println!("  {}", proven.collect::<Vec<_>>().join(", "));
    let open = (1..=INVARIANTS).filter(|number| !found.proven.contains_key(number));
    println!("  no test yet: {}", open.map(|number| format!("{number:02}")).collect::<Vec<_>>().join(", "));
    for problem in &found.problems {
        eprintln!("{problem}");
    }
    ensure!(found.problems.is_empty(), "{} house rules are broken", found.problems.len());
    ensure!(found.tests() > 0, "no test carries the number of an invariant: the look at the files is broken");
    Ok(())
}

#[derive(Default)]
struct Found {
    files: usize,
    proven: BTreeMap<u32, usize>,
    problems: Vec<String>,
}

impl Found {
    fn tests(&self) -> usize {
        self.proven.values().sum()
    }

    fn look(&mut self, file: &Path, text: &str) {
        self.files += 1;
        let file = file.strip_prefix(root()).unwrap_or(file).display();
        let lines = text.lines().count();
        if lines > LINES {
            self.problems.push(format!("{file}: {lines} lines, at most {LINES}: where is the seam?"));
        }
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if let Some(word) = UNFINISHED.iter().find(|word| line.contains(**word)) {
                self.problems.push(format!("{file}:{}: `{word}`", index + 1));
            }
            let Some(name) = function(line).and_then(|name| name.strip_prefix("inv_")) else { continue };
            match number(name) {
                Some(number) => *self.proven.entry(number).or_default() += 1,
                None => self.problems.push(format!("{file}:{}: `inv_` and no number of an invariant", index + 1)),
            }
        }
    }
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")).unwrap_or(line);
    line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")
}

/// The number of an invariant: two digits and an underscore.
fn number(name: &str) -> Option<u32> {
    let (digits, _) = name.split_once('_')?;
    let number = digits.parse().ok().filter(|_| digits.len() == 2)?;
    (1..=INVARIANTS).contains(&number).then_some(number)
}

/// Hands every Rust file below `folder` to `look`; passes over hidden folders and what was built.
fn walk(folder: &Path, look: &mut impl FnMut(&Path, &str)) -> Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let hidden = name.to_string_lossy().starts_with('.') || name == "target";
        if entry.file_type()?.is_dir() && !hidden {
            walk(&path, look)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            look(&path, &text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests")]

    use super::*;

    fn looked_at(text: &str) -> Found {
        let mut found = Found::default();
        found.look(Path::new("a.rs"), text);
        found
    }

    #[test]
    fn what_is_unfinished_is_found() {
        for word in UNFINISHED {
            assert_eq!(looked_at(&format!("    let x = {word}1);\n")).problems.len(), 1, "{word}");
        }
        assert!(looked_at("let todo = 1; // to do\n").problems.is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        assert!(looked_at(&"x\n".repeat(LINES)).problems.is_empty());
        assert_eq!(looked_at(&"x\n".repeat(LINES + 1)).problems.len(), 1);
    }

    #[test]
    fn tests_are_counted_by_their_invariant() {
        let text =
            ["fn ", "    async fn ", "pub async fn ", "pub(crate) fn "].map(|start| format!("{start}inv_03_x()\n"));
        assert_eq!(looked_at(&text.concat()).proven, BTreeMap::from([(3, 4)]));
        assert!(looked_at("call(inv_03_x)\n").proven.is_empty());
    }

    #[test]
    fn a_number_that_names_no_invariant_is_found() {
        for name in ["inv_00_x", "inv_48_x", "inv_3_x", "inv_x"] {
            assert_eq!(looked_at(&format!("fn {name}()\n")).problems.len(), 1, "{name}");
        }
    }
}
