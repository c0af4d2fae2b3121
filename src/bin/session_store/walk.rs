//! A walk through all records of a store, a page at a time, with progress for whoever watches.

use std::collections::VecDeque;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use session_actors::{
    SessionKey,
    store::{Entry, Store, StoreError},
};

const PAGE: usize = 1_000;

/// All records, in the order of their keys.
pub(crate) struct Walk<'s, S> {
    store: &'s S,
    ready: VecDeque<Entry>,
    after: Option<SessionKey>,
    over: bool,
    progress: ProgressBar,
}

impl<'s, S: Store> Walk<'s, S> {
    pub(crate) fn new(store: &'s S, doing: &'static str) -> Result<Self, StoreError> {
        Ok(Self {
            store,
            ready: VecDeque::new(),
            after: None,
            over: false,
            progress: progress(Some(store.count()?), doing),
        })
    }

    fn next_page(&mut self) -> Result<(), StoreError> {
        let page = self.store.page(self.after.as_ref(), PAGE)?;
        self.over = page.len() < PAGE;
        self.after = page.last().map(|entry| entry.key.clone());
        self.ready.extend(page);
        Ok(())
    }
}

impl<S: Store> Iterator for Walk<'_, S> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty()
            && !self.over
            && let Err(error) = self.next_page()
        {
            self.over = true;
            return Some(Err(error));
        }
        let entry = self.ready.pop_front();
        match entry {
            Some(_) => self.progress.inc(1),
            None => self.progress.finish_and_clear(),
        }
        entry.map(Ok)
    }
}

/// Shown on a terminal alone, and gone when the work is done.
pub(crate) fn progress(total: Option<u64>, doing: &'static str) -> ProgressBar {
    let target = if crate::is_watched() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let progress = ProgressBar::with_draw_target(total, target).with_message(doing);
    let template = match total {
        Some(_) => "{msg} {bar:30} {human_pos} of {human_len}, {eta} left",
        None => "{msg} {human_pos}, {elapsed}",
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => progress.with_style(style),
        // The template is known to be one.
        Err(_) => progress,
    }
}
