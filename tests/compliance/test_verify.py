"""Tampering as a superuser with the triggers switched off: every attack must be caught and named."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.test import override_settings

from compliance.chain import GENESIS, EventRow, link
from compliance.models import AuditAnchor, AuditEvent, AuditSeal, EventCursor
from compliance.relay.anchors import write_anchor
from compliance.relay.sealer import Sealer
from compliance.relay.session import open_session
from compliance.stream import read_sealed
from compliance.verify import Verdict, verify_chain
from fundops.core import clock
from tests.compliance.support import say, seal_all

Superuser = psycopg.Connection[Any]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def anchors(tmp_path: Path) -> Path:
    return tmp_path / "anchors.jsonl"


@pytest.fixture
def chain(superuser: Superuser, anchors: Path) -> Superuser:
    """Twelve sealed events, anchored at place 10; and the attacker, past all triggers."""
    for number in range(10):
        say(number)
    seal_all()
    anchor(anchors)
    say(10)
    say(11)
    seal_all()
    superuser.execute("SET session_replication_role = replica")
    return superuser


def anchor(file: Path) -> None:
    with open_session() as session:
        sealer = Sealer(session)
        write_anchor(session, chain=sealer.chain, seq=sealer.seq, head=sealer.hash, file=file)


def codes(file: Path | None = None) -> list[tuple[str, int | None]]:
    return [(finding.code, finding.seq) for finding in verify_chain(file=file).findings]


def event_at(seq: int) -> EventRow:
    return read_sealed(after=seq - 1, limit=1)[0].event


def rewrite_from(attacker: Superuser, seq: int) -> None:
    """The thorough attacker: recomputes every seal from ``seq`` to the end."""
    before = AuditSeal.objects.filter(seq=seq - 1).values_list("hash", flat=True).first() or GENESIS
    for item in read_sealed(after=seq - 1, limit=1000):
        hash_ = link(item.event, seq=item.seq, prev_hash=before)
        attacker.execute(
            "UPDATE compliance_auditseal SET prev_hash = %s, hash = %s WHERE seq = %s",
            [before, hash_, item.seq],
        )
        before = hash_


def test_untouched_chain_is_intact(chain: Superuser, anchors: Path) -> None:
    verdict = verify_chain(file=anchors)
    assert verdict.intact, verdict.findings
    assert (verdict.checked, verdict.head_seq, verdict.anchors_checked, verdict.notes) == (12, 12, 1, [])


def test_empty_stream_is_intact() -> None:
    assert verify_chain().intact


@pytest.mark.parametrize(
    "change",
    [
        "payload = '{\"n\": 40}'",
        "payload = '{\"n\": 4.0}'",
        "payload = payload || '{\"more\": null}'",
        "at = at + interval '1 microsecond'",
        "kind = 'test.thing.undone'",
        "actor_label = 'somebody else'",
        "object_type = 'x'",
        "object_id = 'x'",
        "object_label = 'x'",
        "topics = '{cohorts}'",
        "created_xid = created_xid + 1",
    ],
)
def test_edited_event_is_named(chain: Superuser, change: str) -> None:
    target = event_at(5)
    statement = f"UPDATE compliance_auditevent SET {change} WHERE id = %s"  # noqa: S608
    chain.execute(statement, [target.id])
    (finding,) = verify_chain().findings
    assert (finding.code, finding.seq, finding.event) == ("event_edited", 5, str(target.id))


def test_every_column_of_the_event_is_covered_by_the_hash() -> None:
    columns = {field.column for field in AuditEvent._meta.concrete_fields}
    assert columns == {name.removeprefix("e.").split("::")[0] for name in EventRow.__slots__}


def test_deleted_event_is_named(chain: Superuser) -> None:
    target = event_at(5)
    chain.execute("DELETE FROM compliance_auditevent WHERE id = %s", [target.id])
    (finding,) = verify_chain().findings
    assert (finding.code, finding.seq, finding.event) == ("event_missing", 5, str(target.id))


def test_deleted_event_and_seal_leave_a_hole(chain: Superuser) -> None:
    target = event_at(5)
    chain.execute("DELETE FROM compliance_auditseal WHERE seq = 5")
    chain.execute("DELETE FROM compliance_auditevent WHERE id = %s", [target.id])
    assert codes() == [("seal_missing", 5)]


def test_hole_closed_by_renumbering_is_found(chain: Superuser) -> None:
    chain.execute("DELETE FROM compliance_auditseal WHERE seq = 5")
    for seq in range(6, 13):
        chain.execute("UPDATE compliance_auditseal SET seq = seq - 1 WHERE seq = %s", [seq])
    found = codes()
    assert ("link_broken", 5) in found
    assert ("event_edited", 5) in found


def test_swapped_events_are_named_with_their_true_places(chain: Superuser) -> None:
    one, two = event_at(4), event_at(7)
    chain.execute("ALTER TABLE compliance_auditseal DROP CONSTRAINT compliance_auditseal_event_id_key")
    try:
        chain.execute(
            "UPDATE compliance_auditseal SET event_id = CASE seq WHEN 4 THEN %s ELSE %s END WHERE seq IN (4, 7)",
            [two.id, one.id],
        )
    finally:
        chain.execute(
            "ALTER TABLE compliance_auditseal ADD CONSTRAINT compliance_auditseal_event_id_key UNIQUE (event_id)"
        )
    verdict = verify_chain()
    assert {(finding.code, finding.seq, finding.event) for finding in verdict.findings} == {
        ("event_moved", 4, str(two.id)),
        ("event_moved", 7, str(one.id)),
    }
    assert "was sealed at place 7" in verdict.findings[0].message


def test_swapped_places_are_found(chain: Superuser) -> None:
    for a, b in ((4, 1004), (7, 4), (1004, 7)):
        chain.execute("UPDATE compliance_auditseal SET seq = %s WHERE seq = %s", [b, a])
    assert {seq for code, seq in codes() if code == "link_broken"} == {4, 5, 7, 8}


def test_recomputed_hash_of_one_edited_event_breaks_the_next_link(chain: Superuser) -> None:
    chain.execute("UPDATE compliance_auditevent SET payload = '{\"n\": 40}' WHERE id = %s", [event_at(5).id])
    before = AuditSeal.objects.get(seq=5)
    chain.execute(
        "UPDATE compliance_auditseal SET hash = %s WHERE seq = 5",
        [link(event_at(5), seq=5, prev_hash=before.prev_hash)],
    )
    assert codes() == [("link_broken", 6)]


def test_wholly_recomputed_chain_contradicts_the_anchor(chain: Superuser, anchors: Path) -> None:
    chain.execute("UPDATE compliance_auditevent SET payload = '{\"n\": 40}' WHERE id = %s", [event_at(5).id])
    rewrite_from(chain, 5)
    assert codes() == [("anchor_mismatch", 10)], "the table of anchors alone must show it"
    assert codes(anchors) == [("anchor_mismatch", 10)]


def test_recomputed_chain_with_forged_anchor_is_found_by_its_code(chain: Superuser) -> None:
    chain.execute("UPDATE compliance_auditevent SET payload = '{\"n\": 40}' WHERE id = %s", [event_at(5).id])
    rewrite_from(chain, 5)
    chain.execute("UPDATE compliance_auditanchor SET hash = (SELECT hash FROM compliance_auditseal WHERE seq = 10)")
    assert codes() == [("anchor_forged", 10)]


def test_recomputed_chain_with_the_anchors_deleted_contradicts_the_file(chain: Superuser, anchors: Path) -> None:
    chain.execute("UPDATE compliance_auditevent SET payload = '{\"n\": 40}' WHERE id = %s", [event_at(5).id])
    rewrite_from(chain, 5)
    chain.execute("DELETE FROM compliance_auditanchor")
    assert codes(anchors) == [("anchor_mismatch", 10)]


def cut_tail(attacker: Superuser, keep: int) -> None:
    attacker.execute(
        "DELETE FROM compliance_auditevent e USING compliance_auditseal s WHERE s.event_id = e.id AND s.seq > %s",
        [keep],
    )
    attacker.execute("DELETE FROM compliance_auditseal WHERE seq > %s", [keep])


def test_cut_tail_contradicts_the_table_of_anchors(chain: Superuser) -> None:
    cut_tail(chain, 8)
    assert codes() == [("tail_missing", 10)]


def test_cut_tail_with_its_anchor_contradicts_the_file(chain: Superuser, anchors: Path) -> None:
    cut_tail(chain, 8)
    chain.execute("DELETE FROM compliance_auditanchor WHERE seq > 8")
    assert codes(anchors) == [("tail_missing", 10)]
    lost = verify_chain(file=anchors.with_name("none"))
    assert lost.intact
    assert "No anchor file" in lost.notes[0], "without the file the verdict must say what it cannot see"


def test_tail_cut_behind_the_anchor_contradicts_who_has_read_it(chain: Superuser, anchors: Path) -> None:
    EventCursor.objects.create(consumer="live", seq=12, updated_at=clock.now())
    cut_tail(chain, 11)
    assert codes(anchors) == [("tail_missing", 12)]


def test_emptied_stream_is_found(chain: Superuser, anchors: Path) -> None:
    cut_tail(chain, 0)
    assert codes(anchors) == [("tail_missing", 10)]


def test_event_inserted_past_the_rules_is_found(chain: Superuser) -> None:
    chain.execute(
        "INSERT INTO compliance_auditevent (at, kind, actor_label, object_type, object_id, object_label,"
        " payload, topics, created_xid)"
        " VALUES (now() - interval '1 hour', 'test.forged.done', 'x', '', '', '', '{}', '{}', 3)"
    )
    assert codes() == [("event_unsealed", None)]


def test_row_inserted_into_the_chain_is_found(chain: Superuser) -> None:
    for seq in range(12, 5, -1):
        chain.execute("UPDATE compliance_auditseal SET seq = seq + 1 WHERE seq = %s", [seq])
    row = chain.execute(
        "INSERT INTO compliance_auditevent (at, kind, actor_label, object_type, object_id, object_label,"
        " payload, topics) VALUES (now(), 'test.forged.done', 'x', '', '', '', '{}', '{}') RETURNING id"
    ).fetchone()
    assert row is not None
    prev = AuditSeal.objects.get(seq=5).hash
    chain.execute(
        "INSERT INTO compliance_auditseal (seq, event_id, prev_hash, hash) VALUES (6, %s, %s, %s)",
        [row[0], prev, "b" * 64],
    )
    found = codes()
    assert ("event_edited", 6) in found
    assert ("link_broken", 7) in found


def test_edited_anchor_file_is_found(chain: Superuser, anchors: Path) -> None:
    line = json.loads(anchors.read_text())
    anchors.write_text(json.dumps(line | {"seq": 8}) + "\nnonsense\n")
    assert {code for code, _ in codes(anchors)} == {"anchor_forged", "anchor_unreadable"}


def test_anchor_outlives_a_rotated_secret_key(chain: Superuser, anchors: Path, settings: Any) -> None:
    old = settings.SECRET_KEY
    with override_settings(SECRET_KEY="another-key", SECRET_KEY_FALLBACKS=[old]):
        assert verify_chain(file=anchors).intact
    with override_settings(SECRET_KEY="another-key", SECRET_KEY_FALLBACKS=[]):
        assert ("anchor_forged", 10) in codes(anchors)


def test_verification_from_the_middle_sees_what_comes_after(chain: Superuser) -> None:
    chain.execute(
        "UPDATE compliance_auditevent SET kind = 'a.b' WHERE id IN (%s, %s)", [event_at(3).id, event_at(9).id]
    )
    verdict = verify_chain(from_seq=6)
    assert [(f.code, f.seq) for f in verdict.findings] == [("event_edited", 9)]
    assert (verdict.checked, verdict.first_seq) == (7, 6)


def run(*args: str) -> tuple[int, str]:
    out, status = StringIO(), 0
    try:
        call_command("verify_audit", *args, stdout=out)
    except SystemExit as stop:
        status = int(str(stop.code))
    return status, out.getvalue()


def test_command_tells_people_and_machines(chain: Superuser, anchors: Path) -> None:
    status, text = run("--anchor-file", str(anchors))
    assert (status, "The chain is intact" in text) == (0, True)
    chain.execute("UPDATE compliance_auditevent SET kind = 'a.b' WHERE id = %s", [event_at(9).id])
    status, text = run("--json", "--anchor-file", str(anchors))
    verdict = json.loads(text)
    assert (status, verdict["intact"], verdict["findings"][0]["code"]) == (1, False, "event_edited")
    status, text = run("--from", "2")
    assert status == 1
    assert "THE CHAIN IS BROKEN: 1 findings" in text


def test_anchor_is_written_to_table_and_file(chain: Superuser, anchors: Path) -> None:
    row = AuditAnchor.objects.get()
    line = json.loads(anchors.read_text())
    assert (row.seq, row.hash, row.mac) == (line["seq"], line["hash"], line["mac"])
    assert Verdict().intact


def test_anchor_file_that_cannot_be_written_does_not_stop_the_anchoring(
    superuser: Superuser, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    say(1)
    seal_all()
    (tmp_path / "file").write_text("")
    anchor(tmp_path / "file" / "impossible")
    assert AuditAnchor.objects.get().seq == 1
    assert "could not be written" in caplog.text
