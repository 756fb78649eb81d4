"""urllib3, urllib.request and http.client against a server: python use_urllib3.py URL CA-FILE CROWD"""

import http.client
import json
import ssl
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid
import zlib

import urllib3

url, authority, crowd = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=authority)
address = urllib.parse.urlsplit(url)


def run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check_urllib3() -> None:
    with urllib3.PoolManager(ca_certs=authority, maxsize=2, block=True) as pool:
        answer = pool.request(
            "GET",
            f"{url}/flaky",
            fields={"key": uuid.uuid4().hex},
            retries=urllib3.Retry(5, status_forcelist=[503], backoff_factor=0.001),
        )
        print("third try", answer.status, answer.data, len(answer.retries.history))
        print(pool.request("POST", f"{url}/echo", json={"a": 1}).json()["kind"])
        answer = pool.request("GET", f"{url}/bytes/2000000", preload_content=False)
        print("streamed", sum(len(part) for part in answer.stream(10_000)))
        answer.release_conn()
        try:
            pool.request(
                "GET", f"{url}/silence", timeout=urllib3.Timeout(connect=10, read=0.05), retries=False
            )
        except urllib3.exceptions.ReadTimeoutError as error:
            print(str(error).partition(": ")[2])
        # Ten wait for two connections.
        found: list[int] = []
        run(
            [
                threading.Thread(target=lambda: found.append(pool.request("GET", f"{url}/echo").status))
                for _ in range(10)
            ]
        )
        print("ten over two", found)


def check_urllib() -> None:
    request = urllib.request.Request(f"{url}/echo", data=b"x" * 500_000, method="PUT")
    with urllib.request.urlopen(request, context=context) as answer:
        found = json.load(answer)
        print(found["method"], found["size"], found["crc"] == zlib.crc32(b"x" * 500_000))
    try:
        urllib.request.urlopen(f"{url}/nothing", context=context)
    except urllib.error.HTTPError as error:
        with error:
            print(error.code, error.read())
    try:
        urllib.request.urlopen(f"{url}/silence", timeout=0.05, context=context)
    except TimeoutError as error:
        print(error)


def connection() -> http.client.HTTPConnection:
    if address.scheme == "https":
        return http.client.HTTPSConnection(address.hostname, address.port, context=context)
    return http.client.HTTPConnection(address.hostname, address.port)


def check_crowd() -> None:
    """All of them are on their way at the same time, or the server answers none."""
    found = []
    key = uuid.uuid4().hex

    def work() -> None:
        client = connection()
        for turn in range(3):
            client.request("GET", f"/together?key={key}-{turn}&size={crowd}")
            found.append(client.getresponse().read())
        client.close()

    run([threading.Thread(target=work) for _ in range(crowd)])
    print(len(found), set(found))


check_urllib3()
check_urllib()
check_crowd()
