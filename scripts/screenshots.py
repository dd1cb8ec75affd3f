"""Takes pictures of a running installation with Chromium.

The pictures of the README, of the demo's newest cohort, each named and sized as it is used there:

    python scripts/screenshots.py readme --user paula --password ...

Any pages, wide and narrow, light and dark:

    python scripts/screenshots.py pages --user paula --password ... --out /tmp/pages / /roles/ /cohorts/
"""

from __future__ import annotations

import argparse
import getpass
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
MOST_BYTES = 350_000


@dataclass(frozen=True, slots=True)
class Picture:
    """One file of the README; ``path`` may hold the cohort and an agent of it."""

    file: str
    path: str
    size: str = "wide"
    theme: Theme = "light"
    #: Pixels, where more than the first screen is to be seen.
    height: int = 0


README: tuple[Picture, ...] = (
    Picture("cohort-light.png", "/cohorts/{cohort}/", height=1280),
    Picture("cohort-dark.png", "/cohorts/{cohort}/", theme="dark", height=1280),
    Picture("agent.png", "/cohorts/{cohort}/agents/{agent}/", height=1180),
    Picture("review.png", "/reviews/1/"),
    Picture("launch.png", "/cohorts/new/", height=1040),
    Picture("phone.png", "/cohorts/{cohort}/", size="phone", theme="dark"),
)


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


def new_page(
    browser: Browser, base_url: str, state: StorageState | None, *, size: str, theme: Theme, height: int = 0
) -> Page:
    width, first_screen = SIZES[size]
    context = browser.new_context(
        base_url=base_url,
        storage_state=state,
        viewport={"width": width, "height": height or first_screen},
        color_scheme=theme,
        reduced_motion="reduce",
    )
    return context.new_page()


def shoot(page: Page, path: str, target: Path, *, whole: bool = False) -> None:
    """Opens the page, waits until every chart has its figures, and keeps the picture."""
    page.goto(path, wait_until="load")
    expect(page.locator("[data-chart-state=loading]")).to_have_count(0, timeout=20_000)
    page.wait_for_timeout(400)  # the last frame of a chart
    page.screenshot(path=target, full_page=whole)
    print(f"{target} ({target.stat().st_size // 1000} kB)")


def newest_cohort(page: Page) -> tuple[str, str]:
    """(cohort, agent): the newest that trades now, else the newest finished one, and its most active agent."""
    for status in ("running", "completed"):
        page.goto(f"/cohorts/?status={status}&sort=-launched_at")
        link = page.locator("#table tbody a[href^='/cohorts/']").first
        if link.count():
            break
    else:
        sys.exit("There is no cohort to take pictures of: run the demo first.")
    cohort = str(link.get_attribute("href")).strip("/").split("/")[1]
    page.goto(f"/cohorts/{cohort}/?sort=-trades")
    agent = page.locator("#leaderboard tbody a").first.get_attribute("href")
    return cohort, str(agent).strip("/").split("/")[-1]


def take_readme(browser: Browser, given: argparse.Namespace, state: StorageState | None) -> None:
    finder = new_page(browser, given.base_url, state, size="wide", theme="light")
    cohort, agent = newest_cohort(finder)
    cohort = given.cohort or cohort
    finder.context.close()
    for picture in README:
        page = new_page(browser, given.base_url, state, size=picture.size, theme=picture.theme, height=picture.height)
        target = given.out / picture.file
        shoot(page, picture.path.format(cohort=cohort, agent=agent), target)
        page.context.close()
        if target.stat().st_size > MOST_BYTES:
            sys.exit(f"{target} is larger than {MOST_BYTES // 1000} kB.")


def take_pages(browser: Browser, given: argparse.Namespace, state: StorageState | None) -> None:
    for size in given.sizes:
        for theme in given.themes:
            page = new_page(browser, given.base_url, state, size=size, theme=theme)
            for path in given.paths:
                shoot(page, path, given.out / f"{name_of(path)}-{size}-{theme}.png", whole=given.whole)
            page.context.close()


def parse() -> argparse.Namespace:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--base-url", default="http://localhost:8000")
    shared.add_argument("--user", help="who signs in; without it nobody does")
    shared.add_argument("--password", help="asked for when it is left out")
    shared.add_argument("--out", type=Path, default=Path("docs/screenshots"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    readme = commands.add_parser("readme", parents=[shared], help="the pictures of the README")
    readme.add_argument("--cohort", help="its number; otherwise the newest that trades")
    readme.set_defaults(take=take_readme)
    pages = commands.add_parser("pages", parents=[shared], help="any pages")
    pages.add_argument("paths", nargs="+", help="pages, as paths")
    pages.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    pages.add_argument("--themes", nargs="+", choices=THEMES, default=list(THEMES))
    pages.add_argument("--whole", action="store_true", help="the whole page, not only its first screen")
    pages.set_defaults(take=take_pages)
    return parser.parse_args()


def main() -> None:
    given = parse()
    given.out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or sys.exit("Install chromium first: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        state = None
        if given.user:
            password = given.password or getpass.getpass(f"Password of {given.user}: ")
            state = sign_in(browser, given.base_url, given.user, password)
        given.take(browser, given, state)
        browser.close()


if __name__ == "__main__":
    main()
