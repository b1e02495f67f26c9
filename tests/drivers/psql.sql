\set SHOW_CONTEXT never
drop table if exists psql_t cascade;
create table psql_t (i int primary key, t text);

\echo -- copy, both ways
\copy psql_t from stdin
1	one
2	two
3	\N
\.
copy psql_t (i) from stdin;
4
\.
copy psql_t to stdout;
\copy (select i from psql_t order by i desc) to stdout (format csv, header)
copy psql_t from stdin;
not a number	x
\.

\echo -- an error in a transaction
begin;
insert into psql_t values (5, 'five');
savepoint s;
insert into psql_t values (5, 'twice');
select 1;
rollback to s;
select count(*) from psql_t;
rollback;
select count(*) from psql_t;

\echo -- psql rolls back to savepoints of its own
\set ON_ERROR_ROLLBACK on
begin;
select 1/0;
select 'goes on';
commit;
\set ON_ERROR_ROLLBACK off

\echo -- cursors, by hand and by FETCH_COUNT
begin;
declare c scroll cursor for select generate_series(1, 10);
fetch 2 from c;
move 3 in c;
fetch backward 1 from c;
close c;
commit;
\set FETCH_COUNT 3
select generate_series(1, 7);
\set FETCH_COUNT 0

\echo -- statements prepared by SQL, within a transaction
begin;
prepare p (int) as select $1 + 1;
execute p(41);
deallocate p;
commit;

\echo -- several statements in one message
begin\; insert into psql_t values (9)\; commit\; select count(*) from psql_t;

\echo -- described, kept in a variable, run as statements
select 1 as a, 'x'::text as b \gdesc
select 40 + 2 as answer \gset
\echo :answer
select format('select %s', i) from generate_series(1, 3) as i \gexec

\echo -- settings within a transaction
begin;
set local statement_timeout = '12s';
show statement_timeout;
commit;

\echo -- what psql asks about a table
\d psql_t
drop table psql_t;
do $$ begin raise notice 'hear me'; end $$;
