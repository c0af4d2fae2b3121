//! The session that everybody races for, and the book that is kept of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use actix::prelude::*;
use session_actors::{Session, SessionContext, SessionKey};

pub const KEYS: usize = 1024;

/// What has happened, counted by the sessions themselves.
#[derive(Debug)]
pub struct Book {
    /// Actors alive, by key.
    alive: Vec<AtomicI64>,
    pub actors: AtomicI64,
    pub messages: AtomicI64,
    /// Actors that were made while another of their key was alive.
    pub overlaps: AtomicU64,
    /// Messages handled, by how they were sent.
    handled: [AtomicU64; 4],
}

impl Book {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            alive: (0..KEYS).map(|_| AtomicI64::new(0)).collect(),
            actors: AtomicI64::new(0),
            messages: AtomicI64::new(0),
            overlaps: AtomicU64::new(0),
            handled: [const { AtomicU64::new(0) }; 4],
        })
    }

    pub fn handled(&self, by: By) -> u64 {
        self.handled[by as usize].load(SeqCst)
    }
}

/// How a message was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Send,
    DoSend,
    /// By an address that `open` gave.
    Ask,
    TrySend,
}

/// Which key it is.
pub fn key(number: usize) -> String {
    format!("k{number}")
}

pub struct Racer {
    number: usize,
    book: Arc<Book>,
}

impl Racer {
    pub fn make(key: &SessionKey, book: &Arc<Book>) -> Self {
        let number: usize = key.as_str()[1..].parse().unwrap();
        if book.alive[number].fetch_add(1, SeqCst) != 0 {
            book.overlaps.fetch_add(1, SeqCst);
        }
        book.actors.fetch_add(1, SeqCst);
        Self { number, book: Arc::clone(book) }
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        self.book.alive[self.number].fetch_sub(1, SeqCst);
        self.book.actors.fetch_sub(1, SeqCst);
    }
}

impl Actor for Racer {
    type Context = SessionContext<Self>;
}

impl Session for Racer {}

/// What every message carries: counted while it lives, and once when it is handled.
#[derive(Debug)]
pub struct Token {
    by: By,
    book: Arc<Book>,
}

impl Token {
    pub fn new(by: By, book: &Arc<Book>) -> Self {
        book.messages.fetch_add(1, SeqCst);
        Self { by, book: Arc::clone(book) }
    }

    fn handled(&self) {
        self.book.handled[self.by as usize].fetch_add(1, SeqCst);
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.book.messages.fetch_sub(1, SeqCst);
    }
}

/// Answered at once.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Plain(pub Token);

/// Answered after a while, by a future outside of the context or in it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Slow(pub Token, pub Duration);

#[derive(Message)]
#[rtype(result = "()")]
pub struct SlowInContext(pub Token, pub Duration);

#[derive(Message)]
#[rtype(result = "()")]
pub struct Boom(pub Token);

#[derive(Message)]
#[rtype(result = "()")]
pub struct StopArbiter(pub Token);

impl Handler<Plain> for Racer {
    type Result = ();

    fn handle(&mut self, Plain(token): Plain, _: &mut Self::Context) {
        token.handled();
    }
}

impl Handler<Slow> for Racer {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Slow(token, time): Slow, _: &mut Self::Context) -> Self::Result {
        token.handled();
        Box::pin(tokio::time::sleep(time))
    }
}

impl Handler<SlowInContext> for Racer {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, SlowInContext(token, time): SlowInContext, _: &mut Self::Context) -> Self::Result {
        token.handled();
        Box::pin(tokio::time::sleep(time).into_actor(self))
    }
}

impl Handler<Boom> for Racer {
    type Result = ();

    fn handle(&mut self, Boom(token): Boom, _: &mut Self::Context) {
        token.handled();
        panic!("provoked");
    }
}

impl Handler<StopArbiter> for Racer {
    type Result = ();

    fn handle(&mut self, StopArbiter(token): StopArbiter, _: &mut Self::Context) {
        token.handled();
        Arbiter::current().stop();
    }
}
