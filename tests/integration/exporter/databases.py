"""Real PostgreSQL and MariaDB servers, below a folder, that are stopped, started and frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pymysql

from tests.contract.drivers.rigs.packages import libraries, unpacked
from tests.contract.drivers.rigs.postgres import programs, unprivileged

PASSWORD = "hunter2"


class Server:
    """One server on a port of the loopback; `execute` speaks to it as its owner."""

    scheme: ClassVar[str]
    sleep: ClassVar[str]
    """An expression that takes 30 s."""
    gave_up: ClassVar[str]
    """What it says of a query that it gives up."""
    refuses: ClassVar[str]
    """What it says of a change in a transaction that only reads."""
    numbers: ClassVar[str]
    """A query that gives 100,000 rows."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://grace:{PASSWORD}@127.0.0.1:{self.port}/shop"

    def make(self) -> None:
        """Lay the server's files out, start it, and fill it."""
        raise NotImplementedError

    def argv(self) -> tuple[list[str], Mapping[str, Any]]:
        """The command that starts it, and how."""
        raise NotImplementedError

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the owner; the rows of the last one."""
        raise NotImplementedError

    def locked(self) -> Callable[[], None]:
        """Lock the table `orders` from another connection; what unlocks it."""
        raise NotImplementedError

    def connections(self) -> int:
        """How many connections the user `grace` has."""
        raise NotImplementedError

    def running(self) -> int:
        """How many of its queries run now."""
        raise NotImplementedError

    def start(self) -> None:
        argv, how = self.argv()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True, **how)
        for _ in range(300):
            try:
                self.execute("SELECT 1")
                return
            except (psycopg.OperationalError, pymysql.err.OperationalError):
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT if self.scheme == "postgresql" else signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(15)

    def restart(self) -> None:
        self.stop()
        self.start()

    def signal(self, number: int) -> None:
        """Send every process of it a signal (PostgreSQL's have groups of their own)."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            os.kill(pid, number)


class Postgres(Server):
    scheme = "postgresql"
    sleep = "pg_sleep(30)::text"
    gave_up = "canceling statement due to statement timeout"
    refuses = "in a read-only transaction"
    numbers = "SELECT n AS backlog FROM generate_series(1, 100000) AS n"

    def make(self) -> None:
        folder, environment = programs()
        self.common: dict[str, Any] = {"env": environment, "cwd": self.folder, **unprivileged()}
        if "user" in self.common:
            os.chown(self.folder, self.common["user"], self.common["group"])
            self.folder.chmod(0o755)
        initdb = [folder / "initdb", "-D", self.folder / "data", "-A", "trust", "-U", "admin", "--no-sync"]
        subprocess.run([*initdb, "-E", "UTF8", "--locale=C"], check=True, capture_output=True, **self.common)
        access = "local all admin trust\nhost all grace 127.0.0.1/32 scram-sha-256\n"
        (self.folder / "data" / "pg_hba.conf").write_text(access)
        self.start()
        self.execute("CREATE DATABASE shop")
        self.execute(
            f"CREATE ROLE grace LOGIN PASSWORD '{PASSWORD}'",
            "CREATE TABLE orders (shop text, backlog numeric)",
            "CREATE TABLE others (backlog int)",
            "GRANT ALL ON orders, others TO grace",
            "CREATE FUNCTION wiped() RETURNS int LANGUAGE sql AS 'DELETE FROM orders; SELECT 1'",
        )

    def argv(self) -> tuple[list[str], Mapping[str, Any]]:
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "fsync": "off"}
        settings["unix_socket_directories"] = str(self.folder)
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(programs()[0] / "postgres"), "-D", str(self.folder / "data"), *given], self.common

    def link(self, database: str = "shop") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="admin", dbname=database, connect_timeout=5, autocommit=True
        )

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        first = statements[0] in ("SELECT 1", "CREATE DATABASE shop")
        with self.link("postgres" if first else "shop") as link:
            for statement in statements:
                cursor = link.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def locked(self) -> Callable[[], None]:
        link = self.link()
        link.execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        return link.close

    def connections(self) -> int:
        return int(self.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'grace'")[0][0])

    def running(self) -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'grace' AND state <> 'idle'"
        return int(self.execute(query)[0][0])


class Maria(Server):
    scheme = "mariadb"
    sleep = "SLEEP(30)"
    gave_up = "max_statement_time exceeded"
    refuses = "READ ONLY transaction"
    numbers = "SELECT seq AS backlog FROM seq_1_to_100000"

    def make(self) -> None:
        (self.root,) = unpacked("mariadb-server-core")
        shared = self.root / "usr" / "share" / "mysql"
        (self.folder / "data").mkdir()
        files = ("mysql_system_tables", "mysql_performance_tables", "mysql_system_tables_data")
        tables = "".join((shared / f"{name}.sql").read_text() for name in files)
        begin = "create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\nset @skip_auth_anonymous=1;\n"
        argv, how = self.argv()
        subprocess.run([*argv, "--bootstrap"], input=(begin + tables).encode(), check=True, capture_output=True, **how)
        self.start()
        self.execute(
            f"CREATE USER grace@localhost IDENTIFIED BY '{PASSWORD}'",
            "CREATE DATABASE shop",
            "CREATE TABLE shop.orders (shop varchar(100), backlog decimal(10, 2))",
            "CREATE TABLE shop.others (backlog int)",
            "GRANT ALL ON shop.* TO grace@localhost",
            "CREATE FUNCTION shop.wiped() RETURNS int BEGIN DELETE FROM orders; RETURN 1; END",
        )

    def argv(self) -> tuple[list[str], Mapping[str, Any]]:
        shared = self.root / "usr" / "share" / "mysql"
        settings = {
            "datadir": self.folder / "data",
            "socket": self.folder / "socket",
            "port": self.port,
            "bind-address": "127.0.0.1",
            "pid-file": self.folder / "pid",
            "tmpdir": self.folder,
            "lc-messages-dir": shared,
            "character-sets-dir": shared / "charsets",
            "plugin-dir": self.root / "usr" / "lib" / "mysql" / "plugin",
            "innodb-buffer-pool-size": "8M",
            "innodb-log-file-size": "4M",
            "innodb-flush-log-at-trx-commit": 0,
            **({"user": "root"} if os.geteuid() == 0 else {}),
        }
        given = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self.root / "usr" / "sbin" / "mariadbd"), "--no-defaults", *given], {"env": libraries(self.root)}

    def link(self) -> Any:
        return pymysql.connect(unix_socket=str(self.folder / "socket"), user="root", autocommit=True)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        with self.link() as link, link.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement.replace(" orders", " shop.orders").replace(" others", " shop.others"))
            return list(cursor.fetchall())

    def locked(self) -> Callable[[], None]:
        link = self.link()
        link.cursor().execute("LOCK TABLE shop.orders WRITE")
        close: Callable[[], None] = link.close
        return close

    def connections(self) -> int:
        return len(self.execute("SELECT id FROM information_schema.processlist WHERE user = 'grace'"))

    def running(self) -> int:
        query = "SELECT id FROM information_schema.processlist WHERE user = 'grace' AND command <> 'Sleep'"
        return len(self.execute(query))
