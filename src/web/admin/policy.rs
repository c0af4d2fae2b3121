//! `/policy`: the one in force, another, and what that would do.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
};

use actix_web::{
    HttpRequest, HttpResponse, Resource,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    Admin,
    guard::Operator,
    routes::{only, read},
};
use crate::{DryRun, EndReason, Policy, Session, SessionRegistry, web::Problem};

pub(super) fn resource<A: Session>() -> Resource {
    web::resource("/policy")
        .route(read().to(policy::<A>))
        .route(web::put().to(set_policy::<A>))
        .default_service(only("GET, HEAD, PUT"))
}

/// As in a TOML file: durations as text, such as `1h 30m`, or `never`.
#[derive(ToSchema)]
#[schema(as = Policy)]
#[expect(dead_code, reason = "describes what `crate::Policy` writes and reads")]
pub(super) struct PolicyView {
    #[schema(required = false)]
    idle_timeout: String,
    #[schema(required = false)]
    max_age: String,
    #[schema(required = false)]
    max_busy: String,
    #[schema(required = false)]
    warn_before: String,
    #[schema(required = false)]
    drain_timeout: String,
    #[schema(required = false)]
    passivate_after: String,
    /// `end`, `always`, or a duration.
    #[schema(required = false)]
    checkpoint: String,
    /// A number, or `never`.
    #[schema(required = false, value_type = Value)]
    max_sessions: (),
    /// `reject` or `evict_idle`.
    #[schema(required = false)]
    on_full: String,
    /// `enforce` or `observe`.
    #[schema(required = false)]
    mode: String,
    /// Globs of keys that never expire.
    #[schema(required = false)]
    exclude: Vec<String>,
    /// Limits for the keys that `match` matches: the first that does wins.
    #[schema(required = false, value_type = Vec<Value>)]
    rules: (),
}

/// Tells one policy from another while the process runs.
fn tag(policy: &Policy) -> HeaderValue {
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let text = serde_json::to_string(policy).unwrap_or_default();
    HeaderValue::from_str(&format!("\"{:016x}\"", STATE.hash_one(text))).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The policy in force. Its `ETag` can be sent as `If-Match` with the next.
#[utoipa::path(get, path = "/policy", responses((status = 200, body = PolicyView)))]
pub(super) async fn policy<A: Session>(Operator(admin): Operator<A>) -> Result<HttpResponse, Problem> {
    let policy = admin.registry()?.policy();
    Ok(HttpResponse::Ok().insert_header((header::ETAG, tag(&policy))).json(policy))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SetQuery {
    /// Whether it is only told what it would do: false if it is left out.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// What a policy does, or would do, to the sessions in memory.
#[derive(Serialize, ToSchema)]
pub(super) struct Effect {
    /// Whether it is in force now.
    set: bool,
    /// Sessions in memory.
    live: usize,
    /// Those whose limits are others by it.
    changed: usize,
    /// Those that set limits themselves; what they set stays.
    own_limits: usize,
    /// Those that are over at once by it. At an idle end they are asked first.
    would_end: u64,
    /// The same by reason.
    #[schema(value_type = BTreeMap<String, u64>)]
    by_reason: BTreeMap<&'static str, u64>,
    /// The first hundred of them, oldest first.
    sessions: Vec<String>,
    /// How many there are beyond the cap, which ends none of them.
    over_cap: usize,
    /// In a sentence.
    message: String,
}

impl Effect {
    fn of<A: Session>(run: DryRun, set: bool, admin: &Admin<A>, is_persistent: bool) -> Self {
        let DryRun { live, changed, own_limits, would_end, sessions, over_cap } = run;
        let sessions = sessions.iter().map(|key| admin.0.shown.show(key.as_str())).collect();
        let total = would_end.total();
        let verb = if set { "ends" } else { "would end" };
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let mut message = format!(
            "this {verb} {total} session{} of {live} at once, and changes the limits of {changed}",
            plural(total)
        );
        if over_cap > 0 {
            let _ = write!(
                message,
                "; {over_cap} more than it has room for go on, and newcomers are refused until they have gone"
            );
        }
        if is_persistent {
            message.push_str("; those that rest in the store are not counted, and whose time is over by it ends there");
        }
        let by_reason = would_end.iter().filter(|(_, count)| *count > 0);
        let by_reason = by_reason.map(|(reason, count): (EndReason, u64)| (reason.as_str(), count)).collect();
        Self { set, live, changed, own_limits, would_end: total, by_reason, sessions, over_cap, message }
    }
}

/// Which policy a new one may replace.
enum Expected {
    Any,
    Tags(Vec<String>),
}

impl Expected {
    /// By `If-Match`. A weak tag counts as its strong one, because a proxy that compresses makes it weak, and what it names
    /// is a policy and not the bytes of an answer.
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let mut tags = Vec::new();
        for header in request.headers().get_all(header::IF_MATCH) {
            for tag in header.to_str().unwrap_or_default().split(',').map(str::trim) {
                let tag = tag.strip_prefix("W/").unwrap_or(tag);
                if tag == "*" {
                    return Ok(Self::Any);
                }
                if tag.len() < 2 || !tag.starts_with('"') || !tag.ends_with('"') {
                    let detail =
                        "If-Match is not understood: send the ETag that came with the policy, quotes included, or *";
                    return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_if_match", detail));
                }
                tags.push(tag.to_owned());
            }
        }
        Ok(if tags.is_empty() { Self::Any } else { Self::Tags(tags) })
    }

    fn fits(&self, policy: &Policy) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|expected| tag(policy) == expected),
        }
    }
}

/// Sets a policy, or tells what it would do. What is left out has its default, not its present value. It is in force until
/// another is set or the gateway starts anew: nothing writes it down.
#[utoipa::path(put, path = "/policy", request_body = PolicyView,
    params(SetQuery, ("If-Match" = Option<String>, Header, description = "The `ETag` of the policy that this one is to replace")),
    responses((status = 200, description = "What it does, or would do; with the `ETag` of the policy in force now", body = Effect),
        (status = 400, body = super::openapi::Problem),
        (status = 412, description = "If-Match names another than is in force", body = super::openapi::Problem),
        (status = 415, body = super::openapi::Problem),
        (status = 422, description = "It makes no sense", body = super::openapi::Problem)))]
pub(super) async fn set_policy<A: Session>(
    Operator(admin): Operator<A>,
    request: HttpRequest,
    query: web::Query<SetQuery>,
    policy: web::Json<Value>,
) -> Result<HttpResponse, Problem> {
    let policy: Policy = serde_json::from_value(policy.into_inner())
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_policy", error.to_string()))?;
    let expected = Expected::of(&request)?;
    let set = !query.dry_run;
    let (effect, tag) = admin.work(move |admin, registry| change(admin, registry, &policy, &expected, set)).await??;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, tag)).json(effect))
}

/// What is told is relative to the policy that was replaced: another may come in between, and then it is told anew.
fn change<A: Session>(
    admin: &Admin<A>,
    registry: &SessionRegistry<A>,
    policy: &Policy,
    expected: &Expected,
    set: bool,
) -> Result<(Effect, HeaderValue), Problem> {
    loop {
        let in_force = registry.policy();
        if !expected.fits(&in_force) {
            let detail = "another policy is in force than the one this was made from: look at it again";
            return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "other_policy", detail));
        }
        let effect = Effect::of(registry.dry_run(policy.clone())?, set, admin, registry.is_persistent());
        if !set {
            return Ok((effect, tag(&in_force)));
        }
        if registry.replace_policy(&in_force, policy.clone())? {
            tracing::info!(message = effect.message, "an operator has set the policy");
            return Ok((effect, tag(policy)));
        }
    }
}
