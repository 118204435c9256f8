"""The servers under measurement, started and stopped, and what they take of the machine. Knows nothing of any row."""

import contextlib
import os
import pathlib
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

POSTGRES = pathlib.Path("/usr/lib/postgresql/15/bin")
WORK = pathlib.Path(os.environ.get("STELE_BENCH_WORK", tempfile.gettempdir()))


class Server:
    """A running database that PostgreSQL's own tools can reach."""

    name: str
    port: int
    process: subprocess.Popen

    def __init__(self):
        self.costs = []

    def environment(self):
        """What pgbench and psql read. No TLS on either side: both are on this machine."""
        return os.environ | {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "stele",
            "PGPASSWORD": "stele",
            "PGDATABASE": "stele",
            "PGSSLMODE": "disable",
        }

    def psql(self, *statements):
        """Runs statements one by one; what psql printed, unaligned and without headers."""
        command = [POSTGRES / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        for statement in statements:
            command += ["-c", statement]
        return said(command, env=self.environment())

    def pgbench(self, *arguments, port=None, options=""):
        """Runs pgbench and returns what it printed. A failed transaction is an error of the measurement."""
        other = {"PGPORT": str(port or self.port), "PGOPTIONS": options}
        text = said([POSTGRES / "pgbench", *map(str, arguments)], env=self.environment() | other)
        if "number of failed transactions:" in text and "number of failed transactions: 0 " not in text:
            raise RuntimeError(f"{self.name}: pgbench had failed transactions\n{text}")
        return text

    def transactions_per_second(self, *arguments, **where):
        """pgbench's own figure, without the time to connect. Notes what a transaction took of the processors."""
        before = client_seconds(), self.processor_seconds()
        lines = self.pgbench(*arguments, **where).splitlines()
        after = client_seconds(), self.processor_seconds()
        count = int(next(l for l in lines if l.startswith("number of transactions actually processed:")).split()[5].split("/")[0])
        self.costs.append([(late - early) / count * 1e6 for early, late in zip(before, after)])
        return float(next(l for l in lines if l.startswith("tps = ")).split()[2])

    def cost_us(self):
        """Processor time per transaction of pgbench and of the server, µs, medians over the rounds so far."""
        return [statistics.median(costs) for costs in zip(*self.costs)]

    def processor_seconds(self):
        """What the server's processes took so far, those that ended included."""
        ticks = sum(map(int, stat(self.process_id())[13:17]))
        for process in children(self.process_id()):
            # A session's process may end between the list and this look; its parent then has its time.
            with contextlib.suppress(OSError):
                ticks += sum(map(int, stat(process)[13:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mib(self):
        """Resident memory of the process and its children, MiB; pages shared between them are counted once."""
        total = 0
        for process in [self.process_id(), *children(self.process_id())]:
            # A session's process may end between the list and this look.
            with contextlib.suppress(OSError), open(f"/proc/{process}/smaps_rollup") as rollup:
                total += sum(int(l.split()[1]) for l in rollup if l.startswith("Pss:"))
        return total / 1024


class Postgres(Server):
    """PostgreSQL with its default durability, and memory as one would give it on such a machine."""

    name = "PostgreSQL"
    SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB", "effective_cache_size": "8GB", "work_mem": "64MB",
                "max_connections": "100", "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}

    def __init__(self):
        super().__init__()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-postgresql-", dir=WORK))
        self.data = self.folder / "data"
        self.port = free_port()
        self.as_user = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
            self.as_user = ["runuser", "-u", "postgres", "--"]
        said([*self.as_user, POSTGRES / "initdb", "-U", "stele", "--locale=C", "-E", "UTF8", "-A", "trust", "-D", self.data],
             cwd="/")
        self.start()
        said([POSTGRES / "createdb", "stele"], env=self.environment())

    def start(self):
        settings = " ".join(f"-c {name}='{value}'" for name, value in self.SETTINGS.items())
        said([*self.as_user, POSTGRES / "pg_ctl", "start", "-w", "-s", "-l", self.folder / "log", "-D", self.data,
              "-o", f"-p {self.port} {settings}"], cwd="/")

    def process_id(self):
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def table_bytes(self, table):
        """Heap, indexes and what belongs to them."""
        return int(self.psql(f"SELECT pg_total_relation_size('{table}')"))

    def settle(self):
        """What a user would do after a load."""
        self.psql("VACUUM ANALYZE", "CHECKPOINT")

    def close(self):
        said([*self.as_user, POSTGRES / "pg_ctl", "stop", "-m", "immediate", "-s", "-D", self.data], cwd="/")
        shutil.rmtree(self.folder)


class Stele(Server):
    """One node with its defaults."""

    name = "Stele"
    BINARY = os.environ.get("STELE_BENCH_BINARY", "stele")

    def __init__(self):
        super().__init__()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-stele-", dir=WORK))
        self.data = self.folder / "data"
        self.port = free_port()
        self.start()

    def start(self):
        """Starts the node; the seconds until it said that it is ready."""
        # To the node, what begins with STELE_ is its configuration.
        settings = {name: value for name, value in os.environ.items() if not name.startswith("STELE_BENCH_")}
        began = time.monotonic()
        self.process = subprocess.Popen(
            [self.BINARY, "start", "--data", self.data, "--listen", f"127.0.0.1:{self.port}"],
            env=settings | {"STELE_PASSWORD": "stele"}, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.strip() == "ready":
                return time.monotonic() - began
        raise RuntimeError(f"stele ended with {self.process.wait()} before it was ready")

    def kill(self):
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def process_id(self):
        return self.process.pid

    def table_bytes(self, _table):
        """Everything: the chain as far as it is written, and all that is derived from it."""
        chain = int(self.psql("SELECT sum(bytes) FROM ledger.verify() WHERE object LIKE '%.blocks'"))
        derived = (f for f in self.data.rglob("*") if f.is_file() and f.parent.name != "blocks")
        return chain + sum(f.stat().st_blocks * 512 for f in derived)

    def settle(self):
        """Nothing to be done by a user."""

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


class Cluster(Stele):
    """Several nodes of one chain, with their defaults. Statements go to the first, which leads."""

    def __init__(self, nodes):
        self.nodes, self.name = nodes, f"Stele, {nodes} nodes"
        super().__init__()

    def start(self):
        settings = {name: value for name, value in os.environ.items() if not name.startswith("STELE_BENCH_")}
        self.port = free_ports(self.nodes)
        self.ports = range(self.port, self.port + self.nodes)
        self.process = subprocess.Popen(
            [self.BINARY, "dev", "--nodes", str(self.nodes), "--data", self.data, "--port", str(self.port)],
            env=settings | {"STELE_PASSWORD": "stele"}, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.strip() == "ready":
                # What the nodes say later has to go somewhere.
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return
        raise RuntimeError(f"stele dev ended with {self.process.wait()} before it was ready")


def said(command, **options):
    """Runs a program to its end; its output. What it said on failure is in the error."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def client_seconds():
    """Processor time of all programs that were run to their end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stat(process):
    """A process' line of figures; the name, which may hold spaces, counts as one."""
    text = pathlib.Path(f"/proc/{process}/stat").read_text()
    head, _, tail = text.rpartition(")")
    return [head, "", *tail.split()]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_ports(count):
    """The first of some ports that are free, as are those a hundred further on."""
    while True:
        first = free_port()
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError, OverflowError):
                for port in [*range(first, first + count), *range(first + 100, first + 100 + count)]:
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                return first


def children(process):
    text = pathlib.Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(word) for word in text.split()]
