//! Addresses by key where all sessions live on one thread: what most would write there. For the row that looks up keys
//! from other threads there is a map that these can share, filled as the sessions are opened, as everybody's is.

use std::{
    cell::{OnceCell, RefCell},
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use crate::contender::{ByKey, Hasher, Shared, key};

pub(super) struct Keys<A> {
    live: RefCell<HashMap<Arc<str>, A, Hasher>>,
    /// From when somebody asks for it.
    shared: OnceCell<Arc<Shared<A>>>,
}

impl<A> Default for Keys<A> {
    fn default() -> Self {
        Self { live: RefCell::default(), shared: OnceCell::new() }
    }
}

impl<A: Clone> Keys<A> {
    /// The session of this number, made if it is not live.
    pub(super) fn open(&self, index: usize, make: impl FnOnce(&Arc<str>) -> A) -> A {
        match self.live.borrow_mut().entry(key(index).into()) {
            Entry::Occupied(live) => live.get().clone(),
            Entry::Vacant(place) => {
                let address = make(place.key());
                if let Some(shared) = self.shared.get() {
                    shared.insert(Arc::clone(place.key()), address.clone());
                }
                place.insert(address).clone()
            }
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<A> {
        self.live.borrow().get(key).cloned()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.live.borrow().contains_key(key)
    }

    pub(super) fn remove(&self, key: &str) -> Option<A> {
        if let Some(shared) = self.shared.get() {
            shared.remove(key);
        }
        self.live.borrow_mut().remove(key)
    }

    pub(super) fn len(&self) -> usize {
        self.live.borrow().len()
    }
}

impl<A: Clone + Send + Sync + 'static> Keys<A> {
    pub(super) fn by_key(&self, send: fn(&A)) -> ByKey {
        ByKey::of(self.shared.get_or_init(Arc::default), send)
    }
}
