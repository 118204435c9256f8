package stele;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Comparator;
import java.util.Properties;
import java.util.stream.Stream;

/** One server for all tests of this run: started at the first connection, ended with the JVM. */
final class Stele {
    static final String PASSWORD = "a stele is a standing stone";
    private static int port;

    private Stele() {}

    /** The JDBC URL of the started server. */
    static synchronized String url() {
        String given = System.getProperty("stele.url");
        if (given != null) {
            return given;
        }
        if (port == 0) {
            try {
                start();
            } catch (IOException e) {
                throw new IllegalStateException("stele did not start", e);
            }
        }
        return "jdbc:postgresql://127.0.0.1:" + port + "/stele";
    }

    /** The program under test. */
    static String binary() {
        return System.getProperty("stele.binary", "../target/debug/stele");
    }

    /** A connection as role stele, over TLS. */
    static Connection connect(String... options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", "stele");
        properties.setProperty("password", PASSWORD);
        // The server's certificate is its own work: encrypt, without asking who signed.
        properties.setProperty("sslmode", System.getProperty("stele.sslmode", "require"));
        for (int i = 0; i < options.length; i += 2) {
            properties.setProperty(options[i], options[i + 1]);
        }
        return DriverManager.getConnection(url(), properties);
    }

    /** Runs statements that prepare a test. */
    static void run(Connection connection, String... statements) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
        }
    }

    /** The first column of the first row, as text. */
    static String value(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            return rows.next() ? rows.getString(1) : null;
        }
    }

    private static void start() throws IOException {
        Path folder = Files.createTempDirectory("stele-jdbc-");
        int free;
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            free = socket.getLocalPort();
        }
        File log = folder.resolve("log").toFile();
        ProcessBuilder builder = new ProcessBuilder(
                binary(), "start", "--data", folder.resolve("data").toString(), "--listen", "127.0.0.1:" + free);
        builder.environment().keySet().removeIf(name -> name.startsWith("STELE_"));
        builder.environment().put("STELE_PASSWORD", PASSWORD);
        builder.redirectError(log);
        Process process = builder.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            process.destroyForcibly();
            try (Stream<Path> paths = Files.walk(folder)) {
                process.waitFor();
                paths.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
            } catch (IOException | InterruptedException e) {
                System.err.println("the folder " + folder + " is left over: " + e);
            }
        }));
        BufferedReader out =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        String line;
        do {
            line = out.readLine();
            if (line == null) {
                throw new IOException("stele ended: " + Files.readString(log.toPath()));
            }
        } while (!line.trim().equals("ready"));
        port = free;
    }
}
