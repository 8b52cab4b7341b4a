//! Every code that the server can answer has a name in the client.
//!
//! The codes stand where the server decides on them, so they are looked for in its sources: in the one function that names the
//! engine's errors, beside a status, and as the `code` of a state that does not allow something.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use orchestrator_client::ErrorCode;

#[test]
fn every_code_of_the_server_has_a_name() {
    let mut found = BTreeSet::new();
    for source in ["orchestrator-core/src", "orchestrator-http/src"] {
        for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(source)) {
            let text = fs::read_to_string(&file).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            found.extend(after(text, "code: \""));
            // However the line is broken between a status and its code.
            let joined: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in joined.split("StatusCode::").skip(1) {
                let name = part.trim_start_matches(|letter: char| letter.is_ascii_uppercase() || letter == '_');
                found.extend(name.strip_prefix(", \"").and_then(code));
            }
            if file.ends_with("orchestrator-core/src/error.rs") || file.ends_with("execute/failure.rs") {
                found.extend(after(text, "=> \""));
            }
        }
    }
    for planted in ["invalid_config", "body_too_large", "job_finished", "upstream_rejected"] {
        assert!(found.contains(planted), "the look at the sources is broken: no {planted} in {found:?}");
    }
    let unknown: Vec<_> =
        found.iter().filter(|code| matches!(ErrorCode::from(code.as_str()), ErrorCode::Other(_))).collect();
    assert!(unknown.is_empty(), "the client has no name for {unknown:?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn after<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(mark).skip(1).filter_map(code)
}

/// The code that a text begins with, up to the quote that ends it.
fn code(text: &str) -> Option<String> {
    let (code, _) = text.split_once('"')?;
    let sound = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    sound.then(|| code.to_owned())
}
