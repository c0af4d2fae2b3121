//! Starting and stopping.

use actix::prelude::*;
use tokio::time::{pause, sleep};

use super::{
    Ctx, Session,
    act::{Act, Do, Note, noted_after},
};
use crate::{
    guard::or_give_up,
    support::{Log, millis, secs},
};

/// Stops in `started`, if it is told to, and notes everything.
struct Early {
    log: Log,
    stops: bool,
}

impl Actor for Early {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.log.note(format!("started {:?}", ctx.state()));
        ctx.notify(Note("notified"));
        if self.stops {
            ctx.stop();
        }
    }

    fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
        self.log.note(format!("stopping {:?}", ctx.state()));
        Running::Stop
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.log.note(format!("stopped {:?}", ctx.state()));
    }
}

impl Session for Early {}

impl Handler<Note> for Early {
    type Result = ();

    fn handle(&mut self, note: Note, ctx: &mut Self::Context) {
        self.log.note(format!("{} {:?}", note.0, ctx.state()));
    }
}

#[actix::test]
async fn started_comes_first_then_mail_then_what_it_spawned() {
    pause();
    let log = Log::default();
    let (addr, _registry) = super::run(Early { log: log.clone(), stops: false });
    addr.do_send(Note("mail"));
    sleep(millis(1)).await;
    assert_eq!(log.lines(), ["started Running", "mail Running", "notified Running"]);
}

#[actix::test]
async fn a_stop_in_started_comes_before_everything() {
    pause();
    let log = Log::default();
    let (addr, _registry) = super::run(Early { log: log.clone(), stops: true });
    addr.do_send(Note("mail"));
    sleep(millis(1)).await;
    assert_eq!(log.lines(), ["started Running", "stopping Stopping", "stopped Stopped"]);
}

#[actix::test]
async fn a_stop_takes_effect_when_the_handler_has_returned() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        ctx.address().do_send(Note("mail"));
        act.note(format!("{:?}", ctx.state()));
        ctx.stop();
        ctx.stop();
        act.note(format!("{:?}", ctx.state()));
    })
    .await;
    // Nothing that came after is handled by this actor.
    assert_eq!(noted, ["0: Running", "0: Stopping", "0: stopping Stopping", "0: stopped Stopped"]);
}

#[actix::test]
async fn an_actor_that_declines_to_stop_goes_on_as_before() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        act.declines = 1;
        ctx.address().do_send(Do::new(|act, ctx| {
            act.note("mail");
            ctx.run_later(millis(300), |_, ctx| ctx.stop());
        }));
        ctx.run_later(millis(100), |act, ctx| act.note(format!("timer {:?}", ctx.state())));
        ctx.notify(Note("notified"));
        ctx.stop();
    })
    .await;
    let expected = [
        "0: stopping Stopping",
        "0: mail",
        "0: notified",
        "100: timer Running",
        "300: stopping Stopping",
        "300: stopped Stopped",
    ];
    assert_eq!(noted, expected);
}

#[actix::test]
async fn an_actor_may_decline_again_and_again() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        act.declines = 3;
        ctx.run_interval(millis(100), |_, ctx| ctx.stop());
    })
    .await;
    let stopping: Vec<_> = noted.iter().filter(|line| line.contains("stopping")).collect();
    assert_eq!(
        stopping,
        ["100: stopping Stopping", "200: stopping Stopping", "300: stopping Stopping", "400: stopping Stopping"]
    );
    assert_eq!(noted.last().unwrap(), "400: stopped Stopped");
}

#[actix::test]
async fn who_is_terminated_is_not_asked() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        act.declines = 1;
        ctx.notify(Note("notified"));
        ctx.terminate();
        act.note(format!("{:?}", ctx.state()));
    })
    .await;
    assert_eq!(noted, ["0: Stopped", "0: stopped Stopped"]);
}

#[actix::test]
async fn who_has_declined_may_still_be_terminated() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        act.declines = 1;
        ctx.run_later(millis(100), |_, ctx| ctx.terminate());
        ctx.stop();
    })
    .await;
    assert_eq!(noted, ["0: stopping Stopping", "100: stopped Stopped"]);
}

#[actix::test]
async fn a_stopped_actor_answers_what_it_handled_and_refuses_the_rest() {
    pause();
    let log = Log::default();
    let (addr, _registry) = super::run(Act::new(&log));
    let stops = addr.send(Do::new(|_, ctx| ctx.stop()));
    assert_eq!(stops.await, Ok(()));
    sleep(millis(1)).await;
    assert!(!addr.connected());
    assert_eq!(addr.send(Note("too late")).await, Err(MailboxError::Closed));
    assert!(matches!(addr.try_send(Note("too late")), Err(SendError::Closed(_))));
    assert_eq!(log.lines().len(), 2);
}

#[test]
fn the_end_of_the_system_stops_the_actor() {
    let log = Log::default();
    let noted = log.clone();
    or_give_up("the end of the system", || async move {
        let (addr, registry) = super::run(Act::new(&log));
        addr.send(Note("mail")).await.unwrap();
        // Neither an address nor the registry is dropped before.
        Box::leak(Box::new((addr, registry)));
        System::current().stop();
    });
    assert_eq!(noted.count("stopping Stopping"), 1, "{:?}", noted.lines());
    assert_eq!(noted.count("stopped Stopped"), 1);
}
