//! The description of the operator's routes is what they are.

use actix_web::{
    App,
    http::{Method, StatusCode},
    test,
};
use serde_json::{Value, json};
use session_actors::{Limits, Policy, web::admin::Admin};

use crate::support::*;

/// Checks an answer against what the description says of that route and status.
fn check(description: &Value, method: &str, path: &str, status: StatusCode, body: &Value) {
    let response = &description["paths"][path][method]["responses"][status.as_str()];
    assert!(response.is_object(), "{method} {path} does not say that it may answer {status}");
    let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
    let schema = &response["content"][kind]["schema"];
    assert!(schema.is_object(), "{method} {path} {status} has no schema");
    // What is named by reference is beside it.
    let mut whole = schema.clone();
    whole["components"] = description["components"].clone();
    let validator = jsonschema::draft202012::new(&whole).unwrap();
    let wrong: Vec<_> =
        validator.iter_errors(body).map(|error| format!("{error} at {}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:#?}\n{body:#}");
    // And all that is answered is described.
    if let (Some(fields), Some(name)) = (body.as_object(), schema["$ref"].as_str()) {
        let properties = &description.pointer(name.trim_start_matches('#')).unwrap()["properties"];
        for field in fields.keys() {
            assert!(properties.get(field).is_some(), "{method} {path} {status} does not describe {field}");
        }
    }
}

#[actix::test]
async fn every_answer_is_as_described() {
    let registry = registry(Policy::new(limits()).rule("hook:*", Limits::new().idle_timeout(secs(60))));
    for key in ["hook:1", "hook:2", "user:1"] {
        registry.send(key, Count).await.unwrap();
    }
    actix::spawn(registry.send("hook:2", Work(secs(1))));
    let app = test::init_service(App::new().service(Admin::guarded(&registry, TOKEN).scope("/ops"))).await;
    let (status, description) = ask(&app, Method::GET, "/ops/openapi.json", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&description["openapi"], &description["servers"][0]["url"]), (&json!("3.1.0"), &json!("/ops")));

    let cases = [
        ("get", "/sessions", "/sessions", None),
        ("get", "/sessions", "/sessions?limit=99999", None),
        ("get", "/sessions/{key}", "/sessions/hook:2", None),
        ("get", "/sessions/{key}", "/sessions/nobody", None),
        ("post", "/sessions/{key}/extend", "/sessions/hook:1/extend", Some(json!({"by_ms": 1000}))),
        ("post", "/sessions/{key}/extend", "/sessions/hook:1/extend", Some(json!({"by": "30m"}))),
        ("post", "/sessions/{key}/extend", "/sessions/hook:1/extend", Some(json!({"by_ms": 0}))),
        ("post", "/sessions/{key}/extend", "/sessions/nobody/extend", Some(json!({"by_ms": 1}))),
        ("get", "/stats", "/stats", None),
        ("get", "/policy", "/policy", None),
        ("put", "/policy", "/policy?dry_run=true", Some(json!({"max_age": "1ms", "max_sessions": 1}))),
        ("put", "/policy", "/policy", Some(json!({"idle_timeout": "0s"}))),
        ("delete", "/sessions/{key}", "/sessions/hook:2?wait=false", None),
        ("post", "/sessions/{key}/extend", "/sessions/hook:2/extend", Some(json!({"by_ms": 1000}))),
        ("delete", "/sessions/{key}", "/sessions/hook:1", None),
        ("delete", "/sessions/{key}", "/sessions/hook:1", None),
        (
            "put",
            "/policy",
            "/policy",
            Some(json!({"max_sessions": 5, "exclude": ["main"], "rules": [{"match": "a", "max_age": "1h"}]})),
        ),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (method, path, uri, body) in cases {
        let (status, answer) = ask(&app, method.to_uppercase().parse().unwrap(), &format!("/ops{uri}"), body).await;
        check(&description, method, path, status, &answer);
        seen.insert((method, path));
    }
    // Every route that is described was asked, but the stream, which is no JSON.
    let mut described = std::collections::BTreeSet::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|method| (&**method, &**path)));
    }
    described.remove(&("get", "/events"));
    assert_eq!(described, seen);
}

/// What a generator of clients wants of it, beside the schema of OpenAPI itself.
#[actix::test]
async fn the_description_is_whole() {
    let registry = registry(Policy::new(limits()));
    let app = test::init_service(App::new().service(Admin::unguarded(&registry).scope("/admin"))).await;
    let (_, description) = ask(&app, Method::GET, "/admin/openapi.json", None).await;
    let mut parts = vec![&description];
    while let Some(part) = parts.pop() {
        if let Some(name) = part.get("$ref").and_then(Value::as_str) {
            assert!(description.pointer(name.trim_start_matches('#')).is_some(), "{name} is nowhere");
        }
        match part {
            Value::Object(fields) => parts.extend(fields.values()),
            Value::Array(items) => parts.extend(items),
            _ => {}
        }
    }
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("401"), "{method} {path} wants a token");
            for (status, response) in responses {
                let says = response["description"].as_str().unwrap_or_default();
                assert!(!says.is_empty(), "{method} {path} {status} has no description");
                let is_problem = response["content"].get("application/problem+json").is_some();
                assert_eq!(is_problem, status.starts_with(['4', '5']), "{method} {path} {status}");
            }
        }
    }
}

#[actix::test]
async fn every_parameter_is_described_and_none_besides() {
    let registry = registry(Policy::new(limits()));
    let app = test::init_service(App::new().service(Admin::unguarded(&registry).scope("/admin"))).await;
    let (_, description) = ask(&app, Method::GET, "/admin/openapi.json", None).await;
    let sample = |parameter: &Value| {
        let schema = &parameter["schema"];
        let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
        match (parameter["name"].as_str().unwrap(), kind) {
            ("sort", _) => "idle",
            ("order", _) => "desc",
            ("phase", _) => "active",
            (_, Some("integer")) => "1",
            (_, Some("boolean")) => "true",
            _ => "a",
        }
    };
    for (path, method) in [("/sessions", Method::GET), ("/policy", Method::PUT)] {
        let parameters = &description["paths"][path][method.as_str().to_lowercase()]["parameters"];
        for parameter in parameters.as_array().unwrap().iter().filter(|parameter| parameter["in"] == "query") {
            let uri = format!("/admin{path}?{}={}", parameter["name"].as_str().unwrap(), sample(parameter));
            let (status, body) = ask(&app, method.clone(), &uri, Some(json!({}))).await;
            assert_eq!(status, StatusCode::OK, "{uri}: {body}");
        }
    }
    let names = |path: &str| -> Vec<String> {
        let parameters = description["paths"][path]["get"]["parameters"].as_array().unwrap();
        parameters.iter().map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/sessions"), ["match", "phase", "rule", "sort", "order", "offset", "limit"]);
    assert_eq!(names("/events"), ["last_event_id", "sessions", "Last-Event-ID"]);
}
