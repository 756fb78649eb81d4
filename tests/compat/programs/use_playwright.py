"""Playwright's synchronous API, whose calls are greenlets beside its event loop: python use_playwright.py
CHROMIUM URL FOLDER. Nothing is patched.
"""

import sys

import greenlet
from playwright.sync_api import Error, TimeoutError, sync_playwright

chromium, url, folder = sys.argv[1:]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=chromium,
        args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
    )
    page = browser.new_page()
    heard = []
    page.on("console", lambda message: heard.append(message.text))
    page.set_content("<button onclick='this.textContent = 1 + Number(this.textContent)'>0</button>")
    for _ in range(3):
        page.click("button")
    print(page.inner_text("button"))
    # A function of ours that JavaScript calls, inside which other calls wait.
    page.expose_function("double", lambda number: 2 * number)
    print(page.evaluate("async () => (await double(20)) + 2"))
    with page.expect_console_message() as message:
        page.evaluate("console.log('told')")
    print(message.value.text, heard)
    # A request that a function of ours answers, which first asks another page.
    other = browser.new_page()
    other.set_content("<h1>other</h1>")
    page.route("**/made", lambda route: route.fulfill(body=f"made by {other.inner_text('h1')}"))
    print(page.goto(f"{url}/made").text(), len(browser.contexts))
    try:
        page.click("button", timeout=100)
    except TimeoutError:
        print("timed out")
    try:
        page.evaluate("nonsense()")
    except Error as error:
        print("is not defined" in error.message)
    print(page.goto(f"{url}/echo").status)
    other.screenshot(path=f"{folder}/page.png")
    browser.close()
print("corolib" in greenlet.__file__)
