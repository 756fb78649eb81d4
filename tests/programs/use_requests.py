"""requests against a server: python use_requests.py URL CA-FILE CROWD"""

import sys
import threading
import uuid
import zlib

import requests

url, authority, crowd = sys.argv[1], sys.argv[2], int(sys.argv[3])


def check_one_after_another() -> None:
    with requests.Session() as session:
        session.verify = authority
        found = session.get(f"{url}/echo", params={"a": "1", "b": "ü"}).json()
        print(found["method"], found["query"])
        found = session.post(f"{url}/echo", json={"key": ["value"] * 1000}).json()
        print(found["method"], found["kind"], found["size"])
        found = session.put(f"{url}/echo", data=(bytes([n]) * 10_000 for n in range(20))).json()
        print("chunked", found["size"], found["crc"])
        found = session.post(f"{url}/echo", files={"file": ("name", b"x" * 300_000)}).json()
        print("multipart", found["kind"].partition(";")[0], found["size"] > 300_000)
        print("head", session.head(f"{url}/echo").status_code, session.delete(f"{url}/echo").json()["method"])
        print("gzip", session.get(f"{url}/gzip").text == "squeezed " * 1000)
        answer = session.get(f"{url}/redirect/3")
        print("redirects", len(answer.history), answer.json()["query"])
        session.get(f"{url}/cookie", params={"name": "taste", "value": "sweet"})
        print("cookie", session.get(f"{url}/echo").json()["cookie"])
        print("auth", session.get(f"{url}/private").status_code)
        print("auth", session.get(f"{url}/private", auth=("ann", "secret")).text)
        with session.get(f"{url}/bytes/3000000", stream=True) as answer:
            size = crc = 0
            for part in answer.iter_content(8192):
                size, crc = size + len(part), zlib.crc32(part, crc)
            print("streamed", size, crc)
        print("missing", session.get(f"{url}/nothing").reason)


def check_failures() -> None:
    for path, timeout in (("/silence", (10, 0.05)), ("/silence", 0.05)):
        try:
            requests.get(url + path, timeout=timeout, verify=authority)
        except requests.ReadTimeout as error:
            print("read timeout", "Read timed out" in str(error))
    try:
        requests.get("http://127.0.0.1:1/")
    except requests.ConnectionError as error:
        print("refused", "Connection refused" in str(error))
    if url.startswith("https"):
        try:
            requests.get(f"{url}/echo")
        except requests.exceptions.SSLError as error:
            print("not trusted", "CERTIFICATE_VERIFY_FAILED" in str(error))


def check_crowd() -> None:
    """All of them are on their way at the same time, or the server answers none."""
    answers = []
    key = uuid.uuid4().hex
    with requests.Session() as session:
        session.verify = authority
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=crowd)
        session.mount(url, adapter)

        def call() -> None:
            for turn in range(2):  # the second one over connections that are there
                answer = session.get(f"{url}/together", params={"key": f"{key}-{turn}", "size": crowd})
                answers.append((turn, answer.status_code, answer.text))

        threads = [threading.Thread(target=call) for _ in range(crowd)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(len(answers), sorted(set(answers)))


check_one_after_another()
check_failures()
check_crowd()
