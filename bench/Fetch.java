// Reads a whole table through pgjdbc, in pages of 10,000 rows, and prints the seconds that took.
// java -cp pgjdbc.jar Fetch.java URL QUERY

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

class Fetch {
    public static void main(String[] arguments) throws SQLException {
        try (Connection connection = DriverManager.getConnection(arguments[0])) {
            connection.setAutoCommit(false);
            // Once for the driver and its classes, once for the figure.
            read(connection, arguments[1]);
            long began = System.nanoTime();
            long rows = read(connection, arguments[1]);
            System.out.println(rows + " " + (System.nanoTime() - began) / 1e9);
        }
    }

    private static long read(Connection connection, String query) throws SQLException {
        long rows = 0;
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(10_000);
            try (ResultSet result = statement.executeQuery(query)) {
                int columns = result.getMetaData().getColumnCount();
                while (result.next()) {
                    for (int column = 1; column <= columns; column++) {
                        result.getObject(column);
                    }
                    rows++;
                }
            }
        }
        connection.commit();
        return rows;
    }
}
