//! The SQL that pgweir itself sends to learn about a session or a database.
//!
//! What is asked when a session is settled ([`LIGHT`], [`NAMES`], [`GUC_ALL`]) is asked in one pipeline: each row begins
//! with the letter of its question.
//!
//! Depends on nothing. Invariant: every name and operator is qualified, so that neither `search_path` nor a client's
//! objects change what they mean; an ordinary role may run them all; PostgreSQL 14 to 18 know all that they use.

use postgres_protocol::escape::escape_literal;

/// What a session holds besides settings. One row: advisory locks, channels listened to, held cursors, statements
/// prepared by SQL, temporary objects, temporary replication slots, statements prepared by us for clients (each a count), session
/// authorization, role.
///
/// Ask it outside a transaction: within one, advisory locks of both levels look alike.
pub const LIGHT: &str = "\
SELECT 'h', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks l
  WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()),
 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_listening_channels()),
 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_cursors c WHERE c.is_holdable),
 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql),
 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_depend d
  WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid
   AND d.refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()),
 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots s
  WHERE s.temporary AND s.active_pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()),
 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements p
  WHERE NOT p.from_sql AND p.name OPERATOR(pg_catalog.~) '^_pgweir_[0-9]{4,}$'),
 pg_catalog.current_setting('session_authorization'), pg_catalog.current_setting('role')";

/// The number of dblink's connections that have a name. `schema`: where the extension is, quoted.
pub fn connections(schema: &str) -> String {
    format!("SELECT 'c', COALESCE(pg_catalog.cardinality({schema}.dblink_get_connections()), 0)")
}

/// Where dblink is, if anyone may ask it for its connections: `dblink`, the schema's name, quoted.
pub const DBLINK: &str = "\
SELECT 'dblink', pg_catalog.quote_ident(n.nspname)
FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_depend d ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass::pg_catalog.oid
 AND d.refobjid OPERATOR(pg_catalog.=) e.oid
 AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) d.objid
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
WHERE e.extname OPERATOR(pg_catalog.=) 'dblink' AND p.proname OPERATOR(pg_catalog.=) 'dblink_get_connections'
 AND pg_catalog.has_schema_privilege('public', n.oid, 'USAGE')
 AND pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE')";

/// The channels that a session listens to: name.
pub const CHANNELS: &str = "SELECT pg_catalog.pg_listening_channels()";

/// The values of the settings named in `$1` (`text[]`): name, value. The value is NULL if the backend never heard of
/// the name.
pub const NAMES: &str =
    "SELECT 'n', n, pg_catalog.current_setting(n, true) FROM pg_catalog.unnest($1::pg_catalog.text[]) AS n";

/// All settings that the session changed, but for custom ones without a library that defines them: name, value.
/// Ask it outside a transaction: within one, local values look the same.
pub const GUC_ALL: &str = "\
SELECT 'a', name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings
 WHERE source OPERATOR(pg_catalog.=) 'session'";

/// The values of all settings: name, value, whether any user may give it at startup (what ends with a transaction aside). For a
/// backend that has just started, so that these are what `RESET` gives. (`pg_settings.reset_val` has no units, so it
/// couldn't be compared with the other answers.)
pub const BASELINE: &str = "\
SELECT name, pg_catalog.current_setting(name), context OPERATOR(pg_catalog.=) 'user'
 AND name OPERATOR(pg_catalog.!~) '^(seed|transaction_(isolation|read_only|deferrable))$' FROM pg_catalog.pg_settings";

/// The values of custom settings: name, value. The value is NULL if the session never heard of the name.
pub fn custom_settings<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(escape_literal).collect();
    format!(
        "SELECT n, pg_catalog.current_setting(n, true) FROM pg_catalog.unnest(ARRAY[{}]::pg_catalog.text[]) AS n",
        names.join(",")
    )
}

/// A fingerprint of what `ALTER ROLE` and `ALTER DATABASE` set for this database and user, and of what decides whether the
/// user may log in.
pub const DEFAULTS: &str = "\
SELECT pg_catalog.md5(pg_catalog.concat_ws(':', r.rolcanlogin, r.rolvaliduntil, d.datallowconn,
 pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT'),
 (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(':', s.setdatabase, s.setrole, s.setconfig), ';'
   ORDER BY s.setdatabase, s.setrole) FROM pg_catalog.pg_db_role_setting s
  WHERE (s.setrole OPERATOR(pg_catalog.=) 0 OR s.setrole OPERATOR(pg_catalog.=) r.oid)
   AND (s.setdatabase OPERATOR(pg_catalog.=) 0 OR s.setdatabase OPERATOR(pg_catalog.=) d.oid))))
FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
WHERE r.rolname OPERATOR(pg_catalog.=) session_user AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()";

/// In front of each of the following. One Query is one transaction, so nothing of this stays in the session (a `SET
/// TRANSACTION` would show in `pg_settings`): no limit that the client set for itself holds, bytes come as they are
/// stored, and nobody is kept waiting for a lock of ours. PostgreSQL 14 to 16 have no `transaction_timeout`; a row
/// about it isn't an answer.
pub const QUIETLY: &str = "\
SET LOCAL statement_timeout = 0; SET LOCAL jit = off; SET LOCAL lock_timeout = '100ms';
SET LOCAL client_encoding = 'SQL_ASCII';
SELECT 'set', pg_catalog.set_config(name, '0', true) FROM pg_catalog.pg_settings
 WHERE name OPERATOR(pg_catalog.=) 'transaction_timeout';";

/// How many connections PostgreSQL allows, how many of these it keeps for superusers and reserved roles, and how many are
/// in use, by anyone. PostgreSQL 14 and 15 know no `reserved_connections`.
pub const CONNECTIONS: &str = "\
SELECT 'connections', pg_catalog.current_setting('max_connections'),
 (SELECT pg_catalog.sum(setting::pg_catalog.int4) FROM pg_catalog.pg_settings
   WHERE name OPERATOR(pg_catalog.=) 'superuser_reserved_connections'
      OR name OPERATOR(pg_catalog.=) 'reserved_connections'),
 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity
   WHERE backend_type OPERATOR(pg_catalog.=) 'client backend')";

/// A fingerprint of all that [`NAMED`], [`ROUTINES`], [`TRIGGERS`] and [`EXPRESSIONS`] read: differs after a change of
/// any. What is temporary is left out, since it comes and goes.
pub const FINGERPRINT: &str = "\
SELECT pg_catalog.concat_ws(':', pg_catalog.count(*),
 pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws(':', object, version), 0)))
FROM (
 SELECT p.oid, p.xmin::pg_catalog.text FROM pg_catalog.pg_proc p WHERE p.oid OPERATOR(pg_catalog.>=) 16384
 UNION ALL SELECT e.oid, e.xmin::pg_catalog.text FROM pg_catalog.pg_event_trigger e
 UNION ALL SELECT r.oid, r.xmin::pg_catalog.text FROM pg_catalog.pg_rewrite r
  WHERE r.oid OPERATOR(pg_catalog.>=) 16384
 UNION ALL SELECT q.oid, q.xmin::pg_catalog.text FROM pg_catalog.pg_policy q
 UNION ALL SELECT i.inhrelid, i.inhparent::pg_catalog.text FROM pg_catalog.pg_inherits i
 UNION ALL SELECT t.oid, pg_catalog.concat_ws(':', t.xmin, c.relname) FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t.tgrelid WHERE NOT t.tgisinternal
 UNION ALL SELECT a.oid, pg_catalog.concat_ws(':', a.xmin, c.relname) FROM pg_catalog.pg_attrdef a
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.adrelid
  WHERE c.relpersistence OPERATOR(pg_catalog.<>) 't'
 UNION ALL SELECT c.oid, c.relname FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.>=) 16384
  AND c.relpersistence OPERATOR(pg_catalog.<>) 't'
  AND (c.relhasrules OR c.relhastriggers OR c.relrowsecurity)) seen(object, version)";

/// What bodies may mention: names of routines and relations, and commands that event triggers watch.
pub const NAMED: &str = "\
SELECT p.proname FROM pg_catalog.pg_proc p WHERE p.oid OPERATOR(pg_catalog.>=) 16384
UNION SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.>=) 16384
 AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::pg_catalog.\"char\"[])
UNION SELECT * FROM pg_catalog.unnest('{create,alter,drop}'::pg_catalog.name[])";

/// Longer bodies aren't read, in bytes.
const LONGEST: u32 = 256 * 1024;

/// Routines with a body that can be read: name, language, body. The body is NULL if it is too long.
pub fn routines() -> String {
    format!(
        "\
SELECT p.proname, l.lanname,
 CASE WHEN pg_catalog.octet_length(p.prosrc) OPERATOR(pg_catalog.<=) {LONGEST} THEN p.prosrc END
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang
WHERE l.lanname OPERATOR(pg_catalog.<>) 'internal' AND l.lanname OPERATOR(pg_catalog.<>) 'c'
 AND n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog' AND p.prosqlbody IS NULL
UNION ALL
SELECT p.proname, 'sql', pg_catalog.concat('SET LOCAL ', pg_catalog.split_part(setting, '=', 1), ' = 0')
FROM pg_catalog.pg_proc p CROSS JOIN pg_catalog.unnest(p.proconfig) AS setting
WHERE pg_catalog.strpos(pg_catalog.split_part(setting, '=', 1), '.') OPERATOR(pg_catalog.>) 0"
    )
}

/// Tables with triggers (and the tables that these are parts or children of), and the commands that event triggers
/// watch: name, `sql`, the trigger's function.
pub const TRIGGERS: &str = "\
WITH RECURSIVE fired(relation, routine) AS (
 SELECT t.tgrelid, t.tgfoid FROM pg_catalog.pg_trigger t
 WHERE NOT t.tgisinternal AND t.tgenabled OPERATOR(pg_catalog.<>) 'D'
 UNION
 SELECT i.inhparent, f.routine FROM fired f
 JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) f.relation)
SELECT c.relname, 'sql', pg_catalog.quote_ident(p.proname)
FROM fired f
JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) f.relation
JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) f.routine
UNION ALL
SELECT command, 'sql', pg_catalog.quote_ident(p.proname)
FROM pg_catalog.pg_event_trigger e
JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) e.evtfoid
CROSS JOIN pg_catalog.unnest(ARRAY['create', 'alter', 'drop', 'grant', 'revoke', 'comment', 'import', 'refresh', 'security', 'reindex']
 ::pg_catalog.name[]) AS command
WHERE e.evtenabled OPERATOR(pg_catalog.<>) 'D'";

/// What PostgreSQL keeps as a tree: views and rules, policies, defaults, SQL-standard bodies. Name of the relation or
/// routine, `sql`, and the names that it uses; where it calls a function of PostgreSQL's own that changes a session,
/// its text, which has the arguments too. Writing a text takes locks on what it reads, so few are asked for.
///
/// Defaults of `serial` columns call `nextval`, which isn't looked for here.
pub const EXPRESSIONS: &str = "\
WITH telling(sign) AS (
 SELECT ':(funcid|relid) (' OPERATOR(pg_catalog.||) pg_catalog.string_agg(oid::pg_catalog.text, '|')
   OPERATOR(pg_catalog.||) ') '
 FROM (
  SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.pronamespace OPERATOR(pg_catalog.=) 11
   AND p.proname OPERATOR(pg_catalog.~) '^(set_config$|currval|lastval|setval|setseed|pg_notify|query_to_xml|ts_rewrite'
    '|ts_stat$|pg_(try_)?advisory_(lock|unlock)|pg_replication_origin_session_(re)?set|pg_backup|pg_st(art|op)_backup'
    '|pg_(create|copy|drop)_.*slot)'
  UNION ALL SELECT 'pg_catalog.pg_settings'::pg_catalog.regclass::pg_catalog.oid) own),
trees(kind, class, object, owner, tree) AS (
 SELECT 'rule', 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid, c.relname,
  r.ev_action::pg_catalog.text OPERATOR(pg_catalog.||) r.ev_qual::pg_catalog.text
 FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) r.ev_class
 WHERE r.oid OPERATOR(pg_catalog.>=) 16384 AND r.ev_enabled OPERATOR(pg_catalog.<>) 'D'
 UNION ALL
 SELECT 'policy', 'pg_catalog.pg_policy'::pg_catalog.regclass, q.oid, c.relname,
  pg_catalog.concat(q.polqual::pg_catalog.text, q.polwithcheck::pg_catalog.text)
 FROM pg_catalog.pg_policy q JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) q.polrelid
 UNION ALL
 SELECT 'default', 'pg_catalog.pg_attrdef'::pg_catalog.regclass, a.oid, c.relname, a.adbin::pg_catalog.text
 FROM pg_catalog.pg_attrdef a JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.adrelid
 WHERE c.relpersistence OPERATOR(pg_catalog.<>) 't'
 UNION ALL
 SELECT 'body', 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.proname, p.prosqlbody::pg_catalog.text
 FROM pg_catalog.pg_proc p WHERE p.prosqlbody IS NOT NULL AND p.oid OPERATOR(pg_catalog.>=) 16384)
SELECT t.owner, 'sql',
 CASE WHEN t.tree OPERATOR(pg_catalog.~) (SELECT sign FROM telling) THEN
  CASE WHEN t.kind OPERATOR(pg_catalog.=) 'rule' THEN pg_catalog.substr(pg_catalog.pg_get_ruledef(t.object), 7)
  WHEN t.kind OPERATOR(pg_catalog.=) 'body' THEN pg_catalog.pg_get_function_sqlbody(t.object)
  WHEN t.kind OPERATOR(pg_catalog.=) 'policy' THEN (
   SELECT pg_catalog.concat_ws(' AND ', pg_catalog.pg_get_expr(q.polqual, q.polrelid),
    pg_catalog.pg_get_expr(q.polwithcheck, q.polrelid))
   FROM pg_catalog.pg_policy q WHERE q.oid OPERATOR(pg_catalog.=) t.object)
  ELSE (SELECT pg_catalog.pg_get_expr(a.adbin, a.adrelid) FROM pg_catalog.pg_attrdef a
   WHERE a.oid OPERATOR(pg_catalog.=) t.object) END
 ELSE (
  SELECT pg_catalog.string_agg(DISTINCT pg_catalog.quote_ident(COALESCE(p.proname, c.relname)), ' ')
  FROM pg_catalog.pg_depend d
  LEFT JOIN pg_catalog.pg_operator o ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass
   AND o.oid OPERATOR(pg_catalog.=) d.refobjid
  LEFT JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) CASE
   WHEN d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass THEN d.refobjid
   ELSE o.oprcode::pg_catalog.oid END
  LEFT JOIN pg_catalog.pg_class c ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
   AND c.oid OPERATOR(pg_catalog.=) d.refobjid
  WHERE d.classid OPERATOR(pg_catalog.=) t.class AND d.objid OPERATOR(pg_catalog.=) t.object) END
FROM trees t";
