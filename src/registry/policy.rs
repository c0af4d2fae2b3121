//! The policy in force.

use super::SessionRegistry;
use crate::{
    policy::{Policy, PolicyError},
    session::Session,
};

impl<A: Session> SessionRegistry<A> {
    /// The policy in force.
    pub fn policy(&self) -> Policy {
        self.hub().policy()
    }

    /// Changes limits, rules, cap and mode while sessions run. Every session follows, within a
    /// second up to 100,000 of them; a deadline that has passed by the new limits is due at once.
    /// What a session set itself (`ctx.set_limits`) stays. A lowered cap refuses newcomers and ends
    /// nobody.
    ///
    /// # Errors
    ///
    /// If the policy contradicts itself. The old one stays in force.
    pub fn set_policy(&self, policy: Policy) -> Result<(), PolicyError> {
        self.hub().set_policy(policy, None).map(|_| ())
    }

    /// As [`set_policy`](Self::set_policy), but only if `expected` is in force at that moment: false if it is not, and
    /// then nothing has changed. For who made a policy from the one that they saw, beside others who may do the same.
    ///
    /// # Errors
    ///
    /// As `set_policy`.
    pub fn replace_policy(&self, expected: &Policy, policy: Policy) -> Result<bool, PolicyError> {
        self.hub().set_policy(policy, Some(expected))
    }

    /// Whether sessions are kept in a store: see `RegistryBuilder::persist`.
    pub fn is_persistent(&self) -> bool {
        self.hub().keeper.is_some()
    }
}
