package stele;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.SQLException;
import org.junit.jupiter.api.Test;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyIn;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/** What only a ledger has, COPY, and errors with their fields. */
class LedgerTest {
    @Test
    void thePastByAnOptionOfTheUrl() throws SQLException {
        String height;
        try (Connection connection = Stele.connect()) {
            Stele.run(
                    connection,
                    "DROP TABLE IF EXISTS price",
                    "CREATE TABLE price (item text PRIMARY KEY, cents int)",
                    "INSERT INTO price VALUES ('pen', 100), ('ink', 250)");
            height = Stele.value(connection, "SELECT max(height) FROM ledger.blocks");
            Stele.run(connection, "UPDATE price SET cents = 120 WHERE item = 'pen'", "DELETE FROM price WHERE item = 'ink'");
            assertEquals("120", Stele.value(connection, "SELECT sum(cents) FROM price"));
        }
        try (Connection past = Stele.connect("options", "-c ledger.as_of=block:" + height)) {
            assertEquals("350", Stele.value(past, "SELECT sum(cents) FROM price"));
            SQLException e = assertThrows(SQLException.class, () -> Stele.run(past, "DELETE FROM price"));
            assertEquals("25006", e.getSQLState());
        }
        try (Connection connection = Stele.connect()) {
            assertEquals(
                    "100,120",
                    Stele.value(
                            connection,
                            "SELECT string_agg(cents::text, ',' ORDER BY ledger_valid_from) "
                                    + "FROM ledger.history('price') WHERE item = 'pen'"));
            assertEquals("0", Stele.value(connection, "SELECT count(*) FROM ledger.verify() WHERE status <> 'ok'"));
        }
    }

    @Test
    void copyInAndOut() throws SQLException, IOException {
        try (Connection connection = Stele.connect()) {
            Stele.run(connection, "DROP TABLE IF EXISTS copied", "CREATE TABLE copied (id int PRIMARY KEY, t text)");
            CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
            assertEquals(2, copy.copyIn("COPY copied FROM STDIN", new StringReader("1\tone\n2\t\\N\n")));
            assertEquals(
                    1,
                    copy.copyIn(
                            "COPY copied (t, id) FROM STDIN WITH (FORMAT csv, HEADER)",
                            new StringReader("t,id\n\"three, \"\"3\"\"\",3\n")));
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            assertEquals(3, copy.copyOut("COPY copied TO STDOUT WITH (FORMAT csv)", out));
            assertEquals("1,one\n2,\n3,\"three, \"\"3\"\"\"\n", out.toString(StandardCharsets.UTF_8));
            out.reset();
            copy.copyOut("COPY (SELECT * FROM copied ORDER BY id) TO STDOUT WITH (FORMAT binary)", out);
            Stele.run(connection, "DELETE FROM copied");
            assertEquals(
                    3,
                    copy.copyIn(
                            "COPY copied FROM STDIN WITH (FORMAT binary)", new ByteArrayInputStream(out.toByteArray())));
            assertEquals("three, \"3\"", Stele.value(connection, "SELECT t FROM copied WHERE id = 3"));
            CopyIn broken = copy.copyIn("COPY copied FROM STDIN");
            byte[] row = "9\tnine\n".getBytes(StandardCharsets.UTF_8);
            broken.writeToCopy(row, 0, row.length);
            broken.cancelCopy();
            assertEquals("3", Stele.value(connection, "SELECT count(*) FROM copied"));
            SQLException e = assertThrows(
                    SQLException.class, () -> copy.copyIn("COPY copied FROM STDIN", new StringReader("x\ty\n")));
            assertEquals("22P02", e.getSQLState());
        }
    }

    private static ServerErrorMessage failure(Connection connection, String sql, String state) {
        PSQLException e = assertThrows(PSQLException.class, () -> Stele.run(connection, sql), sql);
        assertEquals(state, e.getSQLState(), sql);
        return e.getServerErrorMessage();
    }

    @Test
    void errorsSayWhatAndWhere() throws SQLException {
        try (Connection connection = Stele.connect()) {
            Stele.run(
                    connection,
                    "DROP TABLE IF EXISTS err_child, err_parent",
                    "CREATE TABLE err_parent (id int PRIMARY KEY, n int NOT NULL CONSTRAINT n_positive CHECK (n > 0))",
                    "CREATE TABLE err_child (id int PRIMARY KEY, parent int REFERENCES err_parent)",
                    "INSERT INTO err_parent VALUES (1, 1)",
                    "INSERT INTO err_child VALUES (1, 1)");
            ServerErrorMessage unique = failure(connection, "INSERT INTO err_parent VALUES (1, 1)", "23505");
            assertEquals("duplicate key value violates unique constraint \"err_parent_pkey\"", unique.getMessage());
            assertEquals("Key (id)=(1) already exists.", unique.getDetail());
            assertEquals("err_parent_pkey", unique.getConstraint());
            assertEquals("err_parent", unique.getTable());
            assertEquals("public", unique.getSchema());
            ServerErrorMessage missing = failure(connection, "INSERT INTO err_parent VALUES (2, NULL)", "23502");
            assertEquals("n", missing.getColumn());
            assertEquals("err_parent", missing.getTable());
            assertEquals("Failing row contains (2, null).", missing.getDetail());
            ServerErrorMessage check = failure(connection, "INSERT INTO err_parent VALUES (2, 0)", "23514");
            assertEquals("n_positive", check.getConstraint());
            ServerErrorMessage foreign = failure(connection, "INSERT INTO err_child VALUES (2, 99)", "23503");
            assertEquals("err_child_parent_fkey", foreign.getConstraint());
            assertEquals("Key (parent)=(99) is not present in table \"err_parent\".", foreign.getDetail());
            ServerErrorMessage held = failure(connection, "DELETE FROM err_parent", "23503");
            assertEquals("Key (id)=(1) is still referenced from table \"err_child\".", held.getDetail());
            assertEquals(8, failure(connection, "SELECT nothing FROM err_parent", "42703").getPosition());
            assertEquals(15, failure(connection, "SELECT * FROM nowhere", "42P01").getPosition());
            assertEquals(1, failure(connection, "SELEC 1", "42601").getPosition());
            failure(connection, "SELECT 'x'::int", "22P02");
            failure(connection, "SELECT 1 / 0", "22012");
            failure(connection, "SELECT 2147483647 + 1", "22003");
            failure(connection, "SELECT repeat('x', 5)::varchar(3)::int", "22P02");
            assertTrue(failure(connection, "SELECT nofunction(1)", "42883").getHint() != null);
        }
    }
}
