//! Opening: the way of a key to a running incarnation.

use std::sync::{Arc, atomic::Ordering};

use actix::dev::channel::channel;

use super::hub::Hub;
use crate::{
    capacity::Permit,
    directory::{Opened, Route},
    error::{OpenError, Unserved},
    event::SessionId,
    host::{HostLink, Instruction},
    keeping::Remembered,
    key::{IntoKey, SessionKey},
    session::{Session, vitals::Vitals},
    start::{Make, Parts, Start},
};

impl<A: Session> Hub<A> {
    /// Finds the route of `key`, opening it if need be, and uses it: under the entry lock, so that
    /// what is sent there is in the mailbox of an incarnation that has not left the directory.
    pub(crate) fn route<T>(
        self: &Arc<Self>,
        key: impl IntoKey,
        make: Option<Make<A>>,
        use_route: &mut dyn FnMut(&Route<A>) -> T,
    ) -> Result<T, OpenError> {
        if self.shutdown.begun() {
            return Err(OpenError::ShuttingDown);
        }
        if let Some(used) = self.directory.with_alone(key.as_str(), &mut *use_route) {
            return Ok(used);
        }
        let key = key.into_key()?;
        if !self.has_host() {
            return Err(self.no_host());
        }
        let (route, start) = self.incarnation(key.clone(), make);
        let opened = self.directory.open(
            key.clone(),
            route,
            start,
            &mut *use_route,
            || !self.shutdown.begun(),
            || {
                self.capacity.take()?;
                Ok(Some(Permit::new(Arc::clone(self))))
            },
        );
        match opened {
            Opened::Live(used, unused) => {
                unused.forget();
                Ok(used)
            }
            Opened::Waits(used) => Ok(used),
            Opened::Starts(used, start) => {
                Self::dispatch(self, start);
                Ok(used)
            }
            Opened::Full(full, route, start) => self.at_capacity(full, key, route, start, use_route),
        }
    }

    pub(super) fn incarnation(self: &Arc<Self>, key: SessionKey, make: Option<Make<A>>) -> (Route<A>, Box<Start<A>>) {
        let id = SessionId::new(self.next_id.fetch_add(1, Ordering::Relaxed));
        if let Some(keeper) = &self.keeper {
            keeper.note_id(self, id);
        }
        let vitals = Arc::new(Vitals::new(key, id));
        let (sender, mailbox) = channel(self.mailbox_capacity);
        let start = Start::new(
            Arc::clone(self),
            Parts {
                vitals: Arc::clone(&vitals),
                mailbox,
                make,
                leftovers: Vec::new(),
                permit: None,
                remembered: Remembered::Unread,
            },
        );
        (Route { sender, vitals }, Box::new(start))
    }

    pub(crate) fn make_actor(&self, key: &SessionKey) -> A {
        (self.factory)(key)
    }

    pub(crate) fn has_host(&self) -> bool {
        self.hosts.iter().any(HostLink::is_alive)
    }

    /// Why there is no host: the arbiters are gone, or the registry stopped them.
    pub(crate) fn no_host(&self) -> OpenError {
        if self.shutdown.begun() { OpenError::ShuttingDown } else { OpenError::NoHost }
    }

    /// Sends an incarnation to the host of its key, or to the next one that is alive; but first, where sessions are kept
    /// in a store, that is asked for it.
    pub(crate) fn dispatch(this: &Arc<Self>, mut start: Box<Start<A>>) {
        if let Some(keeper) = &this.keeper
            && start.is_unread()
        {
            return keeper.load(this, start);
        }
        let home = match this.hosts.len() {
            0 | 1 => 0,
            hosts => {
                let hash = start.key().map_or(0, |key| this.spread.hash_one(key.as_str()));
                usize::try_from(hash % hosts as u64).unwrap_or(0)
            }
        };
        for host in this.hosts[home..].iter().chain(&this.hosts[..home]) {
            match host.start(start) {
                Ok(()) => return,
                Err(refused) => start = refused,
            }
        }
        start.fail(Unserved::HostGone);
    }

    /// Tells every host.
    pub(crate) fn instruct(&self, instruction: Instruction) {
        for host in &self.hosts {
            host.instruct(instruction);
        }
    }
}
