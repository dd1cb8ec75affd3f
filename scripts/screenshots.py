"""Takes the pictures of the documentation: pages of a running installation, wide and narrow, light and dark.

    python scripts/screenshots.py --base-url http://localhost:8000 --user paula --password ... \\
        --out docs/screenshots / /roles/ /cohorts/
"""

from __future__ import annotations

import argparse
import getpass
import re
import shutil
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, StorageState, sync_playwright

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")


def name_of(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-") or "home"


def sign_in(browser: Browser, base_url: str, user: str, password: str) -> StorageState:
    """Signs in once; the state that further contexts start from."""
    context = browser.new_context(base_url=base_url)
    page = context.new_page()
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_load_state("load")
    if "/accounts/" in page.url:
        sys.exit(f"Signing in as {user} led to {page.url}: is the password right, and is this a demo?")
    state = context.storage_state()
    context.close()
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", help="pages, as paths")
    parser.add_argument("--base-url", default="http://localhost:8000")
    parser.add_argument("--user", help="who signs in; without it nobody does")
    parser.add_argument("--password", help="asked for when it is left out")
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--themes", nargs="+", choices=THEMES, default=list(THEMES))
    parser.add_argument("--whole", action="store_true", help="the whole page, not only its first screen")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or sys.exit("Install chromium first: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        state = None
        if given.user:
            password = given.password or getpass.getpass(f"Password of {given.user}: ")
            state = sign_in(browser, given.base_url, given.user, password)
        for size in given.sizes:
            for theme in given.themes:
                take(browser, given, state, size, theme)
        browser.close()


def take(browser: Browser, given: argparse.Namespace, state: StorageState | None, size: str, theme: Theme) -> None:
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=given.base_url,
        storage_state=state,
        viewport={"width": width, "height": height},
        color_scheme=theme,
        reduced_motion="reduce",
    )
    page = context.new_page()
    for path in given.paths:
        page.goto(path, wait_until="load")
        page.wait_for_function("!document.querySelector('[data-chart-state=loading]')")
        target = given.out / f"{name_of(path)}-{size}-{theme}.png"
        page.screenshot(path=target, full_page=given.whole)
        print(target)
    context.close()


if __name__ == "__main__":
    main()
