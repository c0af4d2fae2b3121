//! Every kind of response that actix knows.

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::*;
use futures_util::future::join_all;
use tokio::time::{Instant, pause, sleep};

use super::{Ctx, Session};
use crate::{
    guard::assert_due_now,
    support::{millis, secs},
};

struct Answers;

impl Actor for Answers {
    type Context = Ctx<Self>;
}

impl Session for Answers {}

/// A message, its result, and how it is answered.
macro_rules! answers {
    ($($message:ident -> $result:ty as $response:ty: |$act:pat_param, $ctx:pat_param| $answer:expr;)+) => {
        $(
            struct $message;

            impl Message for $message {
                type Result = $result;
            }

            impl Handler<$message> for Answers {
                type Result = $response;

                #[allow(unused_variables)]
                fn handle(&mut self, _: $message, $ctx: &mut Self::Context) -> Self::Result {
                    let $act = self;
                    $answer
                }
            }
        )+
    };
}

answers! {
    Unit -> () as (): |_, _| ();
    Number -> u64 as u64: |_, _| 7;
    Text -> String as String: |_, _| "text".into();
    Fine -> Result<u8, String> as Result<u8, String>: |_, _| Ok(1);
    Wrong -> Result<u8, String> as Result<u8, String>: |_, _| Err("wrong".into());
    Maybe -> Option<u8> as Option<u8>: |_, _| Some(2);
    Many -> Vec<u8> as Vec<u8>: |_, _| vec![1, 2, 3];
    Shared -> Arc<u8> as Arc<u8>: |_, _| Arc::new(3);
    Anything -> BTreeMap<u8, u8> as MessageResult<Anything>: |_, _| MessageResult(BTreeMap::from([(1, 2)]));
    Outside -> u8 as ResponseFuture<u8>: |_, _| Box::pin(async { sleep(millis(30)).await; 4 });
    Inside -> u8 as ResponseActFuture<Self, u8>:
        |act, _| Box::pin(sleep(millis(20)).into_actor(act).map(|(), _, _| 5));
    AtOnce -> u8 as Response<u8>: |_, _| Response::reply(6);
    Later -> u8 as Response<u8>: |_, _| Response::fut(async { sleep(millis(10)).await; 7 });
    ActorAtOnce -> u8 as ActorResponse<Self, u8>: |_, _| ActorResponse::reply(8);
    ActorLater -> u8 as ActorResponse<Self, u8>:
        |act, _| ActorResponse::r#async(sleep(millis(10)).into_actor(act).map(|(), _, _| 9));
    Atomic -> u8 as AtomicResponse<Self, u8>:
        |act, _| AtomicResponse::new(Box::pin(sleep(millis(10)).into_actor(act).map(|(), _, _| 10)));
    Blocked -> u8 as ResponseFuture<u8>: |act, ctx| {
        ctx.wait(sleep(secs(1)).into_actor(act));
        Box::pin(async { sleep(millis(100)).await; 11 })
    };
    Address -> Addr<Answers> as Addr<Answers>: |_, ctx| ctx.address();
}

#[actix::test]
async fn every_kind_of_result_arrives() {
    pause();
    let (addr, _registry) = super::run(Answers);
    assert_eq!(addr.send(Unit).await, Ok(()));
    assert_eq!(addr.send(Number).await, Ok(7));
    assert_eq!(addr.send(Text).await, Ok("text".into()));
    assert_eq!(addr.send(Fine).await, Ok(Ok(1)));
    assert_eq!(addr.send(Wrong).await, Ok(Err("wrong".into())));
    assert_eq!(addr.send(Maybe).await, Ok(Some(2)));
    assert_eq!(addr.send(Many).await, Ok(vec![1, 2, 3]));
    assert_eq!(addr.send(Shared).await, Ok(Arc::new(3)));
    assert_eq!(addr.send(Anything).await, Ok(BTreeMap::from([(1, 2)])));
    assert_eq!(addr.send(Address).await, Ok(addr.clone()));
}

#[actix::test]
async fn every_kind_of_response_arrives() {
    pause();
    let (addr, _registry) = super::run(Answers);
    assert_eq!(addr.send(Outside).await, Ok(4));
    assert_eq!(addr.send(Inside).await, Ok(5));
    assert_eq!(addr.send(AtOnce).await, Ok(6));
    assert_eq!(addr.send(Later).await, Ok(7));
    assert_eq!(addr.send(ActorAtOnce).await, Ok(8));
    assert_eq!(addr.send(ActorLater).await, Ok(9));
    assert_eq!(addr.send(Atomic).await, Ok(10));
}

#[actix::test]
async fn nobody_has_to_wait_for_a_response() {
    pause();
    let (addr, _registry) = super::run(Answers);
    addr.do_send(Outside);
    addr.do_send(Inside);
    addr.do_send(Later);
    addr.do_send(ActorLater);
    addr.do_send(Atomic);
    addr.do_send(Blocked);
    let gives_up = addr.send(Outside).timeout(millis(1_100)).await;
    assert_eq!(gives_up, Ok(4));
    assert_eq!(addr.send(Number).await, Ok(7));
}

#[actix::test]
async fn responses_that_are_not_atomic_are_made_side_by_side() {
    pause();
    let (addr, _registry) = super::run(Answers);
    let began = Instant::now();
    assert!(join_all((0..100).map(|_| addr.send(Outside))).await.iter().all(|answer| *answer == Ok(4)));
    assert_due_now(began, millis(30));
    assert!(join_all((0..100).map(|_| addr.send(Inside))).await.iter().all(|answer| *answer == Ok(5)));
    assert_due_now(began, millis(50));
}

#[actix::test]
async fn a_response_outside_of_the_context_is_not_held_up_by_a_wait() {
    pause();
    let (addr, _registry) = super::run(Answers);
    let began = Instant::now();
    assert_eq!(addr.send(Blocked).await, Ok(11));
    assert_due_now(began, millis(100));
    // One inside of it is.
    let inside = addr.send(Inside);
    assert_eq!(inside.await, Ok(5));
    assert!(began.elapsed() >= secs(1));
}

#[actix::test]
async fn a_response_outside_of_the_context_outlives_a_stop() {
    pause();
    let (addr, _registry) = super::run(Answers);
    let (outside, later) = (addr.send(Outside), addr.send(Later));
    let (inside, stops) = (addr.send(Inside), addr.send(Stops));
    stops.await.unwrap();
    assert_eq!(inside.await, Err(MailboxError::Closed));
    assert_eq!(later.await, Ok(7));
    assert_eq!(outside.await, Ok(4));
}

answers! {
    Stops -> () as (): |_, ctx| ctx.stop();
}
