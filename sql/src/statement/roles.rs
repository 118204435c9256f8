//! Grammar of roles and privileges: CREATE, ALTER and DROP ROLE, GRANT, REVOKE, COMMENT ON.

use datafusion::sql::sqlparser::tokenizer::Token;
use ledger::catalog::Privilege;

use super::command::{
    Command, CommentTarget, Grant, GrantTarget, RelationKind, RoleChange, RoleOption,
};
use super::tokens::Tokens;
use crate::Error;

const KINDS: [&str; 3] = ["ROLE", "USER", "GROUP"];

pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Option<Command>, Error> {
    let mark = tokens.mark();
    let verb = tokens.takes_any(&["CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "COMMENT"]);
    let command = match verb {
        Some("GRANT") => grant(tokens, false)?,
        Some("REVOKE") => grant(tokens, true)?,
        Some("COMMENT") => comment(tokens)?,
        Some(verb) => {
            let kind = tokens.takes_any(&KINDS);
            match (verb, kind) {
                ("CREATE", Some(kind)) => {
                    let name = role_name(tokens)?;
                    tokens.takes(&["WITH"]);
                    Command::CreateRole { name, options: options(tokens)?, user: kind == "USER" }
                }
                ("ALTER", Some(_)) => alter(tokens)?,
                ("DROP", Some(_)) => {
                    let if_exists = tokens.takes(&["IF", "EXISTS"]);
                    Command::DropRole { names: tokens.names()?, if_exists }
                }
                _ => {
                    tokens.back_to(mark);
                    return Ok(None);
                }
            }
        }
        None => return Ok(None),
    };
    tokens.expect_end()?;
    Ok(Some(command))
}

fn role_name(tokens: &mut Tokens<'_>) -> Result<String, Error> {
    let name = tokens.name()?;
    if matches!(name.as_str(), "public" | "none") || name.starts_with("pg_") {
        return Err(Error::new("42939", format!("role name \"{name}\" is reserved")));
    }
    Ok(name)
}

fn alter(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    let name = tokens.name()?;
    if tokens.takes(&["RENAME", "TO"]) {
        return Ok(Command::AlterRole { name, change: RoleChange::Rename(role_name(tokens)?) });
    }
    if tokens.sees(&["SET"]) || tokens.sees(&["RESET"]) || tokens.sees(&["IN"]) {
        return Err(Error::unsupported(
            "ALTER ROLE … SET",
            "Give the setting when connecting (options=-c name=value).",
        ));
    }
    tokens.takes(&["WITH"]);
    Ok(Command::AlterRole { name, change: RoleChange::Options(options(tokens)?) })
}

fn options(tokens: &mut Tokens<'_>) -> Result<Vec<RoleOption>, Error> {
    type Flag = (&'static str, &'static str, fn(bool) -> RoleOption);
    const FLAGS: [Flag; 5] = [
        ("LOGIN", "NOLOGIN", RoleOption::Login),
        ("SUPERUSER", "NOSUPERUSER", RoleOption::Superuser),
        ("CREATEROLE", "NOCREATEROLE", RoleOption::CreateRole),
        ("CREATEDB", "NOCREATEDB", RoleOption::CreateDb),
        ("INHERIT", "NOINHERIT", RoleOption::Inherit),
    ];
    let mut options = Vec::new();
    'next: while !tokens.is_end() {
        for (yes, no, option) in FLAGS {
            if tokens.takes(&[yes]) {
                options.push(option(true));
                continue 'next;
            }
            if tokens.takes(&[no]) {
                options.push(option(false));
                continue 'next;
            }
        }
        if tokens.takes_any(&["NOREPLICATION", "NOBYPASSRLS"]).is_some() {
            // What every role is.
        } else if tokens.takes(&["CONNECTION", "LIMIT"]) {
            if tokens.integer()? != -1 {
                return Err(Error::unsupported(
                    "CONNECTION LIMIT",
                    "The node's configuration bounds its connections.",
                ));
            }
        } else if tokens.takes(&["ENCRYPTED"]) || tokens.sees(&["PASSWORD"]) {
            tokens.expect(&["PASSWORD"])?;
            let text = if tokens.takes(&["NULL"]) { None } else { Some(tokens.string()?) };
            options.push(RoleOption::Password(text));
        } else if tokens.takes(&["IN", "ROLE"]) || tokens.takes(&["IN", "GROUP"]) {
            options.push(RoleOption::InRole(tokens.names()?));
        } else if tokens.takes_any(&["ROLE", "USER"]).is_some() {
            options.push(RoleOption::Members(tokens.names()?));
        } else if tokens.sees(&["VALID"])
            || tokens.sees(&["REPLICATION"])
            || tokens.sees(&["BYPASSRLS"])
            || tokens.sees(&["ADMIN"])
            || tokens.sees(&["SYSID"])
        {
            let word = tokens.name()?.to_uppercase();
            return Err(Error::unsupported(format!("{word} of a role"), "Leave the option out."));
        } else {
            return Err(tokens.syntax_error());
        }
    }
    Ok(options)
}

fn grantee(tokens: &mut Tokens<'_>) -> Result<Option<String>, Error> {
    tokens.takes(&["GROUP"]);
    if tokens.takes(&["PUBLIC"]) { Ok(None) } else { tokens.name().map(Some) }
}

fn grant(tokens: &mut Tokens<'_>, revoke: bool) -> Result<Command, Error> {
    let towards = if revoke { "FROM" } else { "TO" };
    let mut option = revoke && tokens.takes(&["GRANT", "OPTION", "FOR"]);
    let mark = tokens.mark();
    let Some(privileges) = privileges(tokens)? else {
        tokens.back_to(mark);
        tokens.takes(&["ADMIN", "OPTION", "FOR"]);
        let roles = tokens.names()?;
        tokens.expect(&[towards])?;
        let to = tokens.names()?;
        if tokens.sees(&["WITH"]) {
            return Err(Error::unsupported(
                "WITH ADMIN OPTION",
                "A role with CREATEROLE may grant membership.",
            ));
        }
        by_and_behaviour(tokens)?;
        return Ok(Command::GrantRole { roles, to, revoke });
    };
    tokens.expect(&["ON"])?;
    let on = target(tokens)?;
    tokens.expect(&[towards])?;
    let mut grantees = vec![grantee(tokens)?];
    while tokens.takes_token(&Token::Comma) {
        grantees.push(grantee(tokens)?);
    }
    option |= !revoke && tokens.takes(&["WITH", "GRANT", "OPTION"]);
    let cascade = by_and_behaviour(tokens)?;
    Ok(Command::Grant(Box::new(Grant { revoke, privileges, on, grantees, option, cascade })))
}

fn by_and_behaviour(tokens: &mut Tokens<'_>) -> Result<bool, Error> {
    if tokens.takes(&["GRANTED", "BY"]) {
        tokens.name()?;
    }
    Ok(tokens.takes_any(&["CASCADE", "RESTRICT"]) == Some("CASCADE"))
}

/// The privileges; `None` when these aren't privileges but roles. The inner `None` is ALL.
fn privileges(tokens: &mut Tokens<'_>) -> Result<Option<Option<Vec<Privilege>>>, Error> {
    const WORDS: [(&str, Privilege); 12] = [
        ("SELECT", Privilege::Select),
        ("INSERT", Privilege::Insert),
        ("UPDATE", Privilege::Update),
        ("DELETE", Privilege::Delete),
        ("TRUNCATE", Privilege::Truncate),
        ("REFERENCES", Privilege::References),
        ("TRIGGER", Privilege::Trigger),
        ("USAGE", Privilege::Usage),
        ("CREATE", Privilege::Create),
        ("CONNECT", Privilege::Connect),
        ("TEMPORARY", Privilege::Temporary),
        ("TEMP", Privilege::Temporary),
    ];
    if tokens.takes(&["ALL"]) {
        tokens.takes(&["PRIVILEGES"]);
        if matches!(tokens.peek(), Some(Token::LParen)) {
            return Err(columns_refused());
        }
        return Ok(tokens.sees(&["ON"]).then_some(None));
    }
    let mut found = Vec::new();
    loop {
        let Some((_, privilege)) = WORDS.iter().find(|(word, _)| tokens.takes(&[word])) else {
            return Ok(None);
        };
        found.push(*privilege);
        if matches!(tokens.peek(), Some(Token::LParen)) {
            return Err(columns_refused());
        }
        if !tokens.takes_token(&Token::Comma) {
            return Ok(tokens.sees(&["ON"]).then_some(Some(found)));
        }
    }
}

fn columns_refused() -> Error {
    Error::unsupported("GRANT on columns", "Grant on a view that has only these columns.")
}

fn target(tokens: &mut Tokens<'_>) -> Result<GrantTarget, Error> {
    if tokens.takes(&["ALL", "TABLES", "IN", "SCHEMA"]) {
        return Ok(GrantTarget::AllTables(tokens.names()?));
    }
    if tokens.takes(&["ALL", "SEQUENCES", "IN", "SCHEMA"]) {
        return Ok(GrantTarget::AllSequences(tokens.names()?));
    }
    if tokens.takes(&["SEQUENCE"]) {
        return Ok(GrantTarget::Sequences(tokens.object_names()?));
    }
    if tokens.takes(&["SCHEMA"]) {
        return Ok(GrantTarget::Schemas(tokens.names()?));
    }
    if tokens.takes(&["DATABASE"]) {
        return Ok(GrantTarget::Databases(tokens.names()?));
    }
    for other in [
        "FUNCTION",
        "PROCEDURE",
        "ROUTINE",
        "LANGUAGE",
        "TYPE",
        "DOMAIN",
        "FOREIGN",
        "LARGE",
        "TABLESPACE",
        "ALL",
        "PARAMETER",
    ] {
        if tokens.sees(&[other]) {
            return Err(Error::unsupported(
                format!("GRANT ON {other}"),
                "Privileges are on databases, schemas, tables, views and sequences.",
            ));
        }
    }
    tokens.takes(&["TABLE"]);
    Ok(GrantTarget::Tables(tokens.object_names()?))
}

fn comment(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    tokens.expect(&["ON"])?;
    let relation = |tokens: &mut Tokens<'_>, kind| {
        Ok::<_, Error>(CommentTarget::Relation { kind, name: tokens.object_name()? })
    };
    let target = if tokens.takes(&["TABLE"]) {
        relation(tokens, RelationKind::Table)?
    } else if tokens.takes(&["VIEW"]) {
        relation(tokens, RelationKind::View)?
    } else if tokens.takes(&["INDEX"]) {
        relation(tokens, RelationKind::Index)?
    } else if tokens.takes(&["SEQUENCE"]) {
        relation(tokens, RelationKind::Sequence)?
    } else if tokens.takes(&["COLUMN"]) {
        let mut table = tokens.qualified()?;
        match table.pop() {
            Some(column) if !table.is_empty() => CommentTarget::Column { table, column },
            _ => return Err(Error::new("42601", "column name must be qualified")),
        }
    } else if tokens.takes(&["SCHEMA"]) {
        CommentTarget::Schema(tokens.name()?)
    } else if tokens.takes(&["DATABASE"]) {
        CommentTarget::Database(tokens.name()?)
    } else if tokens.takes(&["ROLE"]) {
        CommentTarget::Role(tokens.name()?)
    } else if tokens.takes(&["CONSTRAINT"]) {
        let name = tokens.name()?;
        tokens.expect(&["ON"])?;
        CommentTarget::Constraint { name, table: tokens.object_name()? }
    } else {
        return Err(Error::unsupported(
            "COMMENT ON this kind of object",
            "Comments are on schemas, tables, columns, views, indexes and sequences.",
        ));
    };
    tokens.expect(&["IS"])?;
    let text = if tokens.takes(&["NULL"]) { None } else { Some(tokens.string()?) };
    Ok(Command::Comment { target, text: text.filter(|text| !text.is_empty()) })
}
