//! The path of a named operation: `/v1/refunds/{id}`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::path::{Problem, check_path};

/// A path with parameters, each within one segment.
#[derive(Debug, Clone)]
pub(super) struct PathTemplate(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Plain(String),
    Parameter(String),
}

/// Why a template gave no path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FillProblem {
    /// A parameter of this name is missing.
    Missing(String),
    /// The template has no parameter of this name.
    Unknown(String),
    /// The value of this parameter cannot be a part of a segment.
    Value(String, Problem),
}

impl PathTemplate {
    /// Parses it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (plain, from) = rest.split_at(open);
            let Some((name, after)) = from[1..].split_once('}') else {
                return Err("the path has a `{` without its `}`");
            };
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err("a parameter is named by letters, digits and `_`");
            }
            if parts.iter().any(|part| matches!(part, Part::Parameter(known) if known == name)) {
                return Err("the path names a parameter twice");
            }
            parts.push(Part::Plain(plain.to_owned()));
            parts.push(Part::Parameter(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Plain(rest.to_owned()));
        let template = Self(parts);
        let sample = template.write(|_| "x".to_owned());
        if sample.contains(['{', '}']) {
            return Err("the path has a `}` without its `{`");
        }
        if sample.contains('?') {
            return Err("the path has a query: give it with each call");
        }
        check_path(&sample)?;
        Ok(template)
    }

    /// The path with its parameters filled in, percent-encoded.
    ///
    /// # Errors
    /// Every parameter that is missing, unknown or cannot be a part of a segment.
    pub(super) fn fill(&self, values: &BTreeMap<String, String>) -> Result<String, Vec<FillProblem>> {
        let mut problems: Vec<FillProblem> = values
            .keys()
            .filter(|name| !self.parameters().any(|known| known == name.as_str()))
            .map(|name| FillProblem::Unknown(name.clone()))
            .collect();
        for name in self.parameters() {
            match values.get(name) {
                None => problems.push(FillProblem::Missing(name.to_owned())),
                Some(value) if value.is_empty() => {
                    problems.push(FillProblem::Value(name.to_owned(), "the value is empty"));
                }
                Some(value) => {
                    if let Err(problem) = check_path(&format!("/{}", encode(value))) {
                        problems.push(FillProblem::Value(name.to_owned(), problem));
                    }
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(self.write(|name| values.get(name).map(|value| encode(value)).unwrap_or_default()))
    }

    /// The template as it was written.
    pub(super) fn as_str(&self) -> String {
        self.write(|name| format!("{{{name}}}"))
    }

    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Plain(_) => None,
            Part::Parameter(name) => Some(name.as_str()),
        })
    }

    fn write(&self, value: impl Fn(&str) -> String) -> String {
        let written = self.0.iter().map(|part| match part {
            Part::Plain(text) => text.clone(),
            Part::Parameter(name) => value(name),
        });
        written.collect()
    }
}

/// Encodes everything but the unreserved characters of RFC 3986.
fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn fill(template: &str, values: &[(&str, &str)]) -> Result<String, Vec<FillProblem>> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        PathTemplate::parse(template).unwrap().fill(&values)
    }

    #[test]
    fn parameters_are_filled_in_and_encoded() {
        assert_eq!(fill("/v1/refunds/{id}", &[("id", "re_1")]).unwrap(), "/v1/refunds/re_1");
        assert_eq!(
            fill("/{a}/x-{b}.json", &[("a", "bob@x y"), ("b", "?#&")]).unwrap(),
            "/bob%40x%20y/x-%3F%23%26.json"
        );
        assert_eq!(fill("/plain", &[]).unwrap(), "/plain");
        assert_eq!(fill("/{a}", &[("a", "{b}")]).unwrap(), "/%7Bb%7D");
    }

    #[test]
    fn every_problem_of_the_parameters_is_told() {
        let problems = fill("/{a}/{b}/{c}", &[("a", "../x"), ("b", ""), ("d", "1")]).unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
        for value in ["..", ".", "a/b", "a\\b", "\r\n", "%2e%2e", "a%2fb", "\0"] {
            assert!(fill("/v1/{id}/x", &[("id", value)]).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_template_is_a_sound_path() {
        for bad in [
            "v1", "//x", "/../x", "/{", "/{a", "/}", "/{}", "/{a b}", "/{a}/{a}", "/x?y={a}", "/a@b", "/{a}}", "/{{a}}",
        ] {
            assert!(PathTemplate::parse(bad).is_err(), "{bad}");
        }
    }
}
