package stele;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Types;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** DatabaseMetaData, as tools read it. */
class MetadataTest {
    private static Connection connection;
    private static DatabaseMetaData metadata;

    @BeforeAll
    static void connect() throws SQLException {
        connection = Stele.connect();
        metadata = connection.getMetaData();
        Stele.run(
                connection,
                "DROP SCHEMA IF EXISTS meta CASCADE",
                "CREATE SCHEMA meta",
                "CREATE TABLE meta.parent (id serial PRIMARY KEY, code varchar(8) NOT NULL UNIQUE, price numeric(10,2) DEFAULT 1.5)",
                "CREATE TABLE meta.child (parent_id int REFERENCES meta.parent ON DELETE CASCADE, n int, at timestamptz, tags text[], PRIMARY KEY (parent_id, n))",
                "CREATE INDEX child_at ON meta.child (at)",
                "CREATE VIEW meta.cheap AS SELECT id FROM meta.parent WHERE price < 1",
                "COMMENT ON TABLE meta.parent IS 'the parent'");
    }

    @AfterAll
    static void close() throws SQLException {
        connection.close();
    }

    private static List<String> rows(ResultSet rows, String... columns) throws SQLException {
        List<String> found = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                List<String> values = new ArrayList<>();
                for (String column : columns) {
                    values.add(rows.getString(column));
                }
                found.add(String.join("|", values.stream().map(String::valueOf).toList()));
            }
        }
        return found;
    }

    @Test
    void schemasAndTables() throws SQLException {
        assertTrue(rows(metadata.getSchemas(), "TABLE_SCHEM").containsAll(List.of("meta", "public", "pg_catalog")));
        assertEquals(List.of("stele"), rows(metadata.getCatalogs(), "TABLE_CAT"));
        assertEquals(
                List.of("child|TABLE|null", "parent|TABLE|the parent", "cheap|VIEW|null"),
                rows(
                        metadata.getTables(null, "meta", "%", new String[] {"TABLE", "VIEW"}),
                        "TABLE_NAME", "TABLE_TYPE", "REMARKS"));
        assertTrue(rows(metadata.getTableTypes(), "TABLE_TYPE").contains("TABLE"));
    }

    @Test
    void columns() throws SQLException {
        assertEquals(
                List.of(
                        "id|" + Types.INTEGER + "|serial|10|0|NO|YES",
                        "code|" + Types.VARCHAR + "|varchar|8|0|NO|NO",
                        "price|" + Types.NUMERIC + "|numeric|10|2|YES|NO"),
                rows(
                        metadata.getColumns(null, "meta", "parent", null),
                        "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS", "IS_NULLABLE",
                        "IS_AUTOINCREMENT"));
        assertEquals(
                List.of("parent_id|int4", "n|int4", "at|timestamptz", "tags|_text"),
                rows(metadata.getColumns(null, "meta", "child", "%"), "COLUMN_NAME", "TYPE_NAME"));
        List<String> defaults = rows(metadata.getColumns(null, "meta", "parent", "price"), "COLUMN_DEF");
        assertTrue(defaults.get(0).contains("1.5"), defaults::toString);
    }

    @Test
    void keys() throws SQLException {
        assertEquals(
                List.of("parent_id|1|child_pkey", "n|2|child_pkey"),
                rows(metadata.getPrimaryKeys(null, "meta", "child"), "COLUMN_NAME", "KEY_SEQ", "PK_NAME"));
        List<String> imported = List.of("parent|id|child|parent_id|child_parent_id_fkey|parent_pkey|"
                + DatabaseMetaData.importedKeyCascade);
        String[] names = {
            "PKTABLE_NAME", "PKCOLUMN_NAME", "FKTABLE_NAME", "FKCOLUMN_NAME", "FK_NAME", "PK_NAME", "DELETE_RULE"
        };
        assertEquals(imported, rows(metadata.getImportedKeys(null, "meta", "child"), names));
        assertEquals(imported, rows(metadata.getExportedKeys(null, "meta", "parent"), names));
        assertEquals(
                imported, rows(metadata.getCrossReference(null, "meta", "parent", null, "meta", "child"), names));
        assertEquals(
                List.of("id"), rows(metadata.getBestRowIdentifier(null, "meta", "parent", 0, false), "COLUMN_NAME"));
    }

    @Test
    void indexes() throws SQLException {
        assertEquals(
                List.of("f|child_pkey|parent_id|1", "f|child_pkey|n|2", "t|child_at|at|1"),
                rows(
                        metadata.getIndexInfo(null, "meta", "child", false, true),
                        "NON_UNIQUE", "INDEX_NAME", "COLUMN_NAME", "ORDINAL_POSITION"));
        assertEquals(
                List.of("parent_code_key|code", "parent_pkey|id"),
                rows(metadata.getIndexInfo(null, "meta", "parent", true, true), "INDEX_NAME", "COLUMN_NAME"));
    }

    @Test
    void typesAndTheRest() throws SQLException {
        List<String> types = rows(metadata.getTypeInfo(), "TYPE_NAME");
        assertTrue(types.containsAll(List.of("int4", "text", "numeric", "timestamptz", "uuid", "bool")), types::toString);
        assertTrue(metadata.getMaxColumnNameLength() >= 63);
        assertTrue(metadata.supportsTransactions());
        assertTrue(rows(metadata.getTablePrivileges(null, "meta", "parent"), "PRIVILEGE").contains("SELECT"));
        assertEquals(List.of(), rows(metadata.getProcedures(null, "meta", "%"), "PROCEDURE_NAME"));
        assertEquals(List.of(), rows(metadata.getFunctions(null, "meta", "%"), "FUNCTION_NAME"));
        assertEquals(List.of(), rows(metadata.getUDTs(null, "meta", "%", new int[] {Types.DISTINCT}), "TYPE_NAME"));
        assertTrue(rows(metadata.getClientInfoProperties(), "NAME").contains("ApplicationName"));
        assertTrue(metadata.getSQLKeywords().length() > 10);
    }
}
