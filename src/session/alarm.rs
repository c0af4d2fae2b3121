//! The one timer of a session.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::Context,
};

use pin_project_lite::pin_project;
use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

pin_project! {
    /// A sleep that is armed at the nearest deadline and otherwise left alone: a deadline that
    /// moves later is noticed when the sleep fires, and armed again then. Only one that moves
    /// earlier touches the timer at once.
    #[derive(Debug, Default)]
    pub(crate) struct Alarm {
        #[pin]
        sleep: Option<Sleep>,
        // False when it has fired, or was never armed.
        armed: bool,
    }
}

impl Alarm {
    /// Whether it has fired since it was armed. Looks without polling: tokio's cooperative budget
    /// hides an elapsed timer from whoever polls it late, and the waker it knows is still right,
    /// because a task keeps one for life.
    #[inline]
    pub(crate) fn fired(self: Pin<&mut Self>) -> bool {
        let this = self.project();
        if !*this.armed {
            return false;
        }
        let fired = this.sleep.as_pin_mut().is_some_and(|sleep| sleep.is_elapsed());
        *this.armed = !fired;
        fired
    }

    /// Makes sure that the task is woken at `deadline`, or earlier.
    pub(crate) fn arm(self: Pin<&mut Self>, deadline: Option<Instant>, cx: &mut Context<'_>) {
        let mut this = self.project();
        let Some(deadline) = deadline else { return };
        match this.sleep.as_mut().as_pin_mut() {
            Some(sleep) if *this.armed && sleep.deadline() <= deadline => return,
            Some(sleep) => sleep.reset(deadline),
            None => this.sleep.set(Some(sleep_until(deadline))),
        }
        // A sleep wakes only whom it was polled by. Unconstrained: with the cooperative budget used up by the actor's
        // own futures it would answer without having taken the waker, and then nobody would be woken by it.
        let passed = this.sleep.as_pin_mut().is_some_and(|sleep| pin!(unconstrained(sleep)).poll(cx).is_ready());
        *this.armed = true;
        if passed {
            cx.waker().wake_by_ref();
        }
    }
}
