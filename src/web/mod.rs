//! For gateways on actix-web: the session of a request, errors as answers, WebSockets, and what operators look at.
//!
//! Built on this crate's public API alone, and mounted only where you mount it.
//!
//! * [`Sessions`] says which session a request belongs to; handlers take it as [`Opened`], [`Live`] or [`Named`].
//! * The errors of this crate are [`ResponseError`](actix_web::ResponseError)s: with `?` they become an answer with the
//!   right status, `Retry-After` where it helps to come back, and problem details ([RFC 9457]) as its body.
//! * [`socket`] attaches a WebSocket to a session.
//! * [`admin`] has the operator's routes and page, [`Bearer`] the token that guards them.
//! * [`stop_signal`] says when to shut down, and [`give_up_on_deaf_peers`] is for connections that are never read.
//!
//! ```
//! use actix::prelude::*;
//! use actix_web::{App, HttpResponse, test, web};
//! use session_actors::{Session, SessionContext, SessionKey, SessionRegistry, web::{Opened, Problem, Sessions}};
//!
//! #[derive(Default)]
//! struct Counter(u64);
//! impl Actor for Counter { type Context = SessionContext<Self>; }
//! impl Session for Counter {}
//!
//! #[derive(Message)]
//! #[rtype(result = "u64")]
//! struct Count;
//! impl Handler<Count> for Counter {
//!     type Result = u64;
//!     fn handle(&mut self, _: Count, _: &mut Self::Context) -> u64 { self.0 += 1; self.0 }
//! }
//!
//! async fn count(session: Opened<Counter>) -> Result<String, actix_web::Error> {
//!     Ok(session.send(Count).await?.to_string())
//! }
//!
//! # #[actix::main]
//! # async fn main() {
//! let registry = SessionRegistry::builder(|_: &SessionKey| Counter::default()).start().unwrap();
//! let app = App::new()
//!     .app_data(Sessions::by_path(&registry, "user").prefixed("user:"))
//!     .route("/count/{user}", web::post().to(count));
//! # let app = test::init_service(app).await;
//! # for n in ["1", "2"] {
//! #     let request = test::TestRequest::post().uri("/count/ada").to_request();
//! #     assert_eq!(test::call_and_read_body(&app, request).await, n);
//! # }
//! # assert!(registry.info("user:ada").is_some());
//! # }
//! ```
//!
//! [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457

pub mod admin;
mod bearer;
mod errors;
mod extract;
mod problem;
mod serving;
mod sessions;
pub mod socket;

pub use self::{
    bearer::Bearer,
    extract::{Live, Named, Opened},
    problem::Problem,
    serving::{give_up_on_deaf_peers, stop_signal},
    sessions::Sessions,
};
