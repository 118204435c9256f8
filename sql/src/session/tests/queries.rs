//! UPDATE, DELETE, ON CONFLICT, row locks, isolation: what goes through the planner.

use super::{engine, ints, run, session, state, tag};

#[tokio::test]
async fn update_and_delete() {
    let engine = engine();
    let mut session = session(&engine);
    run(
        &mut session,
        "create table t (a int primary key, b int, c text);
         insert into t values (1, 10, 'x'), (2, 20, 'y'), (3, 30, null);
         create table u (a int, d int); insert into u values (1, 7), (2, 8)",
    )
    .await
    .expect("tables");
    assert_eq!(tag(&mut session, "update t set b = b + 1 where a <> 3").await, "UPDATE 2");
    assert_eq!(
        tag(&mut session, "update t set b = u.d from u where u.a = t.a and t.a = 2").await,
        "UPDATE 1"
    );
    assert_eq!(
        tag(&mut session, "update t set (b, c) = (5, 'z') where a = 3 returning a, b + 1").await,
        "UPDATE 1"
    );
    assert_eq!(tag(&mut session, "select a, b from t where b in (11, 8, 5)").await, "SELECT 3");
    assert_eq!(state(&mut session, "update t set a = 1").await, "23505");
    assert_eq!(tag(&mut session, "update t set a = a + 1").await, "UPDATE 3");
    assert_eq!(state(&mut session, "update t set b = 'x'").await, "22P02");
    assert_eq!(tag(&mut session, "delete from t using u where u.a = t.a").await, "DELETE 1");
    assert_eq!(tag(&mut session, "delete from t where b = 5 returning *").await, "DELETE 1");
    assert_eq!(tag(&mut session, "insert into t select a + 10, d, 'n' from u").await, "INSERT 0 2");
    assert_eq!(tag(&mut session, "select * from t").await, "SELECT 3");
    assert_eq!(tag(&mut session, "create table v as select a, b from t").await, "SELECT 3");
    assert_eq!(ints(&engine, "v").len(), 3);
    assert_eq!(
        tag(&mut session, "create view w as select a from v where b > 7; select * from w").await,
        "SELECT 2"
    );
    assert_eq!(state(&mut session, "drop table v").await, "2BP01");
}

#[tokio::test]
async fn read_your_writes() {
    let engine = engine();
    let mut session = session(&engine);
    run(&mut session, "create table t (a int primary key, b int); insert into t values (1, 1)")
        .await
        .expect("table");
    run(&mut session, "begin; insert into t values (2, 2); update t set b = b * 10")
        .await
        .expect("writes");
    assert_eq!(tag(&mut session, "select * from t where b in (10, 20)").await, "SELECT 2");
    assert_eq!(tag(&mut session, "update t set b = b + 1 where a = 2").await, "UPDATE 1");
    assert_eq!(tag(&mut session, "delete from t where a = 1").await, "DELETE 1");
    assert_eq!(tag(&mut session, "select * from t").await, "SELECT 1");
    run(&mut session, "commit").await.expect("commit");
    assert_eq!(ints(&engine, "t"), [[2, 21]]);
}

#[tokio::test]
async fn upserts() {
    let engine = engine();
    let mut session = session(&engine);
    run(&mut session, "create table t (a int primary key, b int); insert into t values (1, 1)")
        .await
        .expect("table");
    assert_eq!(
        tag(&mut session, "insert into t values (1, 5), (2, 6) on conflict do nothing").await,
        "INSERT 0 1"
    );
    assert_eq!(
        tag(
            &mut session,
            "insert into t values (1, 5), (3, 7) on conflict (a) do update set b = excluded.b"
        )
        .await,
        "INSERT 0 2"
    );
    assert_eq!(
        tag(&mut session, "insert into t values (1, 5) on conflict (a) do update set b = t.b + excluded.b where t.b < 100").await,
        "INSERT 0 1"
    );
    assert_eq!(ints(&engine, "t"), [[1, 10], [2, 6], [3, 7]]);
    assert_eq!(
        state(
            &mut session,
            "insert into t values (9, 5), (9, 6) on conflict (a) do update set b = 1"
        )
        .await,
        "21000"
    );
    assert_eq!(
        state(&mut session, "insert into t values (9, 5) on conflict (b) do nothing").await,
        "42P10"
    );
}

#[tokio::test]
async fn read_committed_waits() {
    let engine = engine();
    let (mut one, mut two) = (session(&engine), session(&engine));
    run(&mut one, "create table t (a int primary key, b int); insert into t values (1, 0)")
        .await
        .expect("table");
    run(&mut one, "begin; update t set b = b + 1").await.expect("update");
    let waiting = tokio::spawn(async move {
        let result = tag(&mut two, "update t set b = b + 10").await;
        (result, two)
    });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    run(&mut one, "commit").await.expect("commit");
    let (result, _two) = waiting.await.expect("the other session");
    assert_eq!(result, "UPDATE 1");
    assert_eq!(ints(&engine, "t"), [[1, 11]]);
}

#[tokio::test]
async fn higher_levels_fail() {
    let engine = engine();
    let (mut one, mut two) = (session(&engine), session(&engine));
    run(&mut one, "create table t (a int primary key, b int); insert into t values (1, 0), (2, 0)")
        .await
        .expect("table");
    run(&mut one, "begin isolation level repeatable read; select * from t").await.expect("begin");
    run(&mut two, "update t set b = 5 where a = 1").await.expect("update");
    assert_eq!(state(&mut one, "update t set b = 6 where a = 1").await, "40001");
    run(&mut one, "rollback").await.expect("rollback");
    // Write skew.
    for session in [&mut one, &mut two] {
        run(session, "begin isolation level serializable; select sum(b) from t")
            .await
            .expect("begin");
    }
    run(&mut one, "update t set b = 1 where a = 1").await.expect("one");
    run(&mut two, "update t set b = 1 where a = 2").await.expect("two");
    assert_eq!(state(&mut one, "commit").await, "00000");
    assert_eq!(state(&mut two, "commit").await, "40001");
}

#[tokio::test]
async fn locks_and_limits() {
    let engine = engine();
    let (mut one, mut two) = (session(&engine), session(&engine));
    run(&mut one, "create table t (a int primary key); insert into t values (1), (2), (3)")
        .await
        .expect("table");
    assert_eq!(tag(&mut one, "begin; select * from t where a = 1 for update").await, "SELECT 1");
    assert_eq!(state(&mut two, "select * from t where a = 1 for update nowait").await, "55P03");
    assert_eq!(
        tag(&mut two, "select * from t order by a limit 1 for update skip locked").await,
        "SELECT 1"
    );
    assert_eq!(state(&mut two, "set lock_timeout = 50; delete from t").await, "55P03");
    assert_eq!(
        state(&mut two, "set statement_timeout = 50; set lock_timeout = 0; delete from t").await,
        "57014"
    );
    run(&mut two, "set statement_timeout = 0; begin; delete from t where a = 2")
        .await
        .expect("delete");
    let waiting = tokio::spawn(async move {
        let result = state(&mut one, "delete from t where a = 2").await;
        run(&mut one, "rollback").await.expect("rollback");
        result
    });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let other = state(&mut two, "delete from t where a = 1").await;
    run(&mut two, "rollback").await.expect("rollback");
    let first = waiting.await.expect("the other session");
    assert!([first.as_str(), other.as_str()].contains(&"40P01"), "{first} {other}");
}

#[tokio::test]
async fn cursors_and_settings() {
    let engine = engine();
    let mut session = session(&engine);
    run(&mut session, "create table t (a int)").await.expect("table");
    run(&mut session, "insert into t values (1), (2), (3)").await.expect("rows");
    run(&mut session, "begin; declare c cursor for select * from t order by a")
        .await
        .expect("cursor");
    assert_eq!(tag(&mut session, "fetch 2 from c").await, "FETCH 2");
    assert_eq!(tag(&mut session, "move backward 1 in c").await, "MOVE 1");
    assert_eq!(tag(&mut session, "fetch all in c").await, "FETCH 2");
    run(&mut session, "commit").await.expect("commit");
    assert_eq!(state(&mut session, "fetch c").await, "34000");
    assert_eq!(state(&mut session, "begin read only; insert into t values (4)").await, "25006");
    run(&mut session, "rollback; set ledger.as_of = 'block:1'").await.expect("as of");
    assert_eq!(tag(&mut session, "select * from t").await, "SELECT 0");
    assert_eq!(state(&mut session, "delete from t").await, "25006");
    run(&mut session, "reset ledger.as_of; prepare p (int) as select * from t where a > $1")
        .await
        .expect("prepare");
    assert_eq!(tag(&mut session, "execute p (1)").await, "SELECT 2");
    assert_eq!(
        tag(&mut session, "select nextval('s')").await,
        "42P01: relation \"s\" does not exist"
    );
    run(&mut session, "create sequence s start 5").await.expect("sequence");
    assert_eq!(tag(&mut session, "select nextval('s'), currval('s'), lastval()").await, "SELECT 1");
}

#[tokio::test]
async fn updates_from_queries() {
    let engine = engine();
    let mut session = session(&engine);
    run(
        &mut session,
        "create table t (a int primary key, b int, c int); insert into t values (1, 2, 3);
         create table u (a int, d int); insert into u values (1, 8)",
    )
    .await
    .expect("tables");
    assert_eq!(
        tag(&mut session, "update t set (b, c) = (select a, d from u) where t.a = 1").await,
        "UPDATE 1"
    );
    assert_eq!(ints(&engine, "t"), [[1, 1, 8]]);
    assert_eq!(
        tag(&mut session, "update t set b = u.d from u where u.a = t.a returning t.b, t.b + 1")
            .await,
        "UPDATE 1"
    );
    let with = "update t set b = 9 from u where u.a = t.a returning ";
    for others in ["u.d", "*", "t.c + u.d, (select count(*) from t)"] {
        assert_eq!(tag(&mut session, &format!("{with}{others}")).await, "UPDATE 1");
    }
    assert_eq!(state(&mut session, &format!("{with}a")).await, "42702");
}

#[tokio::test]
async fn serializable_sees_through_views() {
    let engine = engine();
    let (mut one, mut two) = (session(&engine), session(&engine));
    run(
        &mut one,
        "create table t (a int primary key, b int); insert into t values (1, 0), (2, 0);
         create view v as select sum(b) as s from t",
    )
    .await
    .expect("tables");
    run(&mut one, "begin isolation level serializable; select * from v").await.expect("read");
    run(&mut two, "update t set b = 5 where a = 2").await.expect("write");
    run(&mut one, "insert into t values (3, 3)").await.expect("insert");
    assert_eq!(state(&mut one, "commit").await, "40001");
}
