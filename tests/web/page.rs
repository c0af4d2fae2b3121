//! The operator's page, in a real browser and in real time.

use actix_web::{
    App,
    http::{StatusCode, header},
    test,
};
use serde_json::json;
use session_actors::{
    EndReason, Limits, Policy,
    web::{admin::Admin, socket::SocketOptions},
};

use crate::{browser::Browser, support::*};

/// A key that would do harm were it ever taken for markup.
const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>&amp;";

fn start(policy: Policy) -> Server {
    Server::start(policy, SocketOptions::new())
}

/// At the page, signed in.
async fn signed_in(server: &Server, arguments: &[&str]) -> Option<Browser> {
    let browser = Browser::start(arguments).await?;
    browser.open(&format!("http://127.0.0.1:{}/admin/", server.port)).await;
    browser.until("document.getElementById('token').open").await;
    browser.fill("#token-input", TOKEN).await;
    browser.press("\u{e007}").await;
    browser.until("document.getElementById('connection').dataset.state === 'good'").await;
    Some(browser)
}

/// The row of a key is there, or is not.
fn row(key: &str) -> String {
    format!("[...document.querySelectorAll('#rows td.key')].some((cell) => cell.textContent === {})", json!(key))
}

fn event(name: &str, key: &str) -> String {
    format!(
        "[...document.querySelectorAll('#events li:not([hidden])')].some((line) => line.dataset.event === {} && \
         line.querySelector('span').textContent === {})",
        json!(name),
        json!(format!("{key} "))
    )
}

#[actix::test]
async fn the_page_is_of_itself_alone_and_holds_no_data() {
    let registry = registry(Policy::new(limits()));
    registry.open("user:ada").unwrap();
    let app = test::init_service(App::new().service(Admin::guarded(&registry, TOKEN).scope("/admin"))).await;
    let root = test::call_service(&app, test::TestRequest::get().uri("/admin").to_request()).await;
    assert_eq!(
        (root.status(), root.headers().get(header::LOCATION).unwrap()),
        (StatusCode::PERMANENT_REDIRECT, &"admin/".parse().unwrap())
    );
    for (uri, kind) in
        [("/admin/", "text/html"), ("/admin/page.js", "text/javascript"), ("/admin/page.css", "text/css")]
    {
        let response = test::call_service(&app, test::TestRequest::get().uri(uri).to_request()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert!(header("content-type").starts_with(kind));
        assert!(
            header("content-security-policy").starts_with("default-src 'none'; script-src 'self'; style-src 'self'")
        );
        assert_eq!((&*header("x-content-type-options"), &*header("referrer-policy")), ("nosniff", "no-referrer"));
        let body = String::from_utf8(test::read_body(response).await.to_vec()).unwrap();
        assert!(!body.contains("ada"));
        for from_elsewhere in
            ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", " style="]
        {
            assert!(!body.contains(from_elsewhere), "{uri} has {from_elsewhere}");
        }
    }
}

#[actix::test]
async fn it_asks_for_the_token_until_it_is_the_right_one() {
    let server = start(Policy::new(limits()));
    server.registry.open("user:ada").unwrap();
    let Some(browser) = Browser::start(&[]).await else { return };
    browser.open(&format!("http://127.0.0.1:{}/admin", server.port)).await;
    browser.until("document.getElementById('token').open").await;
    assert_eq!(browser.eval("document.getElementById('token-wrong').hidden").await, true);
    browser.fill("#token-input", "wrong").await;
    browser.click("#token-ok").await;
    browser.until("document.getElementById('token').open && !document.getElementById('token-wrong').hidden").await;
    browser.fill("#token-input", TOKEN).await;
    browser.click("#token-ok").await;
    browser.until(&row("user:ada")).await;
    browser.until("document.getElementById('live').textContent === '1'").await;
    assert_eq!(browser.eval("location.pathname").await, "/admin/");
    browser.close().await;
    server.stop().await;
}

#[actix::test]
async fn time_runs_down_and_the_end_is_seen() {
    let server = start(Policy::new(Limits::new().idle_timeout(secs(10)).max_age(None)));
    server.registry.open("user:slow").unwrap();
    let Some(browser) = signed_in(&server, &[]).await else { return };
    server.registry.open("user:ada").unwrap();
    browser.until(&row("user:ada")).await;
    browser.until(&event("opened", "user:ada")).await;
    let width = "(() => { const row = [...document.querySelectorAll('#rows tr')].find((row) => row.key === 'user:ada'); \
                 return row ? Number(row.querySelector('.fill').style.transform.slice(7, -1)) : -1; })()";
    let before = browser.eval(width).await.as_f64().unwrap();
    tokio::time::sleep(secs(1)).await;
    let after = browser.eval(width).await.as_f64().unwrap();
    assert!(before <= 1.0 && after < before - 0.05 && after > 0.0, "{before} then {after}");
    browser.until(&event("ended", "user:ada")).await;
    browser.until(&format!("!{}", row("user:ada"))).await;
    browser.until("document.querySelector('#reason-idle_timeout b').textContent === '2'").await;
    assert!(
        browser
            .eval("document.querySelector('#rates polyline.opened').getAttribute('points')")
            .await
            .as_str()
            .unwrap()
            .len()
            > 10
    );
    browser.close().await;
    server.stop().await;
}

#[actix::test]
async fn what_is_looked_for_is_found() {
    let server = start(Policy::new(limits()).rule("hook:*", Limits::new().idle_timeout(secs(300))));
    for key in ["hook:a", "hook:b", "user:ada"] {
        server.registry.send(key, Count).await.unwrap();
    }
    server.registry.send("hook:b", Count).await.unwrap();
    let Some(browser) = signed_in(&server, &[]).await else { return };
    browser.until(&row("user:ada")).await;
    browser.press("/hook:*").await;
    browser.until("document.getElementById('matching').textContent === '2 of 3'").await;
    browser.until(&format!("!{}", row("user:ada"))).await;
    let keys = "[...document.querySelectorAll('#rows td.key')].map((cell) => cell.textContent).join()";
    browser.click("[data-sort=handled]").await;
    browser.until(&format!("{keys} === 'hook:a,hook:b'")).await;
    browser.click("[data-sort=handled]").await;
    browser.until(&format!("{keys} === 'hook:b,hook:a'")).await;
    assert_eq!(browser.eval("document.querySelector('th.handled').getAttribute('aria-sort')").await, "descending");
    browser.fill("#match", "[").await;
    browser.until("document.getElementById('wrong').textContent.startsWith('match is no glob')").await;
    browser.fill("#match", "nobody").await;
    browser
        .until(
            "document.getElementById('matching').textContent === '0 of 3' && document.getElementById('wrong').hidden",
        )
        .await;
    browser.fill("#match", "*").await;
    browser.eval("(document.getElementById('rule').value = 'default', document.getElementById('rule').dispatchEvent(new Event('input')))").await;
    browser.until(&format!("{keys} === 'user:ada'")).await;
    browser.close().await;
    server.stop().await;
}

#[actix::test]
async fn a_session_is_opened_extended_and_ended_but_only_when_that_was_meant() {
    let server = start(Policy::new(limits()));
    server.registry.open("user:ada").unwrap();
    let Some(browser) = signed_in(&server, &[]).await else { return };
    browser.until(&row("user:ada")).await;
    browser.eval("document.getElementById('scroll').focus()").await;
    browser.press("\u{e015}\u{e007}").await;
    browser.until("document.getElementById('detail').open && document.getElementById('detail-list').textContent.includes('rule')").await;
    let left = || server.registry.info("user:ada").map(|info| info.expires_in.unwrap());
    browser.click("#extend").await;
    browser.click("#confirm [data-close]").await;
    assert!(left().unwrap() <= secs(600));
    browser.click("#extend").await;
    browser.click("#confirm-yes").await;
    browser.until("document.getElementById('detail-note').textContent.includes('more')").await;
    assert!(left().unwrap() > secs(3000));
    browser.click("#end").await;
    assert!(
        browser
            .eval("document.getElementById('confirm-text').textContent")
            .await
            .as_str()
            .unwrap()
            .contains("user:ada")
    );
    browser.press("\u{e00c}").await;
    browser.until("!document.getElementById('confirm').open").await;
    assert!(left().is_some());
    let mut watch = server.registry.watch();
    browser.click("#end").await;
    browser.click("#confirm-yes").await;
    loop {
        if let session_actors::Watched::Event(event) = watch.next().await.unwrap()
            && let session_actors::EventKind::Ended(ended) = &event.kind
        {
            break assert_eq!(ended.reason, EndReason::Closed);
        }
    }
    browser.until("document.getElementById('end').disabled").await;
    browser.close().await;
    server.stop().await;
}

#[actix::test]
async fn a_key_full_of_markup_stays_text() {
    let server = start(Policy::new(limits()));
    let Some(browser) = signed_in(&server, &[]).await else { return };
    server.registry.open(HOSTILE).unwrap();
    browser.until(&row(HOSTILE)).await;
    browser.until(&event("opened", HOSTILE)).await;
    browser.click("#rows td.key").await;
    browser.until(&format!("document.getElementById('detail-key').textContent === {}", json!(HOSTILE))).await;
    browser.until("document.getElementById('detail-list').textContent.includes('rule')").await;
    browser.click("#end").await;
    browser.click("#confirm-yes").await;
    browser.until(&event("ended", HOSTILE)).await;
    assert_eq!(browser.eval("document.title").await, "Sessions");
    assert_eq!(
        browser.eval("document.querySelectorAll('img').length + document.querySelectorAll('body script').length").await,
        0
    );
    // And even if it were markup.
    let ran = browser
        .eval("(() => { const s = document.createElement('script'); s.textContent = \"document.title = 'owned'\"; document.body.append(s); return document.title; })()")
        .await;
    assert_eq!(ran, "Sessions", "the content security policy does not hold");
    browser.close().await;
    server.stop().await;
}

#[actix::test]
async fn it_goes_on_after_the_gateway_was_started_again() {
    let server = start(Policy::new(limits()));
    let port = server.port;
    server.registry.open("before").unwrap();
    let Some(browser) = signed_in(&server, &[]).await else { return };
    browser.until(&row("before")).await;
    server.stop().await;
    browser.until("document.getElementById('connection').dataset.state === 'bad'").await;
    let server = Server::of(registry(Policy::new(limits())), SocketOptions::new(), port);
    server.registry.open("after").unwrap();
    browser.until("document.getElementById('connection').dataset.state === 'good'").await;
    browser.until(&row("after")).await;
    browser.until(&format!("!{}", row("before"))).await;
    // Events as well: it asks after one of the earlier life, and is given what there is.
    browser.until("document.querySelector('#events [data-event=snapshot]:first-child') || document.querySelectorAll('#events [data-event=snapshot]').length === 2").await;
    server.registry.open("later").unwrap();
    browser.until(&event("opened", "later")).await;
    browser.close().await;
    server.stop().await;
}

#[actix::test]
async fn of_ten_thousand_only_those_in_sight_are_drawn() {
    let server = start(Policy::new(limits()));
    for n in 0..10_000 {
        server.registry.open(format!("user:{n:05}")).unwrap();
    }
    let Some(browser) = signed_in(&server, &[]).await else { return };
    browser.until("document.getElementById('matching').textContent === '10,000'").await;
    assert!(browser.eval("document.querySelectorAll('#rows tr').length").await.as_u64().unwrap() < 120);
    browser.eval("window.longest = 0, new PerformanceObserver((list) => { for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration); }).observe({ entryTypes: ['longtask'] })").await;
    for (place, key) in [(160_000, "user:05000"), (10_000_000, "user:09999"), (0, "user:00000")] {
        browser.eval(&format!("(document.getElementById('scroll').scrollTop = {place})")).await;
        browser.until(&row(key)).await;
        let seen = format!(
            "(() => {{ const cell = [...document.querySelectorAll('#rows td.key')].find((cell) => cell.textContent === '{key}'); \
             const [a, b] = [cell.getBoundingClientRect(), document.getElementById('scroll').getBoundingClientRect()]; \
             return a.bottom > b.top && a.top < b.bottom; }})()"
        );
        browser.until(&seen).await;
    }
    browser.fill("#match", "user:07*").await;
    browser.until("document.getElementById('matching').textContent === '1,000 of 10,000'").await;
    browser.click("[data-sort=key]").await;
    browser.click("[data-sort=key]").await;
    browser.until("document.querySelector('#rows td.key')?.textContent === 'user:07999'").await;
    // A figure to look at and no assertion: it is the machine's as well.
    let longest = browser.eval("window.longest").await;
    println!("longest task of the page's thread: {longest} ms");
    browser.close().await;
    server.stop().await;
}

#[actix::test]
async fn events_wait_while_they_are_paused() {
    let server = start(Policy::new(limits()));
    let Some(browser) = signed_in(&server, &[]).await else { return };
    browser.until("document.querySelector('#events [data-event=snapshot]')").await;
    browser.eval("document.activeElement.blur()").await;
    browser.press("p").await;
    for key in ["a", "b", "c"] {
        server.registry.open(key).unwrap();
    }
    browser.until("document.getElementById('pause').textContent === 'Go on (3)'").await;
    assert_eq!(browser.eval("document.querySelectorAll('#events li').length").await, 1);
    browser.click("#pause").await;
    browser.until(&event("opened", "c")).await;
    let first = browser.eval("document.querySelector('#events li span').textContent").await;
    assert_eq!(first, "c ", "the newest first");
    browser.fill("#events-with", "b").await;
    browser.until("document.querySelectorAll('#events li:not([hidden])').length === 1").await;
    browser.close().await;
    server.stop().await;
}

#[actix::test]
async fn a_policy_is_tried_and_set() {
    let server = start(Policy::new(limits()));
    server.registry.open("user:ada").unwrap();
    let Some(browser) = signed_in(&server, &[]).await else { return };
    browser.click("#show-policy").await;
    browser.until("document.getElementById('policy-text').value.includes('idle_timeout')").await;
    let write = |text: &str| format!("(document.getElementById('policy-text').value = {})", json!(text));
    browser.eval(&write("{\"max_age\": \"1ms\", \"idle_timeout\": \"1h\"}")).await;
    browser.click("#policy-try").await;
    browser
        .until("document.getElementById('policy-note').textContent.startsWith('this would end 1 session of 1')")
        .await;
    assert_eq!(server.registry.len(), 1);
    browser.eval(&write("{\"max_age\": \"soon\"}")).await;
    browser.click("#policy-try").await;
    browser.until("document.getElementById('policy-note').textContent.includes('soon')").await;
    browser.eval(&write("{\"idle_timeout\": \"2h\"}")).await;
    browser.click("#policy-set").await;
    browser.until("document.getElementById('confirm').open").await;
    browser.click("#confirm-yes").await;
    browser.until("document.getElementById('policy-note').textContent.startsWith('set: ')").await;
    assert_eq!(server.registry.policy().get_limits().idle_timeout, Some(secs(7200)));
    browser.close().await;
    server.stop().await;
}

/// To be looked at: `target/tmp/page`.
#[actix::test]
async fn it_is_seen_light_dark_and_narrow() {
    let policy = Policy::new(limits().warn_before(secs(60)))
        .exclude("main")
        .rule("hook:*", Limits::new().idle_timeout(secs(120)))
        .max_sessions(1000);
    let server = start(policy);
    server.registry.open("main").unwrap();
    for n in 0..40 {
        server.registry.send(format!("hook:github:octo/repo-{n}"), Count).await.unwrap();
        server.registry.send(format!("user:{n}"), Count).await.unwrap();
    }
    actix::spawn(server.registry.send("user:3", Work(secs(60))));
    actix::spawn(server.registry.send("user:4", Work(secs(60))));
    let _draining = server.registry.close("user:4");
    for (name, arguments) in [
        ("light", &["--window-size=1280,900"][..]),
        ("dark", &["--window-size=1280,900", "--force-dark-mode"]),
        ("narrow", &["--window-size=500,900"]),
    ] {
        let Some(browser) = signed_in(&server, arguments).await else { return };
        for n in 0..5 {
            server.registry.close(format!("hook:github:octo/repo-{n}")).await.ok();
            server.registry.send(format!("hook:github:octo/repo-{n}"), Count).await.unwrap();
        }
        browser.until(&row("main")).await;
        browser.until("document.querySelectorAll('#events li').length > 5").await;
        tokio::time::sleep(secs(3)).await;
        let file = browser.picture(name).await;
        assert!(std::fs::metadata(&file).unwrap().len() > 10_000);
        let wide = browser.eval("document.documentElement.scrollWidth > document.documentElement.clientWidth").await;
        assert_eq!(wide, false, "{name}: it has to be scrolled sideways");
        browser.click("#rows td.key").await;
        browser.until("document.getElementById('detail-list').textContent.includes('rule')").await;
        browser.picture(&format!("{name}-detail")).await;
        browser.close().await;
    }
    server.stop().await;
}
