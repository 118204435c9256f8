package stele;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Comparator;
import java.util.Properties;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** A URL with three hosts: the driver finds the node that leads, and a program goes on when that one is killed. */
class ClusterTest {
    private static final int NODES = 3;
    private static Path folder;
    private static Process nodes;
    private static int port;

    @BeforeAll
    static void start() throws IOException {
        folder = Files.createTempDirectory("stele-jdbc-");
        port = freePorts();
        ProcessBuilder builder = new ProcessBuilder(
                Stele.binary(), "dev", "--nodes", "" + NODES, "--port", "" + port, "--data", folder + "/dev");
        builder.environment().keySet().removeIf(name -> name.startsWith("STELE_"));
        builder.environment().put("STELE_PASSWORD", Stele.PASSWORD);
        nodes = builder.redirectErrorStream(true).start();
        Runtime.getRuntime().addShutdownHook(new Thread(nodes::destroyForcibly));
        BufferedReader out =
                new BufferedReader(new InputStreamReader(nodes.getInputStream(), StandardCharsets.UTF_8));
        String line;
        do {
            line = out.readLine();
            if (line == null) {
                throw new IOException("stele dev ended");
            }
        } while (!line.equals("ready"));
        // What the nodes say later has to go somewhere.
        Thread rest = new Thread(() -> out.lines().forEach(ignored -> {}));
        rest.setDaemon(true);
        rest.start();
    }

    @AfterAll
    static void stop() throws IOException, InterruptedException {
        nodes.destroy();
        nodes.waitFor();
        try (Stream<Path> paths = Files.walk(folder)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }

    private static int freePorts() throws IOException {
        for (;;) {
            int first;
            try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
                first = socket.getLocalPort();
            }
            boolean free = first < 60_000;
            for (int at = 0; at < NODES && free; at++) {
                free = isFree(first + at) && isFree(first + 100 + at);
            }
            if (free) {
                return first;
            }
        }
    }

    private static boolean isFree(int port) {
        try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    private static Connection connect(String target, boolean balanced) throws SQLException {
        StringBuilder hosts = new StringBuilder();
        for (int at = 0; at < NODES; at++) {
            hosts.append(at == 0 ? "" : ",").append("127.0.0.1:").append(port + at);
        }
        Properties properties = new Properties();
        properties.setProperty("user", "stele");
        properties.setProperty("password", Stele.PASSWORD);
        properties.setProperty("sslmode", "disable");
        properties.setProperty("targetServerType", target);
        properties.setProperty("loadBalanceHosts", "" + balanced);
        // Who leads may have changed since the driver looked.
        properties.setProperty("hostRecheckSeconds", "0");
        return DriverManager.getConnection("jdbc:postgresql://" + hosts + "/stele", properties);
    }

    /** Whether a program that gets this tries again. */
    private static boolean isPassing(SQLException e) {
        String state = e.getSQLState();
        return state != null && (state.equals("40001") || state.startsWith("08") || state.startsWith("57P"));
    }

    @Test
    void goesOnWhenTheLeaderIsKilled() throws Exception {
        int rows = 300;
        Connection connection = connect("primary", false);
        Stele.run(connection, "CREATE TABLE entry (n int PRIMARY KEY)");
        String first = Stele.value(connection, "SELECT name FROM ledger.nodes WHERE is_self");
        assertEquals("off", Stele.value(connection, "SHOW in_hot_standby"));
        long until = System.nanoTime() + 120_000_000_000L;
        int n = 0;
        while (n < rows) {
            assertTrue(System.nanoTime() < until, "it stays at row " + n);
            try {
                if (connection == null) {
                    connection = connect("primary", false);
                }
                try (PreparedStatement insert =
                        connection.prepareStatement("INSERT INTO entry VALUES (?) ON CONFLICT DO NOTHING")) {
                    insert.setInt(1, n);
                    insert.executeUpdate();
                }
                n++;
                if (n == rows / 2) {
                    kill(first);
                }
            } catch (SQLException e) {
                if (!isPassing(e)) {
                    throw e;
                }
                if (connection != null) {
                    connection.close();
                    connection = null;
                }
                Thread.sleep(50);
            }
        }
        assertNotEquals(first, Stele.value(connection, "SELECT name FROM ledger.nodes WHERE is_self"));
        assertEquals("" + rows, Stele.value(connection, "SELECT count(*) FROM entry"));
        connection.close();
    }

    @Test
    void readsFromWhoeverFollows() throws SQLException {
        try (Connection leader = connect("primary", false);
                Connection follower = connect("secondary", true)) {
            Stele.run(leader, "CREATE TABLE IF NOT EXISTS shown (n int)", "INSERT INTO shown VALUES (1)");
            assertEquals("on", Stele.value(follower, "SHOW in_hot_standby"));
            // What was acknowledged elsewhere is seen here at once.
            assertEquals("1", Stele.value(follower, "SELECT max(n) FROM shown"));
        }
    }

    private static void kill(String name) {
        String data = "/" + (name.equals("stele") ? "node1" : name) + " ";
        nodes.children()
                .filter(child -> child.info().commandLine().orElse("").contains(data))
                .forEach(ProcessHandle::destroyForcibly);
    }
}
