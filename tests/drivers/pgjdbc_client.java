// pgjdbc, as applications use it. Takes DATABASE_URL, parameters of the driver in JDBC_PARAMETERS, and as arguments which
// checks to make (none: all); ends with 0 if everything was as with PostgreSQL itself.

import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.net.URI;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyManager;

class PgjdbcClient {
    static final int CONNECTIONS = 60;
    static final int TRANSACTIONS = 10;

    interface Check {
        void run() throws Exception;
    }

    static Connection connect(String... parameters) throws SQLException {
        URI url = URI.create(System.getenv("DATABASE_URL"));
        String[] login = url.getUserInfo().split(":", 2);
        Properties properties = new Properties();
        properties.setProperty("user", login[0]);
        properties.setProperty("password", login[1]);
        String given = System.getenv().getOrDefault("JDBC_PARAMETERS", "");
        List<String> all = new ArrayList<>(Arrays.asList(parameters));
        all.addAll(Arrays.asList(given.split("&")));
        for (String parameter : all) {
            String[] pair = parameter.split("=", 2);
            if (pair.length == 2) properties.setProperty(pair[0], pair[1]);
        }
        return DriverManager.getConnection("jdbc:postgresql://" + url.getHost() + ":" + url.getPort() + url.getPath(), properties);
    }

    static void is(Object got, Object expected) {
        if (!expected.equals(got)) throw new AssertionError("got " + got + ", expected " + expected);
    }

    static Object value(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getObject(1);
        }
    }

    static void run(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    /** The SQLSTATE of what has to fail. */
    static String failure(Check check) throws Exception {
        try {
            check.run();
        } catch (SQLException error) {
            return error.getSQLState();
        }
        throw new AssertionError("it went through");
    }

    static int plusOne(PreparedStatement statement, int value) throws SQLException {
        statement.setInt(1, value);
        try (ResultSet rows = statement.executeQuery()) {
            rows.next();
            return rows.getInt(1);
        }
    }

    /** From the fifth run on the driver uses a statement of the server, and binary values. */
    static void preparedStatements() throws Exception {
        for (String threshold : new String[] {"5", "1", "-1"}) {
            try (Connection one = connect("prepareThreshold=" + threshold); Connection two = connect();
                    PreparedStatement first = one.prepareStatement("select ?::int + 1");
                    PreparedStatement second = two.prepareStatement("select ?::int + 1")) {
                for (int i = 0; i < 20; i++) {
                    is(plusOne(first, i), i + 1);
                    is(plusOne(second, -i), 1 - i);
                }
                is(second.unwrap(PGStatement.class).isUseServerPrepare(), true);
            }
        }
    }

    static void moreStatementsThanTheDriverKeeps() throws Exception {
        try (Connection connection = connect("prepareThreshold=1", "preparedStatementCacheQueries=5")) {
            for (int turn = 0; turn < 3; turn++) {
                for (int i = 0; i < 12; i++) {
                    try (PreparedStatement statement = connection.prepareStatement("select ?::int + " + i)) {
                        is(plusOne(statement, turn), turn + i);
                    }
                }
            }
        }
    }

    /** After DDL the driver's own statement doesn't fit any more; it prepares again by itself. */
    static void aTableThatChanges() throws Exception {
        try (Connection connection = connect("prepareThreshold=1", "autosave=conservative")) {
            run(connection, "drop table if exists pgjdbc_changes; create table pgjdbc_changes (a int); insert into pgjdbc_changes values (1)");
            connection.setAutoCommit(false);
            try (PreparedStatement statement = connection.prepareStatement("select * from pgjdbc_changes")) {
                for (int columns = 1; columns < 4; columns++) {
                    for (int i = 0; i < 3; i++) {
                        try (ResultSet rows = statement.executeQuery()) {
                            is(rows.getMetaData().getColumnCount(), columns);
                        }
                    }
                    connection.commit();
                    run(connection, "alter table pgjdbc_changes add column c" + columns + " text");
                    connection.commit();
                }
            }
        }
    }

    static void typesInBothFormats() throws Exception {
        for (String threshold : new String[] {"0", "-1"}) {
            try (Connection connection = connect("prepareThreshold=" + threshold, "binaryTransfer=true");
                    PreparedStatement statement = connection.prepareStatement("select ?::numeric, ?::timestamptz, ?::bytea, ?::text, ?::bool, ?::int[], ?::int8, ?::text")) {
                OffsetDateTime time = OffsetDateTime.of(2024, 2, 29, 12, 30, 0, 0, ZoneOffset.UTC);
                for (int i = 0; i < 3; i++) {
                    statement.setBigDecimal(1, new BigDecimal("12345.678900"));
                    statement.setObject(2, time);
                    statement.setBytes(3, new byte[] {0, -1});
                    statement.setString(4, "naïve ☃");
                    statement.setBoolean(5, true);
                    statement.setArray(6, connection.createArrayOf("int4", new Integer[] {1, null, 3}));
                    statement.setLong(7, 1L << 40);
                    statement.setNull(8, Types.VARCHAR);
                    try (ResultSet rows = statement.executeQuery()) {
                        rows.next();
                        is(rows.getBigDecimal(1), new BigDecimal("12345.678900"));
                        is(rows.getObject(2, OffsetDateTime.class).toInstant(), time.toInstant());
                        is(Arrays.toString(rows.getBytes(3)), "[0, -1]");
                        is(rows.getString(4), "naïve ☃");
                        is(rows.getBoolean(5), true);
                        is(Arrays.toString((Object[]) rows.getArray(6).getArray()), "[1, null, 3]");
                        is(rows.getLong(7), 1L << 40);
                        is(rows.getString(8) == null, true);
                    }
                }
            }
        }
    }

    /** In portions of a portal; and two at once. */
    static void rowsInPortions() throws Exception {
        try (Connection connection = connect()) {
            connection.setAutoCommit(false);
            try (PreparedStatement one = connection.prepareStatement("select generate_series(1, ?::int)");
                    Statement two = connection.createStatement()) {
                one.setFetchSize(7);
                two.setFetchSize(11);
                for (int turn = 0; turn < 7; turn++) {
                    one.setInt(1, 100);
                    try (ResultSet first = one.executeQuery(); ResultSet second = two.executeQuery("select generate_series(1, 50)")) {
                        for (int i = 1; i <= 100; i++) {
                            is(first.next(), true);
                            is(first.getInt(1), i);
                            is(second.next(), i <= 50);
                        }
                        is(first.next(), false);
                    }
                }
            }
            connection.commit();
        }
    }

    static void batches() throws Exception {
        for (String rewrite : new String[] {"true", "false"}) {
            try (Connection connection = connect("reWriteBatchedInserts=" + rewrite)) {
                run(connection, "drop table if exists pgjdbc_batch; create table pgjdbc_batch (i int primary key, t text)");
                try (PreparedStatement insert = connection.prepareStatement("insert into pgjdbc_batch values (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                    for (int i = 0; i < 1000; i++) {
                        insert.setInt(1, i);
                        insert.setString(2, "row " + i);
                        insert.addBatch();
                    }
                    is(insert.executeBatch().length, 1000);
                }
                try (PreparedStatement insert = connection.prepareStatement("insert into pgjdbc_batch values (?, ?)")) {
                    for (int i : new int[] {1000, 1, 1001}) {
                        insert.setInt(1, i);
                        insert.setString(2, "again");
                        insert.addBatch();
                    }
                    is(failure(insert::executeBatch), "23505");
                }
                is(value(connection, "select count(*) from pgjdbc_batch"), 1000L);
            }
        }
    }

    static void copyInAndOut() throws Exception {
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 2000; i++) lines.append(i).append("\tline \\\\ ").append(i).append('\n');
        try (Connection connection = connect()) {
            run(connection, "drop table if exists pgjdbc_copy; create table pgjdbc_copy (i int, t text)");
            CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
            is(copy.copyIn("copy pgjdbc_copy from stdin", new StringReader(lines.toString())), 2000L);
            StringWriter out = new StringWriter();
            is(copy.copyOut("copy pgjdbc_copy to stdout", out), 2000L);
            is(out.toString(), lines.toString());
            is(failure(() -> copy.copyIn("copy pgjdbc_copy from stdin", new StringReader("not a number\tx\n"))), "22P02");
            is(value(connection, "select count(*) from pgjdbc_copy"), 2000L);
        }
    }

    static void aCancelHitsItsQueryOnly() throws Exception {
        try (Connection connection = connect(); Connection observer = connect();
                Statement sleeps = connection.createStatement()) {
            Thread canceller = new Thread(() -> {
                String running = "select count(*) from pg_stat_activity where state = 'active' and query like '%pgjdbc_sleeps%' and pid <> pg_backend_pid()";
                try {
                    while (value(observer, running).equals(0L)) Thread.onSpinWait();
                    sleeps.cancel();
                } catch (SQLException error) {
                    throw new AssertionError(error);
                }
            });
            canceller.start();
            is(failure(() -> sleeps.execute("select pg_sleep(60) as pgjdbc_sleeps")), "57014");
            canceller.join();
            for (int i = 0; i < 20; i++) {
                is(value(connection, "select " + i), i);
                is(value(observer, "select " + i), i);
            }
            sleeps.setQueryTimeout(1);
            is(failure(() -> sleeps.execute("select pg_sleep(60)")), "57014");
            is(value(connection, "select 1"), 1);
        }
    }

    static void errorsInTransactions() throws Exception {
        try (Connection connection = connect()) {
            run(connection, "drop table if exists pgjdbc_unique; create table pgjdbc_unique (i int primary key)");
            connection.setAutoCommit(false);
            run(connection, "insert into pgjdbc_unique values (1)");
            Savepoint savepoint = connection.setSavepoint("before");
            is(failure(() -> run(connection, "insert into pgjdbc_unique values (1)")), "23505");
            is(failure(() -> run(connection, "select 1")), "25P02");
            connection.rollback(savepoint);
            run(connection, "insert into pgjdbc_unique values (2)");
            connection.commit();
            is(value(connection, "select count(*) from pgjdbc_unique"), 2L);
            connection.rollback();
            connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            connection.setReadOnly(true);
            is(failure(() -> run(connection, "insert into pgjdbc_unique values (3)")), "25006");
            connection.rollback();
        }
    }

    /** The driver looks at what a session is told and believes it. */
    static void theSession() throws Exception {
        try (Connection connection = connect("ApplicationName=pgjdbc client", "currentSchema=pg_catalog", "options=-c work_mem=8MB"); Connection other = connect()) {
            for (int i = 0; i < 5; i++) {
                is(value(connection, "show application_name"), "pgjdbc client");
                is(value(connection, "show search_path"), "pg_catalog");
                is(value(connection, "show work_mem"), "8MB");
                is(value(other, "select 1"), 1);
            }
            connection.setClientInfo("ApplicationName", "another");
            connection.setSchema("public");
            connection.setNetworkTimeout(Runnable::run, 20_000);
            is(value(connection, "select current_setting('application_name') || current_schema()"), "anotherpublic");
            is(connection.isValid(5), true);
            try (ResultSet tables = connection.getMetaData().getTables(null, "pg_catalog", "pg_class", null)) {
                is(tables.next(), true);
            }
            Map<String, String> statuses = connection.unwrap(PGConnection.class).getParameterStatuses();
            is(statuses.get("client_encoding"), "UTF8");
        }
    }

    static void notifications() throws Exception {
        try (Connection connection = connect(); Connection sender = connect()) {
            run(connection, "listen pgjdbc");
            for (int i = 0; i < 5; i++) {
                run(sender, "notify pgjdbc, '" + i + "'");
                PGNotification[] heard = connection.unwrap(PGConnection.class).getNotifications(20_000);
                is(heard.length, 1);
                is(heard[0].getParameter(), String.valueOf(i));
            }
        }
    }

    static void manyConnections() throws Exception {
        try (Connection connection = connect()) {
            run(connection, "drop table if exists pgjdbc_many; create table pgjdbc_many (client int, n int)");
            ExecutorService threads = Executors.newFixedThreadPool(CONNECTIONS);
            List<Future<Void>> clients = new ArrayList<>();
            for (int client = 0; client < CONNECTIONS; client++) {
                int number = client;
                Callable<Void> work = () -> {
                    try (Connection own = connect("prepareThreshold=1")) {
                        own.setAutoCommit(false);
                        for (int n = 0; n < TRANSACTIONS; n++) {
                            try (PreparedStatement insert = own.prepareStatement("insert into pgjdbc_many values (?, ?)")) {
                                insert.setInt(1, number);
                                insert.setInt(2, n);
                                is(insert.executeUpdate(), 1);
                            }
                            own.commit();
                        }
                    }
                    return null;
                };
                clients.add(threads.submit(work));
            }
            for (Future<Void> client : clients) client.get();
            threads.shutdown();
            is(value(connection, "select count(distinct (client, n)) from pgjdbc_many"), (long) CONNECTIONS * TRANSACTIONS);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("preparedStatements", PgjdbcClient::preparedStatements);
        checks.put("moreStatementsThanTheDriverKeeps", PgjdbcClient::moreStatementsThanTheDriverKeeps);
        checks.put("aTableThatChanges", PgjdbcClient::aTableThatChanges);
        checks.put("typesInBothFormats", PgjdbcClient::typesInBothFormats);
        checks.put("rowsInPortions", PgjdbcClient::rowsInPortions);
        checks.put("batches", PgjdbcClient::batches);
        checks.put("copyInAndOut", PgjdbcClient::copyInAndOut);
        checks.put("aCancelHitsItsQueryOnly", PgjdbcClient::aCancelHitsItsQueryOnly);
        checks.put("errorsInTransactions", PgjdbcClient::errorsInTransactions);
        checks.put("theSession", PgjdbcClient::theSession);
        checks.put("notifications", PgjdbcClient::notifications);
        checks.put("manyConnections", PgjdbcClient::manyConnections);
        if (arguments.length > 0) checks.keySet().retainAll(Arrays.asList(arguments));
        for (Check check : checks.values()) check.run();
    }
}
