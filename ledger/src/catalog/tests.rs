//! The catalog finds what was put in, keeps names apart, and refuses what doesn't hold.

use super::*;
use crate::apply::tests::{CHILD, PARENT, child, column, family, genesis, parent, table};
use crate::table::{Action, Mode};
use crate::{Operation, Refusal, Value};

fn code(result: Result<(), Refusal>) -> &'static str {
    result.unwrap_err().sqlstate()
}

#[test]
fn objects_are_found_by_every_way() {
    let catalog = family().catalog;
    assert_eq!(catalog.find_relation(Oid::PUBLIC_SCHEMA, "parent"), Some(PARENT));
    assert_eq!(catalog.find_relation(Oid::LEDGER_SCHEMA, "parent"), None);
    assert_eq!(catalog.table(PARENT), Some(&parent()));
    assert_eq!(catalog.tables().map(|(oid, _)| oid).collect::<Vec<_>>(), [PARENT, CHILD]);
    let indexes: Vec<&str> = catalog.indexes_of(CHILD).map(|(_, i)| i.name.as_str()).collect();
    assert_eq!(indexes, ["child_id_key", "child_parent_fkey_index"]);
    let children: Vec<Oid> = catalog.foreign_keys_to(PARENT).map(|(oid, ..)| oid).collect();
    assert_eq!(children, [CHILD]);
    let member = catalog.members().next().unwrap().1;
    assert!(catalog.member_of_hash(member.public_key.member()).is_some());
    let (_, grants) = catalog.grants_on(Oid::PUBLIC_SCHEMA).unwrap();
    assert_eq!(grants.items[0].privileges, Privilege::Usage.bit());
}

#[test]
fn numbers_are_never_used_twice() {
    let mut catalog = family().catalog;
    let next = catalog.next_oid();
    // The greatest is a constraint's, inside an object.
    assert_eq!(next, Oid(16501));
    let version = catalog.version();
    for oid in [Oid(16404), Oid(16403), CHILD] {
        catalog.remove(oid).unwrap();
    }
    assert_eq!(catalog.next_oid(), next);
    assert!(catalog.version() > version);
    assert_eq!(catalog.find_relation(Oid::PUBLIC_SCHEMA, "child"), None);
    assert_eq!(catalog.foreign_keys_to(PARENT).count(), 0);
}

#[test]
fn a_copy_stays_as_it_was() {
    let mut catalog = family().catalog;
    let before = catalog.clone();
    let renamed = Table { name: "other".to_owned(), ..parent() };
    catalog.put(PARENT, Object::Table(renamed)).unwrap();
    assert_eq!(before.find_relation(Oid::PUBLIC_SCHEMA, "parent"), Some(PARENT));
    assert_eq!(catalog.find_relation(Oid::PUBLIC_SCHEMA, "parent"), None);
    assert_eq!(catalog.find_relation(Oid::PUBLIC_SCHEMA, "other"), Some(PARENT));
}

#[test]
fn a_refused_definition_leaves_nothing() {
    let mut catalog = family().catalog;
    let version = catalog.version();
    let oid = Oid(17000);
    let named = |name: &str| Object::Table(table(oid, name, Vec::new()));
    assert_eq!(code(catalog.put(oid, named("child_id_key"))), "42P07");
    assert_eq!(code(catalog.put(oid, named(""))), "42602");
    assert_eq!(code(catalog.put(oid, named(&"x".repeat(64)))), "42602");
    let twice = vec![column(1, "a", Type::Int4, false), column(2, "a", Type::Int4, false)];
    assert_eq!(code(catalog.put(oid, Object::Table(table(oid, "t", twice)))), "42701");
    let wide = vec![column(1, "a", Type::Varchar(0), false)];
    assert_eq!(code(catalog.put(oid, Object::Table(table(oid, "t", wide)))), "22023");
    assert_eq!((catalog.version(), catalog.get(oid)), (version, None));
}

#[test]
fn promises_are_kept() {
    let mut catalog = family().catalog;
    let closed = Table { mode: Mode::AppendOnly, retain_days: Some(10), ..parent() };
    catalog.put(PARENT, Object::Table(closed.clone())).unwrap();
    let mut put = |table: Table| code(catalog.put(PARENT, Object::Table(table)));
    assert_eq!(put(Table { mode: Mode::Updatable, ..closed.clone() }), "55000");
    assert_eq!(put(Table { retain_days: Some(9), ..closed.clone() }), "55000");
    assert_eq!(put(Table { retain_days: None, ..closed.clone() }), "55000");
    let mut narrow = closed.clone();
    narrow.columns[0].kind = Type::Int2;
    assert_eq!(put(narrow), "0A000");
    let mut erasable = closed;
    erasable.columns[0].redactable = true;
    assert_eq!(put(erasable), "0A000");
}

#[test]
fn references_must_hold() {
    let mut catalog = family().catalog;
    let check = |catalog: &Catalog, table: Table| {
        let mut changed = catalog.clone();
        changed.put(CHILD, Object::Table(table)).and_then(|()| changed.check_references(CHILD))
    };
    assert_eq!(check(&catalog, child()), Ok(()));
    let mut other = child();
    other.foreign_keys[0].parent_index = Oid(16403);
    assert_eq!(code(check(&catalog, other)), "42830");
    let mut other = child();
    other.columns[1].kind = Type::Int8;
    other.foreign_keys[0].on_delete = Action::Cascade;
    assert_eq!(check(&catalog, other), Ok(()));
    catalog.remove(Oid(16387)).unwrap();
    assert_eq!(code(catalog.check_references(CHILD)), "40001");
    assert_eq!(code(catalog.check_references(Oid(16387))), "2BP01");
}

#[test]
fn leases_follow_one_another() {
    let mut catalog = genesis().catalog;
    let oid = Oid(16384);
    let sequence = Sequence {
        schema: Oid::PUBLIC_SCHEMA,
        name: "s".to_owned(),
        owner: Oid::FIRST_ROLE,
        kind: Type::Int8,
        start: 1,
        increment: 1,
        min: 1,
        max: 100,
        cycle: false,
        cache: 1,
        owned_by: None,
        next: Some(1),
        epoch: 7,
    };
    catalog.put(oid, Object::Sequence(sequence.clone())).unwrap();
    let version = catalog.version();
    catalog.lease(oid, 7, 1, Some(33)).unwrap();
    assert_eq!(catalog.version(), version);
    assert_eq!(code(catalog.lease(oid, 7, 1, Some(33))), "40001");
    assert_eq!(code(catalog.lease(oid, 6, 33, Some(34))), "40001");
    assert_eq!(code(catalog.lease(oid, 7, 33, Some(101))), "XX000");
    catalog.lease(oid, 7, 33, None).unwrap();
    assert_eq!(code(catalog.lease(oid, 7, 34, None)), "40001");
    for wrong in [
        Sequence { increment: 0, ..sequence.clone() },
        Sequence { kind: Type::Text, ..sequence.clone() },
        Sequence { start: 101, ..sequence.clone() },
        Sequence { cache: 0, ..sequence.clone() },
        Sequence { min: 100, ..sequence },
    ] {
        assert_eq!(code(catalog.put(oid, Object::Sequence(wrong))), "22023");
    }
}

#[test]
fn roles_reach_their_groups() {
    let mut catalog = genesis().catalog;
    let role = |name: &str, member_of: &[Oid]| {
        Object::Role(Role {
            name: name.to_owned(),
            login: false,
            superuser: false,
            create_role: false,
            create_db: false,
            inherit: true,
            verifier: None,
            member_of: member_of.to_vec(),
        })
    };
    let (a, b, c) = (Oid(16384), Oid(16385), Oid(16386));
    catalog.put(a, role("a", &[])).unwrap();
    catalog.put(b, role("b", &[a])).unwrap();
    catalog.put(c, role("c", &[b])).unwrap();
    assert_eq!(catalog.roles_of(c).into_iter().collect::<Vec<_>>(), [a, b, c]);
    catalog.put(a, role("a", &[c])).unwrap();
    assert_eq!(code(catalog.check_references(a)), "0LP01");
    let grant = |grantee| Grant { grantee, grantor: Oid::FIRST_ROLE, privileges: 1, grantable: 0 };
    let mut catalog = family().catalog;
    catalog.put(Oid(16600), role("reader", &[])).unwrap();
    assert!(!catalog.has_privilege(Oid(16600), PARENT, Privilege::Select));
    let items = vec![grant(None)];
    catalog.put(Oid(16601), Object::Grants(Grants { on: PARENT, items })).unwrap();
    assert!(catalog.has_privilege(Oid(16600), PARENT, Privilege::Select));
    assert!(!catalog.has_privilege(Oid(16600), PARENT, Privilege::Insert));
    assert!(catalog.has_privilege(Oid::FIRST_ROLE, CHILD, Privilege::Insert));
}

#[test]
fn operations_on_rows_change_nothing() {
    let mut catalog = family().catalog;
    let version = catalog.version();
    let row = crate::Row::encode(&parent(), &[Value::Int4(1), Value::Null], || [0; 16]).unwrap();
    catalog.apply(&Operation::Insert { table: PARENT, row }).unwrap();
    assert_eq!(catalog.version(), version);
}

#[test]
fn temporary_objects_take_no_number_of_the_chain() {
    let mut catalog = family().catalog;
    let next = catalog.next_oid();
    let schema = Schema { name: "own".to_owned(), owner: Oid::FIRST_ROLE, comment: None };
    catalog.put(Oid::FIRST_TEMPORARY, Object::Schema(schema)).unwrap();
    assert_eq!(catalog.find_schema("own"), Some(Oid::FIRST_TEMPORARY));
    assert_eq!(catalog.next_oid(), next);
}
