//! A thread that takes part in a race: what it sends, and what came of it.

use std::{sync::Arc, time::Duration};

use session_actors::{EndReason, OpenError, SendError, SessionRegistry, Unserved};
use tokio::time::Instant;

use crate::{
    arena::{Audit, soon},
    racer::{Book, By, Plain, Racer, Slow, SlowInContext, Token, key},
};

/// One of the threads of a race.
pub struct Thread {
    pub number: usize,
    pub registry: SessionRegistry<Racer>,
    pub book: Arc<Book>,
    pub dice: Dice,
    /// As what sessions of this race may end over work that is bound to their actor.
    pub cuts: Option<EndReason>,
    pub until: Instant,
}

/// What a thread sent and what came of it.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub answered: u64,
    pub do_sent: u64,
    pub asked: u64,
    pub try_sent: u64,
    /// Told by an address that it is closed: never accepted, or dropped.
    pub closed: u64,
    /// Refused, with the message given back.
    pub refused: u64,
    /// Accepted and not served, and told so.
    pub unserved: u64,
}

impl Tally {
    pub fn sum(tallies: &[Self]) -> Self {
        tallies.iter().fold(Self::default(), |a, b| Self {
            answered: a.answered + b.answered,
            do_sent: a.do_sent + b.do_sent,
            asked: a.asked + b.asked,
            try_sent: a.try_sent + b.try_sent,
            closed: a.closed + b.closed,
            refused: a.refused + b.refused,
            unserved: a.unserved + b.unserved,
        })
    }

    /// Everything that was accepted was handled exactly once, or is accounted for: by an address, mail may reach a
    /// session that ends without having taken any; that is dropped, and its `Ended` says so.
    pub fn check(&self, book: &Book, audit: &Audit) {
        assert_eq!(book.handled(By::Send), self.answered, "sent through the registry: {self:?}");
        assert_eq!(book.handled(By::DoSend), self.do_sent, "pushed through the registry: {self:?}");
        assert_eq!(book.handled(By::Ask), self.asked, "asked by address: {self:?}");
        let lost = self.try_sent - book.handled(By::TrySend);
        assert!(lost <= audit.dropped && audit.dropped <= lost + self.closed, "{lost} lost, {self:?}, {audit:?}");
    }
}

impl Thread {
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    pub fn token(&self, by: By) -> Token {
        Token::new(by, &self.book)
    }

    /// So many microseconds at most. Parked, because tokio's timer has ticks of a millisecond, and between two of them
    /// is where the races are.
    pub fn rest(&mut self, micros: u64) {
        std::thread::park_timeout(Duration::from_micros(self.dice.roll(micros)));
    }

    /// One message to each of many keys, and one that is waited for, to one of them; then a rest that is about as long
    /// as sessions of [`brief`] live.
    pub async fn round(&mut self, keys: u64, tally: &mut Tally) -> Result<(), OpenError> {
        for number in 0..keys as usize {
            if self.dice.roll(3) > 0 {
                self.push(&key(number), tally)?;
            }
        }
        let one = key(self.dice.roll(keys) as usize);
        self.send(&one, tally).await?;
        self.rest(2_000);
        Ok(())
    }

    pub fn push(&self, key: &str, tally: &mut Tally) -> Result<(), OpenError> {
        match self.registry.do_send(key, Plain(self.token(By::DoSend))) {
            Ok(()) => {
                tally.do_sent += 1;
                Ok(())
            }
            Err(SendError::Refused { cause, .. }) => Err(cause),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Sends one message in one of the ways there are; `Err` if it was refused.
    pub async fn send(&mut self, key: &str, tally: &mut Tally) -> Result<(), OpenError> {
        match self.dice.roll(10) {
            0..=3 => self.send_by_registry(key, Plain(self.token(By::Send)), tally).await,
            4 => {
                let time = Duration::from_micros(self.dice.roll(2_500));
                self.send_by_registry(key, Slow(self.token(By::Send), time), tally).await
            }
            5 => {
                let time = Duration::from_micros(self.dice.roll(2_500));
                let message = SlowInContext(self.token(By::Send), time);
                match soon("a reply", self.registry.send(key, message)).await {
                    Ok(()) => {}
                    Err(SendError::Refused { cause, .. }) => return Err(cause),
                    // Handled, and then cut with its actor; told so.
                    Err(SendError::Unserved { cause: Unserved::Ended { reason, .. } }) if Some(reason) == self.cuts => {
                    }
                    Err(error) => panic!("accepted for {key} and not served: {error:?}"),
                }
                tally.answered += 1;
                Ok(())
            }
            6 | 7 => self.push(key, tally),
            8 => {
                let addr = self.registry.open(key)?;
                self.rest(1_500);
                match soon("a request", addr.send(Plain(self.token(By::Ask)))).await {
                    Ok(()) => tally.asked += 1,
                    Err(_) => tally.closed += 1,
                }
                Ok(())
            }
            _ => {
                let addr = self.registry.open(key)?;
                self.rest(1_500);
                match addr.try_send(Plain(self.token(By::TrySend))) {
                    Ok(()) => tally.try_sent += 1,
                    Err(_) => tally.closed += 1,
                }
                Ok(())
            }
        }
    }

    pub async fn send_by_registry<M>(&self, key: &str, message: M, tally: &mut Tally) -> Result<(), OpenError>
    where
        M: actix::Message<Result = ()> + Send + 'static,
        Racer: actix::Handler<M>,
    {
        match soon("a reply", self.registry.send(key, message)).await {
            Ok(()) => {
                tally.answered += 1;
                Ok(())
            }
            Err(SendError::Refused { cause, .. }) => Err(cause),
            Err(error) => panic!("accepted for {key} and not served: {error:?}"),
        }
    }
}

/// The same sequence in every run; what differs is how the threads interleave.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}
