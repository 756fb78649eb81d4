"""smtplib against a server: python use_mail.py SMTP-PORT CA-FILE CROWD"""

import smtplib
import ssl
import sys
import threading
import uuid
from email.message import EmailMessage

port, authority, crowd = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=authority)


def message(to: str, text: str) -> EmailMessage:
    found = EmailMessage()
    found["From"], found["To"], found["Subject"] = "ann@localhost", to, "greetings, schöne"
    found.set_content(text)
    return found


def logged_in() -> smtplib.SMTP:
    client = smtplib.SMTP("localhost", port)
    client.starttls(context=context)
    client.login("ann", "secret")
    return client


def check_one_after_another() -> None:
    box = uuid.uuid4().hex
    with logged_in() as client:
        for number in range(3):
            client.send_message(message(f"{box}@localhost", f"number {number}\n" * 10))
        big = message(f"{box}-big@localhost", ("x" * 70 + "\n") * 10_000)
        print("refused", client.send_message(big))
        print(client.verify(f"{box}-big")[1].split(b",")[0], client.verify(box)[1].split(b",")[0])


def check_failures() -> None:
    with smtplib.SMTP("localhost", port) as client:
        try:
            client.sendmail("ann@localhost", "bob@localhost", "in the clear")
        except smtplib.SMTPSenderRefused as error:
            print(error.smtp_code)
        client.starttls(context=context)
        try:
            client.login("ann", "wrong")
        except smtplib.SMTPAuthenticationError as error:
            print(error.smtp_code)
    try:
        smtplib.SMTP("127.0.0.1", 1)
    except ConnectionRefusedError as error:
        print(error.strerror)


def check_crowd() -> None:
    """The server accepts none before all are there."""
    to = f"together-{crowd}-{uuid.uuid4().hex}"
    found = []

    def send(number: int) -> None:
        with logged_in() as client:
            found.append(client.send_message(message(f"{to}@localhost", f"number {number}")))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with logged_in() as client:
        print(len(found), any(found), client.verify(to)[1].split(b",")[0].decode())


check_one_after_another()
check_failures()
check_crowd()
