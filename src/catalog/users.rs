//! The SQL about users: what a login asks of a database, and the function that lets an ordinary role ask it.
//!
//! Depends on nothing. Invariant: names and operators are qualified, and what came from a client is a parameter; nobody's
//! name becomes part of a text.

/// What the session that asks may do: read `pg_authid` itself; call the function (each `t`, or not).
///
/// A function that somebody else than a superuser could have made, or could replace, is none: whoever may create a
/// schema could say with it who gets in.
pub const MEANS: &str = "\
SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT'),
 (SELECT pg_catalog.has_function_privilege(p.oid, 'EXECUTE') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
   AND maker.rolsuper AND owner.rolsuper AND p.prosecdef
  FROM pg_catalog.pg_proc p, pg_catalog.pg_namespace n, pg_catalog.pg_roles maker, pg_catalog.pg_roles owner
  WHERE p.oid OPERATOR(pg_catalog.=) pg_catalog.to_regprocedure('pgweir.user_lookup(text)')::pg_catalog.oid
   AND n.oid OPERATOR(pg_catalog.=) p.pronamespace
   AND maker.oid OPERATOR(pg_catalog.=) p.proowner AND owner.oid OPERATOR(pg_catalog.=) n.nspowner)";

/// Whether role `$1` may log in (`f`, `t`; NULL if there is no such role), whether database `$2` accepts connections
/// (NULL if there is none), whether the role may connect to it. One row; any role may ask.
pub const DOOR: &str = "\
SELECT (SELECT r.rolcanlogin AND COALESCE(r.rolvaliduntil OPERATOR(pg_catalog.>=) pg_catalog.now(), true)
  FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) $1::pg_catalog.text),
 (SELECT d.datallowconn FROM pg_catalog.pg_database d
  WHERE d.datname OPERATOR(pg_catalog.=) $2::pg_catalog.text),
 (SELECT pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT')
  FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
  WHERE r.rolname OPERATOR(pg_catalog.=) $1::pg_catalog.text
   AND d.datname OPERATOR(pg_catalog.=) $2::pg_catalog.text)";

/// Name and password of role `$1`, for who may read `pg_authid`.
pub const DIRECT: &str = "\
SELECT r.rolname::pg_catalog.text, r.rolpassword FROM pg_catalog.pg_authid r
 WHERE r.rolname OPERATOR(pg_catalog.=) $1::pg_catalog.text AND r.rolcanlogin
  AND COALESCE(r.rolvaliduntil OPERATOR(pg_catalog.>=) pg_catalog.now(), true)
  AND NOT r.rolsuper AND NOT r.rolreplication";

/// The same by [`install`]'s function.
pub const FUNCTION: &str = "SELECT user_name, password FROM pgweir.user_lookup($1::pg_catalog.text)";

/// The script that makes the function and lets `role` call it. To be run by a superuser.
pub fn install(role: &str) -> String {
    let role = postgres_protocol::escape::escape_identifier(role);
    format!(
        "\
-- Lets pgweir look up the passwords of users that its configuration doesn't name. Run it as a superuser, in the
-- database that pgweir asks (auth.dbname, else the database of the URL), for example: psql -d app -f this.sql
-- It may be run again. The role must be there; it needs no other right than to log in:
--   CREATE ROLE ... LOGIN PASSWORD '...';
\\set ON_ERROR_STOP on
BEGIN;
CREATE SCHEMA IF NOT EXISTS pgweir;
ALTER SCHEMA pgweir OWNER TO CURRENT_USER;
REVOKE ALL ON SCHEMA pgweir FROM PUBLIC;
DROP FUNCTION IF EXISTS pgweir.user_lookup(text);
CREATE FUNCTION pgweir.user_lookup(asked text, OUT user_name text, OUT password text)
 RETURNS SETOF record LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
 {body};
$$;
REVOKE ALL ON FUNCTION pgweir.user_lookup(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgweir TO {role};
GRANT EXECUTE ON FUNCTION pgweir.user_lookup(text) TO {role};
COMMIT;
",
        body = DIRECT
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_quoted() {
        assert!(install("o\"hara; x").contains("TO \"o\"\"hara; x\";"));
    }
}
