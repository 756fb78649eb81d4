"""paramiko against sshd: python use_paramiko.py PORT USER KEY-FILE CROWD"""

import io
import sys
import tempfile
import threading
from pathlib import Path

import paramiko

port, user, key, crowd = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])


def connect() -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect("127.0.0.1", port, user, key_filename=key, allow_agent=False, look_for_keys=False)
    return client


def check_commands(client: paramiko.SSHClient) -> None:
    stdin, stdout, stderr = client.exec_command("cat; echo problem >&2; exit 3")
    stdin.write("hello\n" * 100_000)
    stdin.channel.shutdown_write()
    print(len(stdout.read()), stderr.read(), stdout.channel.recv_exit_status())
    _, stdout, _ = client.exec_command("sleep 60", timeout=0.05)
    try:
        stdout.read()
    except TimeoutError as error:
        print("timeout", type(error).__name__)
    stdout.channel.close()
    shell = client.invoke_shell()
    shell.send(b"stty -echo; echo the answer is $((6 * 7))\nexit\n")
    text = b""
    while part := shell.recv(1000):
        text += part
    print(b"the answer is 42" in text)


def check_files(client: paramiko.SSHClient, place: Path) -> None:
    content = bytes(range(256)) * 10_000
    with client.open_sftp() as sftp:
        sftp.putfo(io.BytesIO(content), str(place / "up"))
        down = io.BytesIO()
        sftp.getfo(str(place / "up"), down)
        print(down.getvalue() == content, sftp.stat(str(place / "up")).st_size, sftp.listdir(str(place)))
        try:
            sftp.open(str(place / "missing"))
        except FileNotFoundError as error:
            print(error)


def check_tunnel(client: paramiko.SSHClient) -> None:
    """To the server's own greeting, through itself."""
    with client.get_transport().open_channel("direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 0)) as tunnel:
        print(tunnel.recv(8))


def check_crowd(client: paramiko.SSHClient, place: Path) -> None:
    """The server's shells note that they are there and wait for one lock, which is let go when all are."""
    script = f"""
        exec 9>{place}/gate
        flock 9
        echo holding
        for turn in $(seq 1000); do
            [ $(wc -l <{place}/here) -ge {crowd} ] && break
            sleep 0.05
        done
        wc -l <{place}/here
    """
    (place / "here").write_text("")
    _, holder, _ = client.exec_command(script)
    assert holder.readline() == "holding\n"
    found = []

    def work(number: int) -> None:
        _, stdout, _ = client.exec_command(
            f"echo here >>{place}/here; flock -s {place}/gate true; echo {number}"
        )
        found.append(int(stdout.read()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(crowd)]
    for thread in threads:
        thread.start()
    print("here", int(holder.read()))
    for thread in threads:
        thread.join()
    print("served", sorted(found) == list(range(crowd)))


def check_connections() -> None:
    """Five transports, each with a thread of its own inside the library."""
    found = []

    def work(number: int) -> None:
        with connect() as client:
            found.append(int(client.exec_command(f"echo {number}")[1].read()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("connections", sorted(found))


with connect() as ssh, tempfile.TemporaryDirectory() as name:
    check_commands(ssh)
    check_files(ssh, Path(name))
    check_tunnel(ssh)
    check_crowd(ssh, Path(name))
check_connections()
try:
    paramiko.SSHClient().connect("127.0.0.1", port, user, key_filename=key)
except paramiko.SSHException as refused:
    print(str(refused).partition(" '")[0])
