//! The format's number, and how a document of a former one becomes one of this.
//!
//! The next change of the format is one function: raise [`BUNDLE_FORMAT`], and add to [`STEPS`] what makes a document of
//! the format before it one of the new. Without it this does not compile. A document of each former format is kept under
//! `tests/bundles`, and stays readable for good.

use orchestrator_types::FieldError;
use serde_json::Value;

/// The format that this build writes. It reads this one and every one before it.
pub const BUNDLE_FORMAT: u32 = 1;

/// Makes a document of one format one of the next. Pure; what it does not understand it leaves for the schema to refuse.
type Step = fn(Value) -> Value;

/// The steps from format 1 to 2, from 2 to 3, and so on.
const STEPS: [Step; BUNDLE_FORMAT as usize - 1] = [];

/// The document in the present format, and the one that it had if that was another.
pub(super) fn migrate(document: Value) -> Result<(Value, Option<u32>), FieldError> {
    migrate_by(&STEPS, document)
}

fn migrate_by(steps: &[Step], mut document: Value) -> Result<(Value, Option<u32>), FieldError> {
    let newest = steps.len() as u64 + 1;
    let Some(format) = document.get("format") else {
        // The schema says what is missing.
        return Ok((document, None));
    };
    let number = format.as_u64().filter(|number| *number > 0);
    let number = number.ok_or_else(|| FieldError::new("/format", "a whole number from 1"))?;
    if number > newest {
        let detail =
            format!("this is a bundle of format {number}, and this version reads formats up to {newest}: update it");
        return Err(FieldError::new("/format", detail));
    }
    // It is not above the number of steps, which are few.
    let former = number as u32;
    for (step, next) in steps.iter().zip(2..).skip(former as usize - 1) {
        document = step(document);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("format".to_owned(), Value::from(next));
        }
    }
    Ok((document, Some(former).filter(|_| number < newest)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn renames_a(mut document: Value) -> Value {
        if let Some(fields) = document.as_object_mut()
            && let Some(a) = fields.remove("a")
        {
            fields.insert("b".to_owned(), a);
        }
        document
    }

    fn doubles_b(mut document: Value) -> Value {
        if let Some(b) = document.get_mut("b") {
            *b = json!([b, b]);
        }
        document
    }

    const TWO: [Step; 2] = [renames_a, doubles_b];

    #[test]
    fn a_former_format_goes_through_each_step_from_its_own_on() {
        for (before, after, former) in [
            (json!({"format": 1, "a": 7}), json!({"format": 3, "b": [7, 7]}), Some(1)),
            (json!({"format": 2, "b": 7}), json!({"format": 3, "b": [7, 7]}), Some(2)),
            (json!({"format": 3, "b": 7}), json!({"format": 3, "b": 7}), None),
        ] {
            assert_eq!(migrate_by(&TWO, before).unwrap(), (after, former));
        }
        assert_eq!(migrate_by(&[], json!({"format": 1, "a": 7})).unwrap(), (json!({"format": 1, "a": 7}), None));
    }

    #[test]
    fn a_newer_format_is_refused_in_one_line() {
        for (steps, format) in [(&TWO[..], 4u64), (&TWO[..], u64::MAX), (&[], 2)] {
            let refused = migrate_by(steps, json!({"format": format})).unwrap_err();
            assert_eq!(refused.pointer, "/format");
            assert!(refused.detail.contains("update it") && !refused.detail.contains('\n'), "{}", refused.detail);
        }
    }

    #[test]
    fn inv_29_a_format_that_is_no_number_is_refused_and_a_missing_one_left_to_the_schema() {
        for format in [json!(0), json!(-1), json!(1.5), json!("1"), json!(null), json!([1])] {
            assert_eq!(migrate_by(&TWO, json!({"format": format})).unwrap_err().pointer, "/format");
        }
        for document in [json!({}), json!([]), json!(1), json!(null)] {
            assert_eq!(migrate_by(&TWO, document.clone()).unwrap(), (document, None));
        }
    }
}
