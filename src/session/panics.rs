//! Keeping a panic where it happened.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The words of a panic.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let message = words(&*payload);
    // A payload is a user's value, and its `Drop` may panic as well.
    drop_quietly(payload);
    message
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&'static str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic that carries no text".to_owned())
}

/// Runs foreign code; its panic is returned as its message.
pub(crate) fn quietly(run: impl FnOnce()) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(run)).err()?;
    let message = words(&*payload);
    // Dropping this payload could panic again, without end; losing a few bytes is better.
    std::mem::forget(payload);
    Some(message)
}

/// Drops a user's value; a panic in its `Drop` is returned as its message.
pub(crate) fn drop_quietly<T>(value: T) -> Option<String> {
    quietly(|| drop(value))
}
