//! The SQL that pgweir itself sends to learn about a session or a database.
//!
//! What is asked when a session is settled ([`LIGHT`], [`NAMES`], [`GUC_ALL`]) is asked in one pipeline: each row begins
//! with the letter of its question.
//!
//! Depends on nothing. Invariant: every name and operator is qualified, so that neither `search_path` nor a client's
//! objects change what they mean; an ordinary role may run them all; PostgreSQL 14 to 18 know all that they use.

/// What a session holds besides settings. One row: advisory locks, channels listened to, held cursors, statements
/// prepared by SQL, temporary objects, temporary replication slots (each a count), session authorization, role.
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
 pg_catalog.current_setting('session_authorization'), pg_catalog.current_setting('role')";

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

/// The values of all settings: name, value. For a backend that has just started, so that these are what `RESET`
/// gives. (`pg_settings.reset_val` has no units, so it couldn't be compared with the other answers.)
pub const BASELINE: &str = "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings";

/// A fingerprint of what `ALTER ROLE` and `ALTER DATABASE` set for this database and user; NULL if nothing.
pub const DEFAULTS: &str = "\
SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(':', setdatabase, setrole, setconfig), ';'
  ORDER BY setdatabase, setrole))
FROM pg_catalog.pg_db_role_setting
WHERE (setrole OPERATOR(pg_catalog.=) 0 OR setrole OPERATOR(pg_catalog.=)
  (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) session_user))
 AND (setdatabase OPERATOR(pg_catalog.=) 0 OR setdatabase OPERATOR(pg_catalog.=)
  (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))";

/// Routines with a body that can be read: name, language, body.
pub const ROUTINES: &str = "\
SELECT p.proname::pg_catalog.text, l.lanname::pg_catalog.text,
 CASE WHEN p.prosqlbody IS NULL THEN p.prosrc ELSE pg_catalog.pg_get_function_sqlbody(p.oid) END
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang
WHERE l.lanname OPERATOR(pg_catalog.<>) 'internal' AND l.lanname OPERATOR(pg_catalog.<>) 'c'
 AND n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog'";

/// Tables with triggers (and the tables that these are parts or children of), and the commands that event triggers
/// watch: name, `sql`, the trigger's function.
pub const TRIGGERS: &str = "\
WITH RECURSIVE fired(relation, routine) AS (
 SELECT t.tgrelid, t.tgfoid FROM pg_catalog.pg_trigger t
 WHERE NOT t.tgisinternal AND t.tgenabled OPERATOR(pg_catalog.<>) 'D'
 UNION
 SELECT i.inhparent, f.routine FROM fired f
 JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) f.relation)
SELECT c.relname::pg_catalog.text, 'sql'::pg_catalog.text, pg_catalog.quote_ident(p.proname)
FROM fired f
JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) f.relation
JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) f.routine
UNION ALL
SELECT command, 'sql'::pg_catalog.text, pg_catalog.quote_ident(p.proname)
FROM pg_catalog.pg_event_trigger e
JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) e.evtfoid
CROSS JOIN pg_catalog.unnest(ARRAY['create', 'alter', 'drop', 'grant', 'revoke', 'comment', 'import', 'refresh']
 ::pg_catalog.text[]) AS command
WHERE e.evtenabled OPERATOR(pg_catalog.<>) 'D'";

/// Views, and tables with rules, policies or defaults that call something: name, `sql`, definition. Defaults of
/// `serial` columns are left out: the command tags of what fires them say enough. A rule loses its leading `CREATE`.
pub const RELATIONS: &str = "\
SELECT c.relname::pg_catalog.text, 'sql'::pg_catalog.text, d.body
FROM (
 SELECT v.oid AS relation, pg_catalog.pg_get_viewdef(v.oid) AS body FROM pg_catalog.pg_class v
 WHERE v.relkind OPERATOR(pg_catalog.=) 'v' OR v.relkind OPERATOR(pg_catalog.=) 'm'
 UNION ALL
 SELECT r.ev_class, pg_catalog.substr(pg_catalog.pg_get_ruledef(r.oid), 7) FROM pg_catalog.pg_rewrite r
 WHERE r.rulename OPERATOR(pg_catalog.<>) '_RETURN' AND r.ev_enabled OPERATOR(pg_catalog.<>) 'D'
 UNION ALL
 SELECT p.polrelid, pg_catalog.concat_ws(' AND ', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
  pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) FROM pg_catalog.pg_policy p
 UNION ALL
 SELECT f.relation, f.body FROM (
  SELECT a.adrelid AS relation, pg_catalog.pg_get_expr(a.adbin, a.adrelid) AS body FROM pg_catalog.pg_attrdef a) f
 WHERE f.body OPERATOR(pg_catalog.~) '[(]' AND f.body OPERATOR(pg_catalog.!~) '^nextval[(]''[^'']*''::regclass[)]$') d
JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.relation
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog' AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema'";

/// A fingerprint of all that [`ROUTINES`], [`TRIGGERS`] and [`RELATIONS`] read: differs after a change of any.
pub const FINGERPRINT: &str = "\
SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(':', oid, xmin), ',' ORDER BY oid))
FROM (
 SELECT p.oid, p.xmin FROM pg_catalog.pg_proc p WHERE p.oid OPERATOR(pg_catalog.>=) 16384
 UNION ALL SELECT t.oid, t.xmin FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal
 UNION ALL SELECT e.oid, e.xmin FROM pg_catalog.pg_event_trigger e
 UNION ALL SELECT r.oid, r.xmin FROM pg_catalog.pg_rewrite r WHERE r.oid OPERATOR(pg_catalog.>=) 16384
 UNION ALL SELECT q.oid, q.xmin FROM pg_catalog.pg_policy q
 UNION ALL SELECT a.oid, a.xmin FROM pg_catalog.pg_attrdef a) changed";

/// The schema of the dblink extension, quoted; no row if it isn't there.
pub const DBLINK_SCHEMA: &str = "\
SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
WHERE e.extname OPERATOR(pg_catalog.=) 'dblink'";

/// How many named dblink connections the session has, NULL for none; `schema` is what [`DBLINK_SCHEMA`] gave.
pub fn dblink_connections(schema: &str) -> String {
    format!("SELECT pg_catalog.cardinality(names) FROM {schema}.dblink_get_connections() AS names")
}
