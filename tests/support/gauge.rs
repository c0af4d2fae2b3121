//! A session that counts how many of its kind are alive, for tests on several threads.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix::prelude::*;
use session_actors::{Session, SessionContext, SessionKey};

use crate::support::Ping;

/// Actors alive now, and the most there ever were.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<(AtomicUsize, AtomicUsize)>);

impl Gauge {
    pub fn now(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    pub fn peak(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }

    fn enter(&self) {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
    }
}

pub struct Counted(Gauge);

impl Counted {
    pub fn factory(gauge: &Gauge) -> impl Fn(&SessionKey) -> Self + Send + Sync + 'static {
        let gauge = gauge.clone();
        move |_| {
            gauge.enter();
            Self(gauge.clone())
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Actor for Counted {
    type Context = SessionContext<Self>;
}

impl Session for Counted {}

impl Handler<Ping> for Counted {
    type Result = u64;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> u64 {
        1
    }
}
