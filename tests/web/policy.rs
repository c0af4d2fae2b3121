//! The policy, as an operator sees and sets it.

use actix_web::{
    App,
    http::{Method, StatusCode, header},
    test,
};
use serde_json::{Value, json};
use session_actors::{Limits, Policy, web::admin::Admin};
use tokio::time::{pause, sleep};

use crate::support::*;

#[actix::test]
async fn a_policy_is_tried_before_it_is_set() {
    pause();
    let registry = registry(Policy::new(limits()));
    for n in 0..312 {
        registry.open(format!("hook:{n}")).unwrap();
    }
    sleep(secs(100)).await;
    registry.open("user:new").unwrap();
    let app = test::init_service(App::new().service(Admin::guarded(&registry, TOKEN).scope("/admin"))).await;
    let (_, mut policy) = ask(&app, Method::GET, "/admin/policy", None).await;
    assert_eq!(policy["idle_timeout"], "10m");
    policy["idle_timeout"] = json!("1m");
    policy["max_sessions"] = json!(10);

    let (status, tried) = ask(&app, Method::PUT, "/admin/policy?dry_run=true", Some(policy.clone())).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&tried["set"], &tried["would_end"], &tried["over_cap"]), (&json!(false), &json!(312), &json!(303)));
    assert_eq!(tried["by_reason"], json!({"idle_timeout": 312}));
    assert_eq!(tried["sessions"].as_array().unwrap().len(), 100);
    let says = "this would end 312 sessions of 313 at once, and changes the limits of 313; 303 more than it has room for go \
                on, and newcomers are refused until they have gone";
    assert_eq!(tried["message"], says);
    sleep(secs(1)).await;
    assert_eq!(registry.len(), 313);

    let (_, set) = ask(&app, Method::PUT, "/admin/policy", Some(policy)).await;
    assert_eq!((&set["set"], &set["would_end"]), (&json!(true), &json!(312)));
    sleep(secs(1)).await;
    assert_eq!(registry.len(), 1);
    assert_eq!(registry.policy().get_max_sessions(), Some(10));
}

#[actix::test]
async fn a_policy_that_makes_no_sense_changes_nothing() {
    let registry = registry(Policy::new(limits()));
    let before = registry.policy();
    let app = test::init_service(App::new().service(Admin::guarded(&registry, TOKEN).scope("/admin"))).await;
    for (policy, status, says) in [
        (json!({"idle_timeout": "0s"}), 422, "idle_timeout is zero"),
        (json!({"idle_timeout": "soon"}), 422, "soon"),
        (json!({"idle_timeut": "1h"}), 422, "unknown field"),
        (json!({"max_sessions": 0}), 422, "max_sessions"),
        (json!({"passivate_after": "1m"}), 422, "store"),
        (json!([]), 422, ""),
    ] {
        for uri in ["/admin/policy", "/admin/policy?dry_run=true"] {
            let (got, body) = ask(&app, Method::PUT, uri, Some(policy.clone())).await;
            assert_eq!((got.as_u16(), &body["code"]), (status, &json!("bad_policy")), "{policy}: {body}");
            assert!(body["detail"].as_str().unwrap().contains(says), "{policy}: {body}");
        }
    }
    let request = test::TestRequest::put()
        .uri("/admin/policy")
        .insert_header((header::AUTHORIZATION, format!("Bearer {TOKEN}")))
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .set_payload("{");
    let response = test::call_service(&app, request.to_request()).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(test::read_body_json::<Value, _>(response).await["code"], "bad_json");
    assert_eq!(registry.policy(), before);
}

/// Two who change it at the same time do not undo one another unseen.
#[actix::test]
async fn a_policy_made_from_another_is_refused() {
    let registry = registry(Policy::new(limits()));
    let app = test::init_service(App::new().service(Admin::guarded(&registry, TOKEN).scope("/admin"))).await;
    let request = || {
        test::TestRequest::get().uri("/admin/policy").insert_header((header::AUTHORIZATION, format!("Bearer {TOKEN}")))
    };
    let tag = test::call_service(&app, request().to_request()).await.headers().get(header::ETAG).unwrap().clone();
    let put = async |tag: header::HeaderValue, idle: &str| {
        let request = test::TestRequest::put()
            .uri("/admin/policy")
            .insert_header((header::AUTHORIZATION, format!("Bearer {TOKEN}")))
            .insert_header((header::IF_MATCH, tag))
            .set_json(json!({"idle_timeout": idle}));
        let response = test::call_service(&app, request.to_request()).await;
        (response.status().as_u16(), response.headers().get(header::ETAG).cloned())
    };
    let (status, next) = put(tag.clone(), "5m").await;
    assert_eq!(status, 200);
    assert_eq!(put(tag.clone(), "6m").await.0, 412);
    // Its answer had the next one's, and whoever compresses in between makes it weak.
    let weak = format!("W/{}", next.unwrap().to_str().unwrap());
    assert_eq!(put(weak.parse().unwrap(), "6m").await.0, 200);
    assert_eq!(put("\"other\"".parse().unwrap(), "7m").await.0, 412);
    assert_eq!(put("5m".parse().unwrap(), "7m").await.0, 400);
    assert_eq!(put("*".parse().unwrap(), "7m").await.0, 200);
    assert_eq!(registry.policy(), Policy::new(Limits::new().idle_timeout(secs(420))));
}

/// Of two who change the same policy at the same moment one is told to look again.
#[actix::test]
async fn two_at_a_time_do_not_undo_one_another() {
    let registry = registry(Policy::new(limits()));
    for n in 0..5_000 {
        registry.open(format!("hook:{n}")).unwrap();
    }
    let app = test::init_service(App::new().service(Admin::guarded(&registry, TOKEN).scope("/admin"))).await;
    for round in 1..10 {
        let get = test::TestRequest::get().uri("/admin/policy");
        let get = get.insert_header((header::AUTHORIZATION, format!("Bearer {TOKEN}")));
        let tag = test::call_service(&app, get.to_request()).await.headers().get(header::ETAG).unwrap().clone();
        let put = |idle: u64| {
            let request = test::TestRequest::put()
                .uri("/admin/policy")
                .insert_header((header::AUTHORIZATION, format!("Bearer {TOKEN}")))
                .insert_header((header::IF_MATCH, tag.clone()))
                .set_json(json!({ "idle_timeout": format!("{idle}m") }));
            test::call_service(&app, request.to_request())
        };
        let (one, other) = tokio::join!(put(100 * round), put(100 * round + 1));
        let mut answers = [one.status().as_u16(), other.status().as_u16()];
        answers.sort_unstable();
        assert_eq!(answers, [200, 412]);
    }
}
