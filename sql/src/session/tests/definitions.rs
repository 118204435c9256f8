//! Definitions.

use super::{engine, ints, run, session, state, tag};

#[tokio::test]
async fn foreign_keys_cascade() {
    let engine = engine();
    let mut session = session(&engine);
    run(
        &mut session,
        "create table p (id int primary key);
         create table c (id int primary key, p int references p on delete cascade);
         insert into p values (1), (2);
         insert into c values (10, 1), (11, null)",
    )
    .await
    .expect("tables");
    assert_eq!(state(&mut session, "insert into c values (12, 7)").await, "23503");
    assert_eq!(state(&mut session, "drop table p").await, "2BP01");
    assert_eq!(tag(&mut session, "truncate c").await, "TRUNCATE TABLE");
    assert!(ints(&engine, "c").is_empty());
    assert_eq!(tag(&mut session, "drop table p cascade").await, "DROP TABLE");
    assert_eq!(tag(&mut session, "insert into c values (12, 7)").await, "INSERT 0 1");
}

#[tokio::test]
async fn alter_table() {
    let engine = engine();
    let mut session = session(&engine);
    run(&mut session, "create table t (a int); insert into t values (1), (2)")
        .await
        .expect("table");
    assert_eq!(
        tag(&mut session, "alter table t add column b int not null default 5").await,
        "ALTER TABLE"
    );
    assert_eq!(ints(&engine, "t"), [[1, 5], [2, 5]]);
    assert_eq!(tag(&mut session, "alter table t add primary key (a)").await, "ALTER TABLE");
    assert_eq!(state(&mut session, "insert into t values (1)").await, "23505");
    assert_eq!(state(&mut session, "alter table t add unique (b)").await, "23505");
    assert_eq!(tag(&mut session, "alter table t rename column b to c").await, "ALTER TABLE");
    assert_eq!(tag(&mut session, "alter table t rename to u").await, "ALTER TABLE");
    assert_eq!(tag(&mut session, "alter table u drop column c").await, "ALTER TABLE");
    assert_eq!(ints(&engine, "u"), [[1], [2]]);
    assert_eq!(tag(&mut session, "create index on u (a); drop table u").await, "DROP TABLE");
}

#[tokio::test]
async fn roles_and_grants() {
    let engine = engine();
    let mut admin = session(&engine);
    run(&mut admin, "create role ann login password 'x'; create table t (a int)")
        .await
        .expect("role");
    let mut ann = engine.session("ann", Vec::new()).expect("ann");
    assert_eq!(state(&mut ann, "insert into t values (1)").await, "42501");
    assert_eq!(state(&mut ann, "create table u (a int)").await, "42501");
    run(&mut admin, "grant insert on t to ann; grant create on schema public to ann")
        .await
        .expect("grant");
    assert_eq!(state(&mut ann, "insert into t values (1)").await, "00000");
    assert_eq!(state(&mut ann, "create table u (a int)").await, "00000");
    run(&mut admin, "revoke insert on t from ann").await.expect("revoke");
    assert_eq!(state(&mut ann, "insert into t values (1)").await, "42501");
    assert_eq!(state(&mut admin, "drop role ann").await, "2BP01");
}

#[tokio::test]
async fn checks_and_defaults() {
    let engine = engine();
    let mut session = session(&engine);
    run(
        &mut session,
        "create table t (a int check (a > 0), b int default 1 + 2, c timestamptz default now(),
            d text default current_user, constraint small check (a < 10 and b <> 7))",
    )
    .await
    .expect("table");
    assert_eq!(tag(&mut session, "insert into t (a) values (1)").await, "INSERT 0 1");
    assert_eq!(state(&mut session, "insert into t (a) values (0)").await, "23514");
    assert_eq!(state(&mut session, "insert into t (a, b) values (1, 7)").await, "23514");
    assert_eq!(tag(&mut session, "alter table t alter a set default 5").await, "ALTER TABLE");
    assert_eq!(tag(&mut session, "alter table t rename a to e").await, "ALTER TABLE");
    assert_eq!(tag(&mut session, "insert into t default values").await, "INSERT 0 1");
    assert_eq!(state(&mut session, "alter table t add check (e = 1)").await, "23514");
    assert_eq!(tag(&mut session, "alter table t drop constraint small").await, "ALTER TABLE");
    assert_eq!(tag(&mut session, "select * from t where e in (1, 5) and b = 3").await, "SELECT 2");
}

#[tokio::test]
async fn merges() {
    let engine = engine();
    let mut session = session(&engine);
    run(
        &mut session,
        "create table t (a int primary key, b int default 9); insert into t values (1, 1), (2, 2), (3, 3);
         create table s (a int, b int); insert into s values (1, 10), (2, 0), (7, 70)",
    )
    .await
    .expect("tables");
    assert_eq!(
        tag(
            &mut session,
            "merge into t using s on t.a = s.a when matched and s.b = 0 then delete
             when matched then update set b = t.b + s.b when not matched then insert (a) values (s.a)",
        )
        .await,
        "MERGE 3"
    );
    assert_eq!(ints(&engine, "t"), [[1, 11], [3, 3], [7, 9]]);
}
