//! What a policy would do, before it is in force.

use serde::Serialize;

use super::{
    SessionRegistry,
    hub::{Hub, Rules},
};
use crate::{
    key::SessionKey,
    policy::{Mode, Policy, PolicyError},
    session::Session,
    stats::EndedCounts,
};

/// What [`set_policy`](SessionRegistry::set_policy) would do to the sessions in memory, had it been called at the moment
/// of the dry run. They go on meanwhile, so a moment later it may be a few more or less.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DryRun {
    /// The sessions in memory.
    pub live: usize,
    /// Those whose limits would be others.
    pub changed: usize,
    /// Those that set limits themselves; what they set stays.
    pub own_limits: usize,
    /// Those that would be over at once, by what they would end as. At an idle end they are asked first
    /// ([`Session::expiring`]).
    pub would_end: EndedCounts,
    /// The first hundred of these, oldest first.
    pub sessions: Vec<SessionKey>,
    /// How many sessions there are beyond the cap. It ends none of them, and refuses newcomers until they have gone.
    pub over_cap: usize,
}

/// Keys that are named.
const NAMED: usize = 100;

impl<A: Session> SessionRegistry<A> {
    /// What [`set_policy`](Self::set_policy) would do to the sessions in memory; does nothing. Costs time in proportion to
    /// them.
    ///
    /// # Errors
    ///
    /// As `set_policy`.
    pub fn dry_run(&self, policy: Policy) -> Result<DryRun, PolicyError> {
        let hub = self.hub();
        let rules = Rules::compile(policy, hub.keeper.is_some())?;
        Ok(hub.dry_run(&rules))
    }
}

impl<A: Session> Hub<A> {
    fn dry_run(&self, rules: &Rules) -> DryRun {
        let mut live = self.journal.live();
        live.sort_unstable_by_key(|vitals| vitals.id());
        let (keys, _) = self.capacity.used();
        let mut run = DryRun {
            live: live.len(),
            changed: 0,
            own_limits: 0,
            would_end: EndedCounts::default(),
            sessions: Vec::new(),
            over_cap: rules.cap().map_or(0, |cap| keys.saturating_sub(cap)),
        };
        for vitals in &live {
            let present = vitals.ruling();
            let mut limits = rules.ruling(vitals.key()).limits;
            if let Some(present) = &present {
                if let Some(own) = &present.own {
                    run.own_limits += 1;
                    // Where what it set does not fit, all stays as it is.
                    limits = own.checked_over(&limits).unwrap_or(present.limits);
                }
                run.changed += usize::from(present.limits != limits);
            }
            let over = vitals.over(self.clock.now(), &limits).filter(|_| rules.mode() == Mode::Enforce);
            if let Some(reason) = over {
                run.would_end.add(reason);
                if run.sessions.len() < NAMED {
                    run.sessions.push(vitals.key().clone());
                }
            }
        }
        run
    }
}
