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
    }
}

impl Alarm {
    /// Whether it has fired since it was armed. Looks without polling: tokio's cooperative budget
    /// hides an elapsed timer from whoever polls it late, and the waker it knows is still right,
    /// because a task keeps one for life.
    pub(crate) fn fired(self: Pin<&mut Self>) -> bool {
        self.project().sleep.as_pin_mut().is_some_and(|sleep| sleep.is_elapsed())
    }

    /// Makes sure that the task is woken at `deadline`.
    pub(crate) fn arm(self: Pin<&mut Self>, deadline: Instant, cx: &mut Context<'_>) {
        let mut sleep = self.project().sleep;
        match sleep.as_mut().as_pin_mut() {
            Some(sleep) => sleep.reset(deadline),
            None => sleep.set(Some(sleep_until(deadline))),
        }
        // A sleep wakes only whom it was polled by. Unconstrained: with the cooperative budget used up by the actor's
        // own futures it would answer without having taken the waker, and then nobody would be woken by it.
        let passed = sleep.as_pin_mut().is_some_and(|sleep| pin!(unconstrained(sleep)).poll(cx).is_ready());
        if passed {
            cx.waker().wake_by_ref();
        }
    }
}
