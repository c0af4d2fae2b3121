//! `/stats`: how many there are and were.

use std::collections::BTreeMap;

use actix_web::{Resource, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    guard::Operator,
    routes::{only, read},
};
use crate::{EndReason, Phase, Session, SessionRegistry, Stats, web::Problem};

pub(super) fn resource<A: Session>() -> Resource {
    web::resource("/stats").route(read().to(stats::<A>)).default_service(only("GET, HEAD"))
}

/// What there is, and what has happened since the registry was started.
#[derive(Serialize, ToSchema)]
pub(super) struct Counts {
    /// Sessions in memory.
    live: usize,
    by_phase: ByPhase,
    /// By where their limits come from: `default`, `exclude main`, `rule 1: hook:*`, `session`.
    by_rule: BTreeMap<String, usize>,
    /// Sessions that the store has: those that rest, and those in memory that have been saved. Null if there is no store, or
    /// if it does not answer.
    #[schema(required)]
    stored: Option<u64>,
    /// Sessions that wait to be started.
    waiting: usize,
    /// Keys that have a session, which count for the cap.
    keys: usize,
    /// The cap; null if there is none.
    #[schema(required)]
    max_sessions: Option<usize>,
    opened: u64,
    /// By reason.
    #[schema(value_type = BTreeMap<String, u64>)]
    ended: BTreeMap<&'static str, u64>,
    start_failed: u64,
    refused: u64,
    passivated: u64,
    restored: u64,
    ended_in_store: u64,
    /// By what it was asked.
    #[schema(value_type = BTreeMap<String, u64>)]
    store_failed: BTreeMap<&'static str, u64>,
    warned: u64,
    extended: u64,
    would_end: u64,
    messages_handed_over: u64,
    messages_dropped: u64,
    work_cut: u64,
    watchers: usize,
    lagged: u64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ByPhase {
    active: usize,
    draining: usize,
}

impl Counts {
    fn of<A: Session>(registry: &SessionRegistry<A>, stored: Option<u64>) -> Self {
        let mut by_rule = std::collections::HashMap::new();
        let mut by_phase = ByPhase { active: 0, draining: 0 };
        let sessions = registry.list();
        for info in &sessions {
            match by_rule.get_mut(&info.rule) {
                Some(count) => *count += 1,
                None => drop(by_rule.insert(info.rule.clone(), 1_usize)),
            }
            match info.phase {
                Phase::Active => by_phase.active += 1,
                Phase::Draining => by_phase.draining += 1,
            }
        }
        let Stats {
            waiting,
            keys,
            max_sessions,
            opened,
            ended,
            start_failed,
            refused,
            passivated,
            restored,
            ended_in_store,
            store_failed,
            warned,
            extended,
            would_end,
            messages_handed_over,
            messages_dropped,
            work_cut,
            watchers,
            lagged,
            // Of the list, which tells both as of one moment with the rules.
            live: _,
            draining: _,
        } = registry.stats();
        Self {
            live: sessions.len(),
            by_phase,
            by_rule: by_rule.into_iter().map(|(rule, count)| (rule.to_string(), count)).collect(),
            stored,
            waiting,
            keys,
            max_sessions,
            opened,
            ended: ended.iter().map(|(reason, count): (EndReason, u64)| (reason.as_str(), count)).collect(),
            start_failed,
            refused,
            passivated,
            restored,
            ended_in_store,
            store_failed: store_failed.iter().map(|(task, count)| (task.as_str(), count)).collect(),
            warned,
            extended,
            would_end,
            messages_handed_over,
            messages_dropped,
            work_cut,
            watchers,
            lagged,
        }
    }
}

/// Counts.
#[utoipa::path(get, path = "/stats", responses((status = 200, body = Counts)))]
pub(super) async fn stats<A: Session>(Operator(admin): Operator<A>) -> Result<web::Json<Counts>, Problem> {
    let stored = admin.registry()?.stored().await;
    Ok(web::Json(admin.work(move |_, registry| Counts::of(registry, stored)).await?))
}
