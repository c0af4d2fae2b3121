//! The session of a request, as an argument of its handler.

use std::{
    fmt,
    future::{Ready, ready},
};

use actix::{Addr, Handler, Message};
use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::{Problem, Sessions};
use crate::{CloseError, OpenError, Reply, Session, SessionKey, SessionRegistry};

/// The session that a request names, which need not be there: the first message opens it.
///
/// For handlers that have something to check before anybody gets a session. Refused only if the request names none.
pub struct Named<A: Session> {
    key: SessionKey,
    registry: SessionRegistry<A>,
}

/// The session of a request, which was opened if it was not live. That counts as activity.
///
/// Refused as [`SessionRegistry::open`] refuses.
pub struct Opened<A: Session> {
    session: Named<A>,
    addr: Addr<A>,
}

/// The session of a request, if it is in memory; otherwise the answer is 404, `no_session`. One that rests in a store is
/// not in memory: where sessions are stored, take [`Opened`].
pub struct Live<A: Session> {
    session: Named<A>,
    addr: Addr<A>,
}

impl<A: Session> Named<A> {
    /// Its key, with the prefix.
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// The registry it belongs to.
    pub fn registry(&self) -> &SessionRegistry<A> {
        &self.registry
    }

    /// Sends by key, as [`SessionRegistry::send`]: if the session has ended meanwhile, the message opens the next.
    pub fn send<M>(&self, message: M) -> Reply<M>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.registry.send(&self.key, message)
    }

    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let sessions = Sessions::<A>::of(request)?;
        let key = sessions.key(request)?;
        let registry = sessions.registry.upgrade().ok_or(OpenError::ShuttingDown)?;
        Ok(Self { key, registry })
    }
}

impl<A: Session> FromRequest for Named<A> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl<A: Session> FromRequest for Opened<A> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let opened = Named::of(request).and_then(|session| {
            let addr = session.registry.open(&session.key)?;
            Ok(Self { session, addr })
        });
        ready(opened)
    }
}

impl<A: Session> FromRequest for Live<A> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let live = Named::of(request).and_then(|session| match session.registry.get(&session.key) {
            Some(addr) => Ok(Self { session, addr }),
            None => Err(CloseError::NotFound.into()),
        });
        ready(live)
    }
}

macro_rules! has_a_session {
    ($($extractor:ident),*) => { $(
        /// What [`Named`] has.
        impl<A: Session> std::ops::Deref for $extractor<A> {
            type Target = Named<A>;

            fn deref(&self) -> &Named<A> {
                &self.session
            }
        }

        impl<A: Session> $extractor<A> {
            /// The address of this very incarnation. By key, with [`send`](Named::send), one reaches the next as well.
            pub fn addr(&self) -> &Addr<A> {
                &self.addr
            }
        }

        impl<A: Session> fmt::Debug for $extractor<A> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($extractor)).field(&self.session.key).finish()
            }
        }
    )* };
}

has_a_session!(Opened, Live);

impl<A: Session> fmt::Debug for Named<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Named").field(&self.key).finish()
    }
}
