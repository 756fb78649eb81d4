"""imaplib against a server: python use_imap.py PORT CROWD"""

import imaplib
import sys
import threading
import uuid
from email.message import EmailMessage

port, crowd = int(sys.argv[1]), int(sys.argv[2])
# Both runs talk to the same server.
USER = uuid.uuid4().hex


def logged_in(user: str = USER) -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", port)
    client.login(user, "secret")
    return client


def message(subject: str, text: str) -> bytes:
    found = EmailMessage()
    found["From"], found["To"], found["Subject"] = "ann@localhost", "bob@localhost", subject
    found.set_content(text)
    return found.as_bytes()


def check_one_after_another() -> None:
    with logged_in() as client:
        for number in range(5):
            print(client.append("INBOX", None, None, message(f"number {number}", "text\n" * (number + 1)))[0])
        big = message("big", "line\n" * 300_000)
        client.append("INBOX", None, None, big)
        print(client.select("INBOX"))
        print(client.search(None, "SUBJECT", '"number 3"'))
        status, [(_, body), _] = client.fetch("4", "(BODY[TEXT])")
        print(status, body)
        status, [(_, body), _] = client.fetch("6", "(RFC822)")
        print(status, body.replace(b"\r\n", b"\n") == big)
        client.store("1:2", "+FLAGS", r"(\Deleted)")
        print(client.expunge()[0], client.select("INBOX"))
        print(client.create("Work")[0], client.copy("1:*", "Work")[0], client.select("Work"))
    try:
        imaplib.IMAP4("127.0.0.1", port).login(USER, "wrong")
    except imaplib.IMAP4.error as error:
        print(error)


def check_crowd() -> None:
    """All have a session at the same time, and the server has every message before one is read."""
    found = []
    ready = threading.Barrier(crowd)

    def work(number: int) -> None:
        with logged_in(f"{USER}-{number}") as client:
            ready.wait()
            client.append("INBOX", None, None, message(f"of {number}", "text"))
            ready.wait()
            client.select("INBOX")
            _, [(_, line), _] = client.fetch("1", "(BODY[HEADER.FIELDS (SUBJECT)])")
            found.append(line.decode().strip())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sorted(found) == sorted(f"Subject: of {number}" for number in range(crowd)))


check_one_after_another()
check_crowd()
