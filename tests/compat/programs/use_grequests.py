"""grequests: python use_grequests.py URL CROWD; the server lets a request out when CROWD are in."""

import sys

import grequests

url, crowd = sys.argv[1], int(sys.argv[2])
answers = grequests.map([grequests.get(f"{url}/together?key=grequests&size={crowd}") for _ in range(crowd)])
print(len(answers), {answer.status_code for answer in answers})
found = grequests.imap((grequests.get(f"{url}/echo") for _ in range(10)), size=3)
print(sorted(answer.status_code for answer in found))
failed = []
grequests.map(
    [grequests.get("http://127.0.0.1:1/")], exception_handler=lambda request, error: failed.append(error)
)
print(type(failed[0]).__name__)
