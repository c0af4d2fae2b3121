//! Who may.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::Admin;
use crate::{OpenError, Session, web::Problem};

/// Proof that the caller may: a handler that takes it cannot be reached without.
pub(super) struct Operator<A: Session>(pub(super) Admin<A>);

impl<A: Session> FromRequest for Operator<A> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // Its scope has it.
        let Some(admin) = request.app_data::<Admin<A>>() else { return ready(Err(OpenError::ShuttingDown.into())) };
        let may = admin.0.token.as_ref().map_or(Ok(()), |token| token.check(request));
        ready(may.map(|()| Self(admin.clone())))
    }
}
