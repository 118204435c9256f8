package stele;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.Connection;
import java.sql.SQLException;
import org.junit.jupiter.api.Test;

/** Getting in: TLS, passwords, what the server says of itself. */
class ConnectTest {
    @Test
    void overTls() throws SQLException {
        try (Connection connection = Stele.connect()) {
            assertTrue(connection.isValid(5));
            assertEquals("PostgreSQL", connection.getMetaData().getDatabaseProductName());
            assertEquals(15, connection.getMetaData().getDatabaseMajorVersion());
            assertEquals("stele", connection.getMetaData().getUserName());
            assertEquals("stele", connection.getCatalog());
            assertEquals("public", connection.getSchema());
        }
    }

    @Test
    void withoutTlsAndPreferringIt() throws SQLException {
        for (String mode : new String[] {"disable", "allow", "prefer"}) {
            try (Connection connection = Stele.connect("sslmode", mode)) {
                assertEquals("1", Stele.value(connection, "SELECT 1"));
            }
        }
    }

    @Test
    void aWrongPasswordIsRefused() {
        SQLException e = assertThrows(SQLException.class, () -> Stele.connect("password", "wrong").close());
        assertEquals("28P01", e.getSQLState());
    }

    @Test
    void anUnknownRoleIsRefused() {
        SQLException e = assertThrows(SQLException.class, () -> Stele.connect("user", "nobody").close());
        assertEquals("28P01", e.getSQLState());
    }

    @Test
    void anUnknownDatabaseIsNamed() {
        String url = Stele.url().replace("/stele", "/nowhere");
        SQLException e = assertThrows(
                SQLException.class,
                () -> java.sql.DriverManager.getConnection(url, "stele", Stele.PASSWORD).close());
        assertEquals("3D000", e.getSQLState());
    }

    @Test
    void optionsOfTheUrlAreSettings() throws SQLException {
        try (Connection connection = Stele.connect(
                "options", "-c statement_timeout=12345", "ApplicationName", "the tests", "currentSchema", "side,public")) {
            assertEquals("12345ms", Stele.value(connection, "SHOW statement_timeout"));
            assertEquals("the tests", Stele.value(connection, "SHOW application_name"));
            assertEquals("side,public", Stele.value(connection, "SHOW search_path").replace(" ", ""));
        }
    }

    @Test
    void closedMeansClosed() throws SQLException {
        Connection connection = Stele.connect();
        connection.close();
        assertTrue(connection.isClosed());
        assertFalse(connection.isValid(1));
    }
}
