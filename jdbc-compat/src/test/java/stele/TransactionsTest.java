package stele;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Transactions, savepoints, isolation, cancel. */
class TransactionsTest {
    /** It runs until somebody stops it. */
    private static final String LONG =
            "SELECT sum(a.g * b.g) FROM generate_series(1, 1000000) a(g), generate_series(1, 1000000) b(g)";

    private Connection connection;

    @BeforeEach
    void connect() throws SQLException {
        connection = Stele.connect();
        Stele.run(
                connection,
                "DROP TABLE IF EXISTS account",
                "CREATE TABLE account (id int PRIMARY KEY, amount numeric(10,2) NOT NULL)",
                "INSERT INTO account VALUES (1, 100), (2, 50)");
    }

    @AfterEach
    void close() throws SQLException {
        connection.close();
    }

    private String total() throws SQLException {
        try (Connection other = Stele.connect()) {
            return Stele.value(other, "SELECT sum(amount) FROM account");
        }
    }

    @Test
    void commitAndRollback() throws SQLException {
        connection.setAutoCommit(false);
        Stele.run(connection, "UPDATE account SET amount = 0 WHERE id = 1");
        assertEquals("150.00", total());
        connection.rollback();
        assertEquals("150.00", total());
        Stele.run(connection, "UPDATE account SET amount = 0 WHERE id = 1");
        connection.commit();
        assertEquals("50.00", total());
    }

    @Test
    void savepoints() throws SQLException {
        connection.setAutoCommit(false);
        Stele.run(connection, "INSERT INTO account VALUES (3, 1)");
        Savepoint one = connection.setSavepoint("one");
        Stele.run(connection, "INSERT INTO account VALUES (4, 1)");
        Savepoint unnamed = connection.setSavepoint();
        SQLException e =
                assertThrows(SQLException.class, () -> Stele.run(connection, "INSERT INTO account VALUES (3, 1)"));
        assertEquals("23505", e.getSQLState());
        connection.rollback(unnamed);
        assertEquals("4", Stele.value(connection, "SELECT count(*) FROM account"));
        connection.rollback(one);
        assertEquals("3", Stele.value(connection, "SELECT count(*) FROM account"));
        connection.releaseSavepoint(one);
        connection.commit();
        assertEquals("151.00", total());
    }

    @Test
    void autosaveGoesOnAfterAnError() throws SQLException {
        try (Connection saving = Stele.connect("autosave", "always")) {
            saving.setAutoCommit(false);
            Stele.run(saving, "INSERT INTO account VALUES (5, 5)");
            assertThrows(SQLException.class, () -> Stele.run(saving, "INSERT INTO account VALUES (5, 5)"));
            Stele.run(saving, "INSERT INTO account VALUES (6, 6)");
            saving.commit();
        }
        assertEquals("161.00", total());
    }

    @Test
    void aFailedTransactionRefusesUntilItsEnd() throws SQLException {
        connection.setAutoCommit(false);
        assertThrows(SQLException.class, () -> Stele.run(connection, "SELECT 1/0"));
        SQLException e = assertThrows(SQLException.class, () -> Stele.run(connection, "SELECT 1"));
        assertEquals("25P02", e.getSQLState());
        connection.rollback();
        assertEquals("1", Stele.value(connection, "SELECT 1"));
    }

    @Test
    void isolationLevels() throws SQLException {
        assertEquals(Connection.TRANSACTION_READ_COMMITTED, connection.getTransactionIsolation());
        for (int level : new int[] {
            Connection.TRANSACTION_REPEATABLE_READ, Connection.TRANSACTION_SERIALIZABLE,
            Connection.TRANSACTION_READ_COMMITTED
        }) {
            connection.setTransactionIsolation(level);
            assertEquals(level, connection.getTransactionIsolation());
        }
        connection.setAutoCommit(false);
        connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
        assertEquals("150.00", Stele.value(connection, "SELECT sum(amount) FROM account"));
        try (Connection other = Stele.connect()) {
            Stele.run(other, "UPDATE account SET amount = 1 WHERE id = 1");
        }
        assertEquals("150.00", Stele.value(connection, "SELECT sum(amount) FROM account"));
        SQLException e = assertThrows(
                SQLException.class, () -> Stele.run(connection, "UPDATE account SET amount = 2 WHERE id = 1"));
        assertEquals("40001", e.getSQLState());
        connection.rollback();
    }

    @Test
    void readOnly() throws SQLException {
        connection.setReadOnly(true);
        connection.setAutoCommit(false);
        SQLException e =
                assertThrows(SQLException.class, () -> Stele.run(connection, "DELETE FROM account"));
        assertEquals("25006", e.getSQLState());
        connection.rollback();
        connection.setReadOnly(false);
        Stele.run(connection, "DELETE FROM account");
        connection.rollback();
        assertEquals("150.00", total());
    }

    @Test
    void aWriterWaitsForTheOther() throws Exception {
        connection.setAutoCommit(false);
        Stele.run(connection, "UPDATE account SET amount = amount + 1 WHERE id = 1");
        Thread second = new Thread(() -> {
            try (Connection other = Stele.connect()) {
                Stele.run(other, "UPDATE account SET amount = amount * 2 WHERE id = 1");
            } catch (SQLException e) {
                throw new IllegalStateException(e);
            }
        });
        second.start();
        Thread.sleep(300);
        assertTrue(second.isAlive(), "the second writer waits");
        connection.commit();
        second.join(20_000);
        assertEquals("252.00", total());
    }

    @Test
    void deadlocksEnd() throws Exception {
        connection.setAutoCommit(false);
        try (Connection other = Stele.connect()) {
            other.setAutoCommit(false);
            Stele.run(connection, "UPDATE account SET amount = 1 WHERE id = 1");
            Stele.run(other, "UPDATE account SET amount = 2 WHERE id = 2");
            String[] states = new String[2];
            Thread first = new Thread(() -> states[0] = stateOf(connection, "UPDATE account SET amount = 1 WHERE id = 2"));
            first.start();
            Thread.sleep(200);
            states[1] = stateOf(other, "UPDATE account SET amount = 2 WHERE id = 1");
            if (states[1] != null) {
                other.rollback();
            }
            first.join(20_000);
            assertTrue(
                    "40P01".equals(states[0]) ^ "40P01".equals(states[1]),
                    "one of the two: " + states[0] + ", " + states[1]);
            other.rollback();
            connection.rollback();
        }
    }

    private static String stateOf(Connection connection, String sql) {
        try {
            Stele.run(connection, sql);
            return null;
        } catch (SQLException e) {
            return e.getSQLState();
        }
    }

    @Test
    void queryTimeout() throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            SQLException e =
                    assertThrows(SQLException.class, () -> statement.execute(LONG));
            assertEquals("57014", e.getSQLState());
        }
        assertEquals("1", Stele.value(connection, "SELECT 1"));
    }

    @Test
    void cancel() throws Exception {
        try (Statement statement = connection.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    Thread.sleep(500);
                    statement.cancel();
                } catch (InterruptedException | SQLException e) {
                    throw new IllegalStateException(e);
                }
            });
            canceller.start();
            SQLException e = assertThrows(
                    SQLException.class,
                    () -> statement.execute(LONG));
            assertEquals("57014", e.getSQLState());
            canceller.join();
        }
        assertEquals("1", Stele.value(connection, "SELECT 1"));
    }
}
