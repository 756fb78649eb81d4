"""The servers that the programs talk to: each with its own data directory and port, stopped at the end."""

import getpass
import grp
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from helpers import end, free_port
from programs.running import find, needs

HERE = Path(__file__).parent
#: Seconds until a server has to be there.
STARTING = 60


@contextmanager
def directory(owner: str | None = None) -> Iterator[Path]:
    """A new one, short (sockets lie in it) and within reach of its owner; gone at the end."""
    path = Path(tempfile.mkdtemp(prefix="corolib-"))
    try:
        if owner is not None:
            shutil.chown(path, owner)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def running(command: list[object], log: Path, port: int, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens on a port. If it does not, the failure shows what it wrote."""
    with log.open("wb") as written:
        process = subprocess.Popen(
            [*map(str, command)], stdin=subprocess.DEVNULL, stdout=written, stderr=written, **options
        )
    try:
        until = time.monotonic() + STARTING
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    state = "ended" if process.poll() is not None else "does not listen"
                    pytest.fail(f"{command[0]} {state}:\n{log.read_text(errors='replace')}")
                time.sleep(0.05)
        yield process
    finally:
        end(process)


@contextmanager
def scripted(script: str, *arguments: object) -> Iterator[list[str]]:
    """A server of this folder, which tells on one line where it is and ends with its stdin."""
    command = [sys.executable, "-W", "ignore", str(HERE / script), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait(30)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificates of localhost: (what clients trust, what servers show, with the key)."""
    place = tmp_path_factory.mktemp("certificates")
    ca = trustme.CA()
    trusted, shown = place / "ca.pem", place / "server.pem"
    ca.cert_pem.write_to_path(trusted)
    ca.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(shown)
    return trusted, shown


@pytest.fixture(scope="session")
def http() -> Iterator[str]:
    with scripted("httpd.py") as (port,):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def https(authority: tuple[Path, Path]) -> Iterator[str]:
    with scripted("httpd.py", authority[1]) as (port,):
        yield f"https://localhost:{port}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[tuple[int, Path]]:
    """(port, Unix socket)"""
    needs(modules=("redis",), tools=("redis-server",), packages="redis-server")
    port = free_port()
    with directory() as place:
        options = ["--save", "", "--dir", place, "--unixsocket", place / "socket", "--bind", "127.0.0.1"]
        with running([find("redis-server"), "--port", port, *options], place / "log", port):
            yield port, place / "socket"


@pytest.fixture(scope="session")
def postgres() -> Iterator[tuple[str, int]]:
    """(user, port). It does not run as root: then it is the user that Debian's package makes."""
    needs(tools=("initdb", "postgres"), packages="postgresql")
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()
    options: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid} if os.geteuid() == 0 else {}
    port = free_port()
    with directory(user) as place:
        data = place / "data"
        made = subprocess.run(
            [
                find("initdb"),
                "--no-sync",
                "--auth=trust",
                f"--username={user}",
                "--encoding=UTF8",
                "-D",
                data,
            ],
            **{**options, "cwd": place, "capture_output": True, "text": True},
        )
        assert made.returncode == 0, made.stdout + made.stderr
        command = [find("postgres"), "-D", data, "-k", place, "-p", port, "-c", "listen_addresses=127.0.0.1"]
        # No fsync: nothing of it is to last.
        command += ["-F", "-c", "max_connections=120"]
        with running(command, place / "log", port, cwd=place, **options):
            yield user, port


@pytest.fixture(scope="session")
def mariadb(authority: tuple[Path, Path]) -> Iterator[int]:
    """Its port; user `tester`, password `secret`, database `tests`."""
    packages = "mariadb-server-core mariadb-client-core"
    needs(modules=("pymysql",), tools=("mariadbd", "my_print_defaults"), packages=packages)
    user = getpass.getuser()
    port = free_port()
    with directory() as place:
        data = place / "data"
        script = place / "first.sql"
        script.write_text(
            "CREATE DATABASE tests;\n"
            "CREATE USER tester@'%' IDENTIFIED BY 'secret';\n"
            "GRANT ALL ON *.* TO tester@'%';\n"
        )
        made = subprocess.run(
            [
                *(find("mariadb-install-db"), "--no-defaults", f"--datadir={data}", f"--user={user}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"),
            ],
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        command = [find("mariadbd"), "--no-defaults", f"--datadir={data}", f"--user={user}", f"--port={port}"]
        command += [f"--socket={place / 'socket'}", f"--init-file={script}", "--bind-address=127.0.0.1"]
        command += ["--skip-name-resolve", "--skip-innodb-doublewrite", "--innodb-flush-log-at-trx-commit=0"]
        command += [f"--ssl-cert={authority[1]}", f"--ssl-key={authority[1]}", f"--ssl-ca={authority[0]}"]
        with running(command, place / "log", port):
            yield port


@pytest.fixture(scope="session")
def sshd() -> Iterator[tuple[int, str, Path]]:
    """(port, user, private key of the user)"""
    needs(modules=("paramiko",), tools=("sshd", "ssh-keygen"), packages="openssh-server")
    user = getpass.getuser()
    port = free_port()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with directory() as place:
        for name in ("host", "client"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True)
        config = place / "config"
        config.write_text(
            f"""
            Port {port}
            ListenAddress 127.0.0.1
            HostKey {place / "host"}
            AuthorizedKeysFile {place / "client.pub"}
            PidFile none
            StrictModes no
            UsePAM no
            PermitRootLogin yes
            PasswordAuthentication no
            MaxSessions 100
            MaxStartups 100
            # A shell that sshd starts reads what is at home, which may be much.
            SetEnv HOME={place}
            Subsystem sftp internal-sftp
            """
        )
        with running([find("sshd"), "-D", "-e", "-f", config], place / "log", port):
            yield port, user, place / "client"


@pytest.fixture(scope="session")
def imap() -> Iterator[int]:
    """Its port; any user, password `secret`."""
    needs(tools=("dovecot",), packages="dovecot-imapd")
    # As root it insists on being others: those that Debian's package makes.
    owner = pwd.getpwuid(os.geteuid())
    internal, stranger = ("dovecot", "dovenull") if owner.pw_uid == 0 else (owner.pw_name, owner.pw_name)
    mailer = pwd.getpwnam(internal)
    port = free_port()
    with directory() as place:
        place.chmod(0o755)
        (place / "mail").mkdir()
        shutil.chown(place / "mail", internal)
        config = place / "dovecot.conf"
        config.write_text(
            f"""
            protocols = imap
            base_dir = {place / "run"}
            state_dir = {place / "state"}
            log_path = /dev/stderr
            ssl = no
            disable_plaintext_auth = no
            default_internal_user = {internal}
            default_internal_group = {grp.getgrgid(mailer.pw_gid).gr_name}
            default_login_user = {stranger}
            mail_location = maildir:{place}/mail/%u
            first_valid_uid = 0
            passdb {{
                driver = static
                args = password=secret
            }}
            userdb {{
                driver = static
                args = uid={mailer.pw_uid} gid={mailer.pw_gid} home={place}/mail/%u
            }}
            service imap-login {{
                chroot =
                process_min_avail = 1
                service_count = 0
                inet_listener imap {{
                    address = 127.0.0.1
                    port = {port}
                }}
                inet_listener imaps {{
                    port = 0
                }}
            }}
            service anvil {{
                chroot =
            }}
            mail_max_userip_connections = 100
            """
        )
        with running([find("dovecot"), "-F", "-c", config], place / "log", port):
            yield port


@pytest.fixture(scope="session")
def smtp(authority: tuple[Path, Path]) -> Iterator[int]:
    """Its port; user `ann`, password `secret`, once TLS is on."""
    needs(modules=("aiosmtpd",))
    with scripted("smtpd.py", authority[1]) as (port,):
        yield int(port)
