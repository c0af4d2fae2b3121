//! A real browser. Where there is none, what wants it is skipped aloud.

use std::{io::Write as _, process::Stdio, time::Duration};

use fantoccini::{Client, ClientBuilder, wd::Capabilities};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

/// So many at a time: they are heavy.
static FEW: Semaphore = Semaphore::const_new(3);

/// Chromium with its driver, both of Debian's `chromium-driver` and the like. `CHROMEDRIVER` names another driver.
pub struct Browser {
    client: Client,
    /// Killed with this.
    _driver: Child,
    _one: SemaphorePermit<'static>,
}

impl Browser {
    /// `None`, said aloud, if there is no driver.
    pub async fn start(arguments: &[&str]) -> Option<Self> {
        let one = FEW.acquire().await.unwrap();
        let driver = std::env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".into());
        let started = Command::new(&driver).arg("--port=0").stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let Ok(mut driver) = started else {
            // Not by the macro, which says nothing in a test that passes.
            let _ = writeln!(std::io::stderr(), "SKIPPED: no {driver}: install chromium and chromium-driver");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port: u16 = loop {
            let line = lines.next_line().await.unwrap().expect("the driver did not start");
            if let Some(port) = line.strip_suffix('.').and_then(|line| line.rsplit_once("on port ")) {
                break port.1.parse().unwrap();
            }
        };
        let mut all = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
        ];
        all.extend_from_slice(arguments);
        let mut wants = Capabilities::new();
        wants.insert("goog:chromeOptions".into(), json!({ "args": all }));
        let connector = hyper_util::client::legacy::connect::HttpConnector::new();
        let mut builder = ClientBuilder::new(connector);
        let client = builder.capabilities(wants).connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
        Some(Self { client, _driver: driver, _one: one })
    }

    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// The value of an expression in the page.
    pub async fn eval(&self, expression: &str) -> Value {
        self.client.execute(&format!("return ({expression});"), Vec::new()).await.unwrap()
    }

    /// Waits until an expression is true.
    pub async fn until(&self, expression: &str) {
        let begin = Instant::now();
        while self.eval(&format!("!!({expression})")).await != json!(true) {
            assert!(
                begin.elapsed() < Duration::from_secs(40),
                "it does not become so: {expression}\n{}",
                self.text().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a reader sees.
    pub async fn text(&self) -> String {
        self.eval("document.body.innerText").await.as_str().unwrap().to_owned()
    }

    pub async fn click(&self, css: &str) {
        self.client.find(fantoccini::Locator::Css(css)).await.unwrap().click().await.unwrap();
    }

    /// Types into a field, instead of what is there.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.client.find(fantoccini::Locator::Css(css)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Presses keys where the focus is.
    pub async fn press(&self, keys: &str) {
        self.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// A picture, beside the build: to be looked at.
    pub async fn picture(&self, name: &str) -> std::path::PathBuf {
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}.png"));
        std::fs::write(&file, self.client.screenshot().await.unwrap()).unwrap();
        file
    }

    pub async fn close(self) {
        self.client.close().await.unwrap();
    }
}
