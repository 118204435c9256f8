#!/bin/sh
# Takes PostgreSQL's static catalog rows, which are facts that clients look up, from a running PostgreSQL 15.
# It writes the .tsv files beside it in COPY's text format. Connection: the usual PGHOST, PGPORT, PGUSER.
# Run it on a database fresh from initdb: numbers of information_schema are initdb's own.
set -eu
cd "$(dirname "$0")"

version=$(psql -XAtc 'show server_version_num')
case "$version" in 15????) ;; *) echo "PostgreSQL 15 is needed, not $version" >&2; exit 1 ;; esac

run() { # file, query
  psql -Xq -v ON_ERROR_STOP=1 -c "copy ($2) to stdout" > "$1"
}

# All columns of a catalog; a function is told by its number, not by its name.
all() { # catalog, alias
  psql -XAt -c "select string_agg(case atttypid when 'regproc'::regtype then '$2.' || attname || '::oid'
      else '$2.' || attname end, ',' order by attnum)
    from pg_attribute where attrelid = '$1'::regclass and attnum > 0"
}

# Types that Stele has, and those without which clients can't read the catalogs.
types="'bool','bytea','char','name','int8','int2','int2vector','int4','regproc','text','oid','tid','xid',
'cid','oidvector','json','pg_node_tree','float4','float8','unknown','bpchar','varchar','date','time',
'timestamp','timestamptz','interval','numeric','regprocedure','regoper','regoperator','regclass','regtype',
'regrole','regnamespace','uuid','jsonb','aclitem','cstring','record','any','anyarray','void','anyelement',
'internal'"
have="select oid from pg_type where typnamespace = 11 and (typname in ($types)
  or typelem in (select oid from pg_type where typnamespace = 11 and typname in ($types))
     and typsubscript::text = 'array_subscript_handler')"

# All types are listed, also those that no column of Stele's can have: drivers load the list and know the numbers.
run types.tsv "select $(all pg_type t) from pg_type t where typnamespace = 11 order by oid"

# Columns of every relation of the two schemas. Domains of information_schema are told by their base types.
run columns.tsv "select n.nspname, c.relname, c.oid, c.relkind, a.attname,
    case t.typtype when 'd' then format_type(t.typbasetype, t.typtypmod)
      else format_type(a.atttypid, a.atttypmod) end, a.attnotnull
  from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
    join pg_type t on t.oid = a.atttypid
  where n.nspname in ('pg_catalog', 'information_schema') and c.relkind in ('r','v') and a.attnum > 0
  order by n.nspname desc, c.relname, a.attnum"

names=$(sed "s/.*/'&'/" functions.txt | paste -sd, -)
run functions.tsv "select $(all pg_proc p) from pg_proc p
  where p.pronamespace in (11, (select oid from pg_namespace where nspname = 'information_schema'))
    and (p.proname in ($names) and p.prorettype in ($have) and not exists (
      select from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) a where a not in ($have))
    or p.oid in (
      select unnest(array[typinput, typoutput, typreceive, typsend, typmodin, typmodout, typsubscript]::oid[])
      from pg_type where oid in ($have)))
  order by p.oid"
run aggregates.tsv "select $(all pg_aggregate a) from pg_aggregate a join pg_proc p on p.oid = a.aggfnoid
  where p.proname in ($names) and p.prorettype in ($have) and not exists (
    select from unnest(p.proargtypes) t where t not in ($have)) order by p.oid"

basic="select oid from pg_type where typnamespace = 11 and typname in ('bool','bytea','char','name','int8',
  'int2','int4','text','oid','float4','float8','bpchar','date','time','timestamp','timestamptz','interval',
  'numeric','uuid','jsonb','anyarray','anyelement')"
run operators.tsv "select $(all pg_operator o) from pg_operator o where (oprleft in ($basic) or oprleft = 0) and oprright in ($basic)
    and oprresult in ($basic) and oprname in ('=','<>','<','<=','>','>=','+','-','*','/','%','||','~~',
    '!~~','~~*','!~~*','~','!~','~*','!~*','&','|','#','<<','>>','@>','<@') order by oid"
run casts.tsv "select * from pg_cast where castsource in ($have) and casttarget in ($have) order by oid"
run opfamilies.tsv "select * from pg_opfamily f where opfmethod = 403 and exists (
    select from pg_opclass c where c.opcfamily = f.oid and c.opcintype in ($basic)) order by oid"
run opclasses.tsv "select * from pg_opclass where opcmethod = 403 and opcintype in ($basic) order by oid"
run collations.tsv "select * from pg_collation where collname in ('default', 'C', 'POSIX') order by oid"
run languages.tsv "select * from pg_language where lanname in ('internal', 'sql') order by oid"
run methods.tsv "select $(all pg_am a) from pg_am a where amname in ('heap', 'btree') order by oid"
run tablespaces.tsv "select * from pg_tablespace order by oid"
run keywords.tsv "select * from pg_get_keywords()"
run descriptions.tsv "select d.* from pg_description d where (classoid = 'pg_type'::regclass and objoid in ($have))
    or (classoid = 'pg_namespace'::regclass and objoid = 11)
    or (classoid = 'pg_proc'::regclass and objoid in (select oid from pg_proc where proname in ($names)))
  order by 1, 2, 3"
