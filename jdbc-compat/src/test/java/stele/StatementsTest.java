package stele;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Statements: counts, batches, generated keys, results in pieces, prepared statements that live long. */
class StatementsTest {
    private Connection connection;

    @BeforeEach
    void connect() throws SQLException {
        connection = Stele.connect();
        Stele.run(
                connection,
                "DROP TABLE IF EXISTS item",
                "CREATE TABLE item (id serial PRIMARY KEY, name text NOT NULL, price numeric(10,2))");
    }

    @AfterEach
    void close() throws SQLException {
        connection.close();
    }

    @Test
    void countsAndResults() throws SQLException {
        try (Statement statement = connection.createStatement()) {
            assertEquals(2, statement.executeUpdate("INSERT INTO item (name) VALUES ('a'), ('b')"));
            assertEquals(1, statement.executeUpdate("UPDATE item SET price = 5 WHERE name = 'a'"));
            assertEquals(0, statement.executeUpdate("DELETE FROM item WHERE name = 'zzz'"));
            assertEquals(0, statement.executeUpdate("CREATE TABLE IF NOT EXISTS item (id int)"));
            assertFalse(statement.execute("UPDATE item SET price = 6"));
            assertEquals(2, statement.getUpdateCount());
            assertTrue(statement.execute("SELECT 1; SELECT 2; UPDATE item SET price = 7"));
            assertTrue(statement.getMoreResults());
            assertFalse(statement.getMoreResults());
            assertEquals(2, statement.getUpdateCount());
        }
    }

    @Test
    void generatedKeys() throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(
                "INSERT INTO item (name) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
            statement.setString(1, "keyed");
            assertEquals(1, statement.executeUpdate());
            try (ResultSet keys = statement.getGeneratedKeys()) {
                assertTrue(keys.next());
                assertTrue(keys.getInt("id") > 0);
                assertEquals("keyed", keys.getString("name"));
            }
        }
        try (PreparedStatement statement =
                connection.prepareStatement("INSERT INTO item (name) VALUES (?)", new String[] {"id"})) {
            for (String name : new String[] {"x", "y"}) {
                statement.setString(1, name);
                statement.addBatch();
            }
            statement.executeBatch();
            try (ResultSet keys = statement.getGeneratedKeys()) {
                assertTrue(keys.next());
                int first = keys.getInt(1);
                assertTrue(keys.next());
                assertEquals(first + 1, keys.getInt(1));
                assertFalse(keys.next());
            }
        }
    }

    @Test
    void batches() throws SQLException {
        try (PreparedStatement statement =
                connection.prepareStatement("INSERT INTO item (name, price) VALUES (?, ?)")) {
            for (int i = 0; i < 1000; i++) {
                statement.setString(1, "item " + i);
                statement.setBigDecimal(2, BigDecimal.valueOf(i, 2));
                statement.addBatch();
            }
            int[] counts = statement.executeBatch();
            assertEquals(1000, counts.length);
            for (int count : counts) {
                assertEquals(1, count);
            }
        }
        assertEquals("4995.00", Stele.value(connection, "SELECT sum(price) FROM item"));
        try (Statement statement = connection.createStatement()) {
            statement.addBatch("UPDATE item SET price = 0 WHERE name = 'item 1'");
            statement.addBatch("DELETE FROM item WHERE price > 9");
            statement.addBatch("INSERT INTO item (name) VALUES ('last')");
            assertArrayEquals(new int[] {1, 99, 1}, statement.executeBatch());
        }
    }

    @Test
    void rewrittenBatches() throws SQLException {
        try (Connection rewriting = Stele.connect("reWriteBatchedInserts", "true");
                PreparedStatement statement =
                        rewriting.prepareStatement("INSERT INTO item (name, price) VALUES (?, ?)")) {
            for (int i = 0; i < 500; i++) {
                statement.setString(1, "r" + i);
                statement.setInt(2, i);
                statement.addBatch();
            }
            assertEquals(500, statement.executeBatch().length);
        }
        assertEquals("500", Stele.value(connection, "SELECT count(*) FROM item"));
    }

    @Test
    void aBatchFailsAsAWhole() throws SQLException {
        connection.setAutoCommit(false);
        try (PreparedStatement statement =
                connection.prepareStatement("INSERT INTO item (id, name) VALUES (?, 'n')")) {
            for (int id : new int[] {1, 2, 1, 3}) {
                statement.setInt(1, id);
                statement.addBatch();
            }
            BatchUpdateException e = assertThrows(BatchUpdateException.class, statement::executeBatch);
            assertEquals("23505", e.getSQLState());
        }
        connection.rollback();
        connection.setAutoCommit(true);
        assertEquals("0", Stele.value(connection, "SELECT count(*) FROM item"));
    }

    @Test
    void resultsComeInPieces() throws SQLException {
        Stele.run(connection, "INSERT INTO item (name) SELECT 'n' || g FROM generate_series(1, 1000) g");
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(77);
            try (ResultSet rows = statement.executeQuery("SELECT id, name FROM item ORDER BY id");
                    Statement other = connection.createStatement()) {
                int count = 0;
                while (rows.next()) {
                    assertEquals("n" + rows.getInt(1), rows.getString(2));
                    if (++count == 500) {
                        // Another statement between two pieces does not disturb the first.
                        other.executeUpdate("UPDATE item SET name = 'changed' WHERE id = 900");
                    }
                }
                assertEquals(1000, count);
            }
            statement.setMaxRows(3);
            try (ResultSet rows = statement.executeQuery("SELECT id FROM item")) {
                int count = 0;
                while (rows.next()) {
                    count++;
                }
                assertEquals(3, count);
            }
        }
        connection.rollback();
    }

    @Test
    void manyParameters() throws SQLException {
        StringBuilder sql = new StringBuilder("SELECT count(*) FROM item WHERE id IN (?");
        sql.append(", ?".repeat(1999)).append(')');
        try (PreparedStatement statement = connection.prepareStatement(sql.toString())) {
            for (int i = 1; i <= 2000; i++) {
                statement.setInt(i, i);
            }
            try (ResultSet rows = statement.executeQuery()) {
                assertTrue(rows.next());
                assertEquals(0, rows.getLong(1));
            }
        }
    }

    @Test
    void aPreparedStatementOutlivesAChangeOfItsTable() throws SQLException {
        try (PreparedStatement statement =
                connection.prepareStatement("SELECT * FROM item WHERE id = ?")) {
            Stele.run(connection, "INSERT INTO item (name) VALUES ('a')");
            for (int i = 0; i < 10; i++) {
                statement.setInt(1, 1);
                try (ResultSet rows = statement.executeQuery()) {
                    assertTrue(rows.next());
                }
            }
            Stele.run(connection, "ALTER TABLE item ADD COLUMN extra int DEFAULT 4");
            statement.setInt(1, 1);
            try (ResultSet rows = statement.executeQuery()) {
                assertTrue(rows.next());
                assertEquals(4, rows.getMetaData().getColumnCount());
                assertEquals(4, rows.getInt("extra"));
            }
        }
    }

    @Test
    void metadataOfParametersAndResults() throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(
                "SELECT id, name, price, price * 2 AS double_price FROM item WHERE id = ? AND name = ? AND price > ?")) {
            ParameterMetaData parameters = statement.getParameterMetaData();
            assertEquals(3, parameters.getParameterCount());
            assertEquals(Types.INTEGER, parameters.getParameterType(1));
            assertEquals("text", parameters.getParameterTypeName(2));
            assertEquals(Types.NUMERIC, parameters.getParameterType(3));
            ResultSetMetaData columns = statement.getMetaData();
            assertEquals(4, columns.getColumnCount());
            assertEquals("serial", columns.getColumnTypeName(1));
            assertTrue(columns.isAutoIncrement(1));
            assertEquals(ResultSetMetaData.columnNoNulls, columns.isNullable(2));
            assertEquals("item", columns.getTableName(2));
            assertEquals(10, columns.getPrecision(3));
            assertEquals(2, columns.getScale(3));
            assertEquals("double_price", columns.getColumnLabel(4));
        }
    }

    @Test
    void resultsThatCanBeChanged() throws SQLException {
        Stele.run(connection, "INSERT INTO item (name, price) VALUES ('a', 1), ('b', 2)");
        try (Statement statement = connection.createStatement(
                        ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
                ResultSet rows = statement.executeQuery("SELECT id, name, price FROM item ORDER BY id")) {
            assertTrue(rows.next());
            rows.updateString("name", "changed");
            rows.updateRow();
            assertTrue(rows.next());
            rows.deleteRow();
            rows.moveToInsertRow();
            rows.updateInt("id", 50);
            rows.updateString("name", "put in");
            rows.insertRow();
        }
        assertEquals(
                "changed,put in", Stele.value(connection, "SELECT string_agg(name, ',' ORDER BY id) FROM item"));
        assertNull(Stele.value(connection, "SELECT price FROM item WHERE id = 50"));
    }
}
