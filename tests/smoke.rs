mod support;
use support::*;
use session_actors::*;
use tokio::time::Instant;

#[actix::test]
async fn smoke() {
    tokio::time::pause();
    let log = Log::default();
    let sessions = registry(limits(), &log);
    let mut watch = sessions.watch();
    let t0 = Instant::now();
    assert_eq!(sessions.send("a", Ping).await.unwrap(), 1);
    tokio::time::sleep(secs(9)).await;
    assert_eq!(sessions.send("a", Ping).await.unwrap(), 2);
    let (key, ended) = next_end(&mut watch).await;
    println!("{key} {ended:?} {:?} {:?}", t0.elapsed(), log.lines());
    // slow
    let slow = sessions.send("b", Slow(secs(30)));
    let t0 = Instant::now();
    println!("{:?} {:?}", slow.await, t0.elapsed());
    let (_, ended) = next_end(&mut watch).await;
    println!("{ended:?} {:?}", t0.elapsed());
    quiet_panics();
    let boom = sessions.send("c", Boom("x"));
    let after = sessions.send("c", Ping);
    println!("{:?} {:?}", boom.await, after.await);
    println!("{:?}", log.lines());
    let st = sessions.send("c", Stop);
    let after = sessions.send("c", Ping);
    println!("{:?} {:?}", st.await, after.await);
    println!("{:?}", sessions.list());
    let slow = sessions.send("c", SlowInContext(secs(60)));
    println!("{:?}", sessions.shutdown(secs(3)).await);
    println!("{:?}", slow.await);
    println!("{:?} {}", sessions.stats(), log.alive());
    println!("{:#?}", log.lines());
    while let Some(e) = watch.next().await { println!("{e:?}"); }
}
