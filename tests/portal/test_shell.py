"""The page shell: who sees which entries, and that pages carry what they must."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from fundops.core.roles import Role
from portal.navigation import NAVIGATION, navigation_for
from tests.factories import user_with

pytestmark = pytest.mark.django_db


def labels(role: Role) -> set[str]:
    return {link.label for group in navigation_for(user_with(role), "/") for link in group.links}


def test_navigation_every_entry_has_a_page() -> None:
    for section in NAVIGATION:
        for entry in section.entries:
            assert reverse(entry.url_name)


@pytest.mark.parametrize("role", list(Role))
def test_navigation_of_a_role_leads_only_to_pages_it_may_open(client: Client, role: Role) -> None:
    user = user_with(role)
    client.force_login(user)
    for group in navigation_for(user, "/"):
        for link in group.links:
            answer = client.get(link.href)
            assert answer.status_code == 200, link
            if not link.href.startswith("/admin"):  # whose policy is its own
                assert refused_by_the_policy(answer.content.decode()) == [], link


def refused_by_the_policy(html: str) -> list[str]:
    """Inline styles, inline handlers and scripts without a nonce, as the browser got them."""
    return re.findall(
        r"""<[a-z][^>]*?\s(?:style|on[a-z]+)=["'][^>]*>"""
        r"""|<(?:script|style)\b(?![^>]*\s(?:src=|nonce=|type="application/json"))[^>]*>""",
        html,
    )


@pytest.mark.parametrize(
    "html",
    ['<p class="a" style="color: red">', '<button onclick="go()">', "<script>go()</script>", "<style>p {}</style>"],
)
def test_what_the_policy_refuses_is_found(html: str) -> None:
    assert len(refused_by_the_policy(f'<script src="/a.js"></script><p class="b">{html}')) == 1


def test_navigation_of_an_investor_is_home_alone() -> None:
    assert labels(Role.INVESTOR) == {"Home"}


def test_navigation_administration_only_for_administrators() -> None:
    assert "Administration" in labels(Role.ADMINISTRATOR)
    for role in set(Role) - {Role.ADMINISTRATOR}:
        assert "Administration" not in labels(role)


def test_home_anonymous_is_sent_to_sign_in(client: Client) -> None:
    response = client.get("/")
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("account_login"))


def test_home_of_staff_asks_for_a_second_factor_first(client: Client) -> None:
    client.force_login(user_with(Role.RISK_OFFICER))
    page = client.get("/").content.decode()
    assert "Add a second factor" in page
    assert 'aria-current="page"' in page
    assert 'href="#main"' in page


def test_home_of_an_investor_shows_nothing_of_the_fund(client: Client) -> None:
    client.force_login(user_with(Role.INVESTOR))
    page = client.get("/").content.decode()
    for word in ("Trading", "Cohort", "Roles", "Administration", "Needs your attention"):
        assert word not in page
    assert "No account of yours is open yet" in page


def test_pages_carry_no_inline_style_or_handler(client: Client) -> None:
    client.force_login(user_with(Role.ADMINISTRATOR))
    for url in ("/", "/roles/", "/api/docs/", reverse("mfa_index"), reverse("account_change_password")):
        page = client.get(url).content.decode()
        assert " style=" not in page, url
        assert " onclick=" not in page, url


def test_every_icon_in_use_is_in_the_sprite() -> None:
    sprite = (settings.BASE_DIR / "static/vendor/icons/tabler.svg").read_text()
    held = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    used = {entry.icon for section in NAVIGATION for entry in section.entries}
    for template in (settings.BASE_DIR / "templates").rglob("*.html"):
        used |= set(re.findall(r'{% icon "([^"]+)"', template.read_text()))
        used |= set(re.findall(r'with icon="([^"]+)"', template.read_text()))
    assert used <= held, used - held


def test_no_template_writes_what_the_policy_refuses() -> None:
    for template in (settings.BASE_DIR / "templates").rglob("*.html"):
        text = template.read_text()
        assert not re.search(r"""\sstyle=["']""", text), template
        assert not re.search(r"""\son[a-z]+=["']""", text), template
        assert not re.search(r"<script(?![^>]*(src=|application/json))", text), template


def test_vendored_files_are_what_their_manifest_says() -> None:
    script = settings.BASE_DIR / "scripts/vendor_static.py"
    answer = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
