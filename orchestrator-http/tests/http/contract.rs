//! The OpenAPI document against the routes and the table of requirements.

use std::collections::BTreeSet;

use orchestrator_http::auth::TABLE;
use orchestrator_http::openapi;
use serde_json::Value;

use crate::install;

fn documented() -> Vec<(String, String, Value)> {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

#[test]
fn inv_27_every_route_has_a_row_and_every_row_a_route() {
    let routes: BTreeSet<_> = documented().into_iter().map(|(method, path, _)| (method, path)).collect();
    let rows: BTreeSet<_> = TABLE.iter().map(|row| (row.method.to_string(), row.path.to_owned())).collect();
    assert_eq!(routes, rows);
}

#[test]
fn every_operation_says_what_can_go_wrong_and_what_its_path_is_made_of() {
    let mut names = BTreeSet::new();
    for (method, path, operation) in documented() {
        let responses = operation["responses"].as_object().unwrap();
        let problem = &responses["default"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem", "{method} {path}");
        let public = TABLE.iter().any(|row| {
            row.method.as_str() == method
                && row.path == path
                && row.requirement == orchestrator_http::auth::Requirement::Public
        });
        assert_eq!(operation.get("security").is_none(), public, "{method} {path}");
        assert_eq!(responses.contains_key("401"), !public, "{method} {path}");
        for part in path.split(['{', '}']).skip(1).step_by(2) {
            let parameters = operation["parameters"].as_array().unwrap();
            let named = parameters.iter().filter(|parameter| parameter["name"] == part && parameter["in"] == "path");
            assert_eq!(named.count(), 1, "{method} {path}");
        }
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{method} {path}");
        let id = operation["operationId"].as_str().unwrap().to_owned();
        assert!(names.insert(id.clone()), "two operations are called {id}");
    }
}

#[test]
fn every_schema_that_is_named_is_there() {
    let document = serde_json::to_value(openapi()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is not described");
    }
}

#[tokio::test]
async fn inv_43_the_document_and_its_page_are_served_whole() {
    let install = install::start().await;
    let document = install.get("/openapi.json", "").await;
    assert_eq!((document.status, document.json()["openapi"].as_str()), (200, Some("3.1.0")));
    assert_eq!(document.json()["paths"]["/execute"]["post"]["tags"][0], "exec");

    let page = install.get("/docs/", "").await;
    let html = String::from_utf8(page.body.clone()).unwrap();
    assert!(page.header("content-security-policy").unwrap().contains("script-src 'self'"));
    // No script in line, nothing from elsewhere: else the page's own policy would break it.
    assert!(!html.contains("<script>") && !html.contains("//unpkg") && !html.contains("https://"), "{html}");
    let script = install.get("/docs/swagger-initializer.js", "").await;
    assert!(String::from_utf8(script.body).unwrap().contains("/openapi.json"));
}
