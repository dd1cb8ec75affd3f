"""Evidence of requests: a name, a hash, and (where the file was given) the file itself, which is found to be the one.

The hashes are part of what is signed. Files are not searched for viruses: only kinds that do nothing by themselves are
taken, told by their content and not by their name, and they are only ever handed out as attachments.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from compliance.approvals.errors import EvidenceRefusedError, PayloadError, TamperedError
from compliance.models import ApprovalRequest, EvidenceFile
from compliance.models.evidence import MAX_BYTES

_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What supports a request: a name and the SHA-256 of the file. ``size`` is the gate's own to say."""

    name: str
    sha256: str
    size: int | None = None

    def __post_init__(self) -> None:
        if not self.name or len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef"):
            raise PayloadError("Evidence needs a name and the SHA-256 of the file, in lower case hex.")


def media_type_of(content: bytes) -> str:
    """The kind of a file by its content; raises EvidenceRefusedError for any that is not taken."""
    if not 0 < len(content) <= MAX_BYTES:
        raise EvidenceRefusedError(f"A file of evidence has between 1 byte and {MAX_BYTES // 2**20} MiB.")
    for magic, kind in _MAGIC:
        if content.startswith(magic):
            return kind
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if any(letter < " " and letter not in "\t\n\r\f" for letter in text):
        raise EvidenceRefusedError("Give a PDF, a PNG or JPEG picture, or plain text (CSV, JSON, Markdown) in UTF-8.")
    if text.lstrip()[:1] in ("{", "["):
        try:
            json.loads(text)
        except ValueError:
            return "text/plain"
        return "application/json"
    return "text/plain"


def written(evidence: Sequence[Evidence]) -> list[dict[str, Any]]:
    """As it stands in the request: with its size where the file is here."""
    sizes = dict(
        EvidenceFile.objects.filter(sha256__in=[item.sha256 for item in evidence]).values_list("sha256", "size")
    )
    rows = []
    for item in evidence:
        row: dict[str, Any] = {"name": item.name, "sha256": item.sha256}
        rows.append(row | ({"size": sizes[item.sha256]} if item.sha256 in sizes else {}))
    return rows


def check_evidence(evidence: Sequence[dict[str, Any]]) -> None:
    """Raises TamperedError unless every file that was given is there, and is what was signed."""
    given = {str(row["sha256"]): row for row in evidence if "size" in row}
    found = {file.sha256: bytes(file.content) for file in EvidenceFile.objects.filter(sha256__in=given)}
    for digest, row in given.items():
        content = found.get(digest)
        if content is None or len(content) != row["size"] or sha256(content).hexdigest() != digest:
            raise TamperedError(
                f"The evidence '{row['name']}' is not the file that was given. Stop, and tell compliance."
            )


def file_of(request: ApprovalRequest, digest: str) -> tuple[str, EvidenceFile] | None:
    """The name and the file of one piece of a request's evidence, of its present or any signed version."""
    rows = list(request.evidence)
    for statement in request.statements.all():
        rows += json.loads(statement.canonical)["evidence"]
    for row in rows:
        if row["sha256"] == digest:
            file = EvidenceFile.objects.filter(sha256=digest).first()
            return None if file is None else (str(row["name"]), file)
    return None
