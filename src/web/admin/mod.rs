//! What operators see and do: routes to mount where you like, and a page.
//!
//! ```
//! # use actix::prelude::*;
//! # use actix_web::App;
//! # use session_actors::{Session, SessionContext, SessionRegistry, web::admin::Admin};
//! # struct Chat; impl Actor for Chat { type Context = SessionContext<Self>; } impl Session for Chat {}
//! # fn mount(registry: SessionRegistry<Chat>, token: String) {
//! let admin = Admin::guarded(&registry, &token);
//! let app = App::new().service(admin.scope("/admin"));
//! # }
//! ```
//!
//! | route, under the scope | does |
//! |---|---|
//! | `GET /` | the page: live sessions, rates, events, policy. It holds no data and asks for the token itself |
//! | `GET /sessions` | sessions in memory: `match` (a glob on the key), `phase`, `rule`, `sort`, `order`, `offset`, `limit` |
//! | `GET /sessions/{key}` | one of them |
//! | `DELETE /sessions/{key}` | ends it, and answers with what it leaves when it has; with `wait=false` at once |
//! | `POST /sessions/{key}/extend` | puts off its idle end: `{"by_ms": 600000}` |
//! | `GET /stats` | counts: by phase, by rule, and since the start |
//! | `GET /policy` | the policy in force |
//! | `PUT /policy` | another; with `dry_run=true` only what it would do. Not kept over a restart |
//! | `GET /events` | server-sent events, after `Last-Event-ID`; `sessions=false` leaves the sessions out of snapshots |
//! | `GET /openapi.json` | all of this as OpenAPI 3.1; open, as the page |
//!
//! A key is one segment of the path, percent-encoded: `/` in it is `%2F`. Errors are [`Problem`]s.

mod counts;
mod events;
mod guard;
mod openapi;
mod page;
mod policy;
mod routes;
mod sessions;
mod shown;
mod views;
mod work;

use std::{fmt, sync::Arc};

use actix_web::{Scope, web};

use self::{
    guard::Door,
    routes::{bodies, nothing, queries},
    shown::Shown,
    work::Desk,
};
use super::{Bearer, Problem};
use crate::{OpenError, Session, SessionRegistry, WeakSessionRegistry};

/// The operator's side of a registry, to be mounted with [`scope`](Self::scope).
///
/// Holds the registry weakly.
pub struct Admin<A: Session>(Arc<Inner<A>>);

struct Inner<A: Session> {
    registry: WeakSessionRegistry<A>,
    door: Door,
    shown: Shown,
    desk: Desk,
}

impl<A: Session> Admin<A> {
    /// For whoever sends `Authorization: Bearer` and this token: see [`Bearer`]. An empty token lets nobody in.
    pub fn guarded(registry: &SessionRegistry<A>, token: &str) -> Self {
        Self::new(registry, Door::Token(Bearer::new(token)))
    }

    /// For everybody who can reach it by an address or as `localhost`: for a server that listens on a loopback address.
    /// Other hosts are refused (403, `host_refused`), because a page elsewhere may have its own name lead to this machine.
    pub fn unguarded(registry: &SessionRegistry<A>) -> Self {
        Self::new(registry, Door::Number)
    }

    /// For everybody who can reach it: behind a guard of your own, which has to look at who asks and from what page.
    pub fn behind_a_guard(registry: &SessionRegistry<A>) -> Self {
        Self::new(registry, Door::Open)
    }

    fn new(registry: &SessionRegistry<A>, door: Door) -> Self {
        Self::of(registry.downgrade(), door, Shown::Plain)
    }

    fn of(registry: WeakSessionRegistry<A>, door: Door, shown: Shown) -> Self {
        Self(Arc::new(Inner { registry, door, shown, desk: Desk::new() }))
    }

    /// Keys are shown, and asked for, as hashes: for operators who are not to see whose sessions they are. Hashes are
    /// keyed with this secret (HMAC-SHA-256, 16 hexadecimal digits), so that a known key cannot be looked for without it;
    /// the same secret gives the same hashes after a restart and on every node. `match` is on the hashes as well.
    #[must_use]
    pub fn hash_keys(self, secret: impl AsRef<[u8]>) -> Self {
        let Inner { registry, door, .. } = &*self.0;
        Self::of(registry.clone(), door.clone(), Shown::hashed(secret.as_ref()))
    }

    /// The routes, under this path, such as `/admin`.
    pub fn scope(&self, path: &str) -> Scope {
        web::scope(path)
            .app_data(self.clone())
            .app_data(queries())
            .app_data(bodies())
            .service(page::at_root())
            .service(page::index())
            .service(page::script())
            .service(page::style())
            .service(openapi::resource())
            .service(sessions::all::<A>())
            .service(sessions::extend::<A>())
            .service(sessions::one::<A>())
            .service(counts::resource::<A>())
            .service(policy::resource::<A>())
            .service(events::resource::<A>())
            .default_service(nothing())
    }

    fn registry(&self) -> Result<SessionRegistry<A>, Problem> {
        Ok(self.0.registry.upgrade().ok_or(OpenError::ShuttingDown)?)
    }
}

impl<A: Session> Clone for Admin<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Session> fmt::Debug for Admin<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("guarded", &matches!(self.0.door, Door::Token(_))).finish_non_exhaustive()
    }
}
