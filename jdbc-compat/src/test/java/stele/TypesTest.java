package stele;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.UUID;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.postgresql.util.PGobject;

/** All types, there and back: as text (the first executions) and in binary form (prepared on the server at once). */
class TypesTest {
    private static final String[] COLUMNS = {
        "b boolean", "i2 smallint", "i4 integer", "i8 bigint", "n numeric(38,10)", "nn numeric", "f4 real",
        "f8 double precision", "t text", "v varchar(10)", "c char(5)", "x bytea", "d date", "tm time", "ts timestamp",
        "tz timestamptz", "u uuid", "j json", "jb jsonb", "ai integer[]", "at text[]", "an numeric[]"
    };

    @ParameterizedTest
    @ValueSource(ints = {0, -1})
    void thereAndBack(int prepareThreshold) throws SQLException {
        // A threshold of -1 forces binary transfer from the first execution, 0 never prepares on the server.
        try (Connection connection = Stele.connect("prepareThreshold", Integer.toString(prepareThreshold))) {
            Stele.run(
                    connection,
                    "DROP TABLE IF EXISTS everything",
                    "CREATE TABLE everything (id int PRIMARY KEY, " + String.join(", ", COLUMNS) + ")");
            String sql = "INSERT INTO everything VALUES (?" + ", ?".repeat(COLUMNS.length) + ")";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                set(connection, statement, 1);
                assertEquals(1, statement.executeUpdate());
                statement.setInt(1, 2);
                int[] types = {
                    Types.BOOLEAN, Types.SMALLINT, Types.INTEGER, Types.BIGINT, Types.NUMERIC, Types.NUMERIC,
                    Types.REAL, Types.DOUBLE, Types.VARCHAR, Types.VARCHAR, Types.CHAR, Types.BINARY, Types.DATE,
                    Types.TIME, Types.TIMESTAMP, Types.TIMESTAMP_WITH_TIMEZONE, Types.OTHER, Types.OTHER,
                    Types.OTHER, Types.ARRAY, Types.ARRAY, Types.ARRAY
                };
                for (int i = 0; i < types.length; i++) {
                    statement.setNull(i + 2, types[i]);
                }
                assertEquals(1, statement.executeUpdate());
            }
            try (PreparedStatement statement =
                    connection.prepareStatement("SELECT * FROM everything WHERE id = ?")) {
                for (int round = 0; round < 8; round++) {
                    statement.setInt(1, 1);
                    try (ResultSet row = statement.executeQuery()) {
                        assertTrue(row.next());
                        check(row);
                    }
                }
                statement.setInt(1, 2);
                try (ResultSet row = statement.executeQuery()) {
                    assertTrue(row.next());
                    for (int i = 2; i <= COLUMNS.length + 1; i++) {
                        assertNull(row.getObject(i), COLUMNS[i - 2]);
                    }
                }
            }
        }
    }

    private static void set(Connection connection, PreparedStatement statement, int id) throws SQLException {
        int i = 1;
        statement.setInt(i++, id);
        statement.setBoolean(i++, true);
        statement.setShort(i++, Short.MIN_VALUE);
        statement.setInt(i++, Integer.MAX_VALUE);
        statement.setLong(i++, Long.MIN_VALUE);
        statement.setBigDecimal(i++, new BigDecimal("-1234567890123456789012345678.0123456789"));
        statement.setBigDecimal(i++, new BigDecimal("98765432.123"));
        statement.setFloat(i++, 1.5e-7f);
        statement.setDouble(i++, Math.PI);
        statement.setString(i++, "Grüße, 世界 '\"\\ \n");
        statement.setString(i++, "0123456789");
        statement.setString(i++, "abc");
        statement.setBytes(i++, new byte[] {0, 1, (byte) 0xff, '\\', '\''});
        statement.setObject(i++, LocalDate.of(2024, 2, 29));
        statement.setObject(i++, LocalTime.of(23, 59, 59, 123_456_000));
        statement.setObject(i++, LocalDateTime.of(1969, 7, 20, 20, 17, 40, 1_000));
        statement.setObject(i++, OffsetDateTime.of(2038, 1, 19, 3, 14, 8, 0, ZoneOffset.ofHours(2)));
        statement.setObject(i++, UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
        statement.setObject(i++, json("json", "{\"b\" : 1, \"a\":2}"));
        statement.setObject(i++, json("jsonb", "{\"b\" : 1, \"a\":2}"));
        statement.setArray(i++, connection.createArrayOf("integer", new Integer[] {1, null, -3}));
        statement.setArray(i++, connection.createArrayOf("text", new String[] {"x,y", "\"q\"", "", null}));
        statement.setArray(
                i, connection.createArrayOf("numeric", new BigDecimal[] {new BigDecimal("1.50"), BigDecimal.TEN}));
    }

    private static PGobject json(String type, String text) throws SQLException {
        PGobject object = new PGobject();
        object.setType(type);
        object.setValue(text);
        return object;
    }

    private static void check(ResultSet row) throws SQLException {
        assertEquals(true, row.getObject("b"));
        assertEquals(Short.MIN_VALUE, row.getShort("i2"));
        assertEquals(Integer.MAX_VALUE, row.getObject("i4"));
        assertEquals(Long.MIN_VALUE, row.getObject("i8"));
        assertEquals(new BigDecimal("-1234567890123456789012345678.0123456789"), row.getBigDecimal("n"));
        assertEquals(new BigDecimal("98765432.123"), row.getBigDecimal("nn"));
        assertEquals(1.5e-7f, row.getFloat("f4"));
        assertEquals(Math.PI, row.getDouble("f8"));
        assertEquals("Grüße, 世界 '\"\\ \n", row.getString("t"));
        assertEquals("0123456789", row.getString("v"));
        assertEquals("abc  ", row.getString("c"));
        assertArrayEquals(new byte[] {0, 1, (byte) 0xff, '\\', '\''}, row.getBytes("x"));
        assertEquals(LocalDate.of(2024, 2, 29), row.getObject("d", LocalDate.class));
        assertEquals(LocalTime.of(23, 59, 59, 123_456_000), row.getObject("tm", LocalTime.class));
        assertEquals(LocalDateTime.of(1969, 7, 20, 20, 17, 40, 1_000), row.getObject("ts", LocalDateTime.class));
        assertEquals(
                OffsetDateTime.of(2038, 1, 19, 1, 14, 8, 0, ZoneOffset.UTC),
                row.getObject("tz", OffsetDateTime.class).withOffsetSameInstant(ZoneOffset.UTC));
        assertEquals(UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), row.getObject("u"));
        assertEquals("{\"b\" : 1, \"a\":2}", row.getString("j"));
        assertEquals("{\"a\": 2, \"b\": 1}", row.getString("jb"));
        assertArrayEquals(new Integer[] {1, null, -3}, (Object[]) row.getArray("ai").getArray());
        assertArrayEquals(new String[] {"x,y", "\"q\"", "", null}, (Object[]) row.getArray("at").getArray());
        Array numbers = row.getArray("an");
        assertEquals(Types.NUMERIC, numbers.getBaseType());
        assertEquals(new BigDecimal("1.50"), ((BigDecimal[]) numbers.getArray())[0]);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, -1})
    void numbersKeepTheirScale(int prepareThreshold) throws SQLException {
        String sql = "SELECT 1.50, 1.50 * 2.5, 7 / 2.0, 1 / 3.0, coalesce(?::numeric, 0), 2::numeric ^ 130, avg(x), sum(x)"
                + " FROM (VALUES (1.0), (2.25)) v(x)";
        String[] expected = {
            "1.50", "3.750", "3.5000000000000000", "0.33333333333333333333", "0.10",
            "1361129467683753853853498429727072845824.0000000000000000", "1.6250000000000000", "3.25"
        };
        try (Connection connection = Stele.connect("prepareThreshold", Integer.toString(prepareThreshold));
                PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.setBigDecimal(1, new BigDecimal("0.10"));
            try (ResultSet row = statement.executeQuery()) {
                assertTrue(row.next());
                for (int i = 0; i < expected.length; i++) {
                    assertEquals(new BigDecimal(expected[i]), row.getBigDecimal(i + 1));
                }
            }
        }
    }
}
