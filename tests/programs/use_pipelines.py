"""Pipelines of child processes: python use_pipelines.py CROWD"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import threading

crowd = int(sys.argv[1])


def check_three_in_a_row() -> None:
    text = "".join(f"{number % 1000}\n" for number in range(100_000)).encode()
    first = subprocess.Popen(["sort", "-n"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    second = subprocess.Popen(["uniq", "-c"], stdin=first.stdout, stdout=subprocess.PIPE)
    third = subprocess.Popen(["wc", "-l"], stdin=second.stdout, stdout=subprocess.PIPE)
    # As the documentation has it: else the first would never be told that the second has gone.
    first.stdout.close()
    second.stdout.close()

    def feed() -> None:
        with first.stdin:
            first.stdin.write(text)

    feeder = threading.Thread(target=feed)
    feeder.start()
    print(third.communicate()[0].split(), first.wait(), second.wait(), third.returncode)
    feeder.join()


def check_early_end() -> None:
    """Whoever feeds one that ends early is told by EPIPE, or by communicate() not at all."""
    with subprocess.Popen(["head", "-c", "10"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        print(process.communicate(b"x" * 1_000_000))
    yes = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
    head = subprocess.Popen(["head", "-n", "3"], stdin=yes.stdout, stdout=subprocess.PIPE, text=True)
    yes.stdout.close()
    print(head.communicate()[0].split(), yes.wait())


def check_shell() -> None:
    print(subprocess.run("seq 1000 | tail -n 1; exit 3", shell=True, capture_output=True, text=True))
    print(subprocess.check_output(["tr", "a-z", "A-Z"], input="grüße", text=True, encoding="utf-8"))
    with os.popen("cat /dev/null; echo popen") as stream:
        print(stream.read(), end="")


def check_files_through_tar() -> None:
    with tempfile.TemporaryDirectory() as place:
        for number in range(10):
            with open(f"{place}/{number}", "wb") as file:
                file.write(os.urandom(100_000))
        packed = subprocess.run(
            ["tar", "-cf", "-", "-C", place, "."], stdout=subprocess.PIPE, check=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            print(sum(member.size for member in archive))


def check_crowd() -> None:
    """Nobody goes on before all children hold the lock, and only then does its holder let them."""
    with tempfile.TemporaryDirectory() as place:
        script = f"exec 9>{place}/gate; flock 9; echo holding; read line; echo $line"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        holder = subprocess.Popen(["sh", "-c", script], **pipes)
        assert holder.stdout.readline() == "holding\n"
        found = []
        here, away = os.pipe()

        def work(number: int) -> None:
            command = f"echo >&2; flock -s {place}/gate cat"
            child = subprocess.run(
                ["sh", "-c", command],
                input=f"{number}",
                text=True,
                stdout=subprocess.PIPE,
                stderr=away,
                check=True,
            )
            found.append(int(child.stdout))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(crowd)]
        for thread in threads:
            thread.start()
        count = 0
        with open(here, "rb", buffering=0) as arrivals:
            # In a process of its own: a plain file blocks the thread that reads it.
            counter = subprocess.Popen(["head", "-n", str(crowd)], stdin=arrivals, stdout=subprocess.PIPE)
            count = len(counter.communicate()[0])
        print("here", count, len(found))
        print(holder.communicate("go")[0])
        for thread in threads:
            thread.join()
        os.close(away)
        print("served", sorted(found) == list(range(crowd)))


check_three_in_a_row()
check_early_end()
check_shell()
check_files_through_tar()
check_crowd()
