"""What live results leave of a genome's weight where genomes are chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trading.models.promotion import LiveRecord, ReviewState

#: What one rollback leaves of a genome's weight, and of its family's.
GENOME_LEFT = 0.5
FAMILY_LEFT = 0.75


def weights_of(genomes: Iterable[tuple[str, str]]) -> Mapping[str, float]:
    """What live results leave of each genome's weight, by hash; ``genomes`` are (hash, family). 1 without records."""
    asked = list(genomes)
    own: dict[str, float] = {}
    families: dict[str, float] = {}
    rows = LiveRecord.objects.filter(outcome=ReviewState.ROLLED_BACK, family__in={f for _, f in asked})
    for genome_hash, family, weight in rows.values_list("genome_hash", "family", "weight"):
        own[genome_hash] = own.get(genome_hash, 1.0) * weight
        families[family] = families.get(family, 1.0) * FAMILY_LEFT
    return {h: own.get(h, families.get(f, 1.0)) for h, f in asked}
