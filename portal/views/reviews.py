"""Day-3 reviews: the board, one review from its verdict to what became of it, and the rules they are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_GET, require_POST
from django_tables2 import RequestConfig
from django_tables2.export import TableExport
from markdown_it import MarkdownIt

from compliance.models import ApprovalRequest, RequestState
from compliance.selectors import live_seq
from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, permission_required
from portal.charts import reviews as charts
from portal.review_timers import next_in_words, timers_of
from portal.tables import TablePage
from portal.tables_reviews import RankingTable, ReviewFilter, ReviewTable, state_tag, verdict_tag
from trading.actions.council import QUORUM
from trading.actions.promotion import ask_for_promotion, evidence_text, roll_back, write_post_mortem
from trading.models.promotion import BEFORE_CAPITAL, WATCHED, GatePolicyVersion, PromotionReview, ReviewState
from trading.promotion.evidence import Evidence
from trading.promotion.gate import CheckResult
from trading.promotion.rules import PromotionRules, rules_in_force, rules_of
from trading.selectors.council import proposed_terms, voices_on_offer

READ = "trading.view_promotionreview"
ASK = "trading.promote"
OVERRIDE = "trading.override_review"
ROLL_BACK = "trading.roll_back"
WRITE = "trading.write_post_mortem"

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


class ReviewListPage(TablePage):
    """The board: where every candidate stands."""

    permission = READ
    table_class, filterset_class = ReviewTable, ReviewFilter
    template_name = "reviews/list.html"

    def get_queryset(self) -> QuerySet[PromotionReview]:
        return (
            PromotionReview.objects.for_user(self.request.user)
            .select_related("cohort", "agent__cohort", "deployment__run")
            .defer("evidence", "post_mortem", "verdict")
            .annotate(
                chance_of_best=F("evidence__figures__chance_of_best__value"),
                live_profit=F("deployment__run__equity") - F("deployment__bankroll"),
            )
        )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        reviews = PromotionReview.objects.for_user(self.request.user)
        counts = {
            "Before capital": reviews.filter(state__in=BEFORE_CAPITAL).count(),
            "Live": reviews.filter(state__in=WATCHED).count(),
            "Graduated": reviews.filter(state=ReviewState.GRADUATED).count(),
            "Rolled back": reviews.filter(state=ReviewState.ROLLED_BACK).count(),
            "Turned down": reviews.filter(state__in=(ReviewState.REJECTED, ReviewState.EXPIRED)).count(),
        }
        return super().get_context_data(**kwargs) | {
            "counts": counts,
            "crumbs": [("Reviews", "")],
            "live_after": live_seq(),
        }


@require_GET
@permission_required(READ)
def review_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Verdict first, then the evidence as pictures, the checks, the signatures, the way it went."""
    review = _review(request, pk)
    evidence = Evidence.model_validate(review.evidence)
    ranking = RankingTable(
        sorted(
            review.evidence["agents"], key=lambda a: (a["evidence_rank"] is None, a["evidence_rank"], a["roi_rank"])
        ),
        cohort_id=review.cohort_id,
        candidate=evidence.candidate,
    )
    match request.GET.get("_export"):
        case "json":
            return _download(evidence_text(review.evidence), f"review-{pk}.json", "application/json")
        case "csv":
            exported: HttpResponse = TableExport("csv", ranking).response(f"review-{pk}-ranking.csv")
            return exported
    RequestConfig(request, paginate={"per_page": 30}).configure(ranking)
    options = _options(request, review)
    rules = rules_of(review.policy_version)
    checks = _checks(review.verdict)
    context = {
        "review": review,
        "evidence": evidence,
        "candidate": evidence.line(evidence.candidate) if evidence.candidate is not None else None,
        "verdict": review.verdict,
        "checks": checks,
        "doubts": [c for c in checks if c["weight"] == "advice" and c["result"].standing != "passed"],
        "state_tag": state_tag(review),
        "verdict_tag": verdict_tag(review),
        "pictures": charts.pictures(evidence),
        "ranking": ranking,
        "signatures": _signatures(review.request) if review.request else None,
        "steps": review.steps.select_related("actor"),
        "options": options,
        "terms": proposed_terms(review) if options["ask"] or options["override"] else None,
        "voices": voices_on_offer(review) if options["ask"] or options["override"] else [],
        "quorum": QUORUM,
        "next_words": next_in_words(review, rules),
        "timers": timers_of(review, rules),
        "watch_until": clock.from_ms(review.watch_until_ms)
        if review.state in WATCHED and review.watch_until_ms
        else None,
        "post_mortem": _markdown(review.post_mortem) if review.post_mortem else "",
        "crumbs": [("Reviews", reverse("portal:reviews")), (str(review.cohort), "")],
        "live_after": live_seq(),
    }
    return render(request, "reviews/detail.html", context)


def _review(request: HttpRequest, pk: int) -> PromotionReview:
    reviews = PromotionReview.objects.for_user(request.user).select_related(
        "cohort__fund", "agent__cohort", "deployment__run", "deployment__book", "request", "overridden_by"
    )
    return get_object_or_404(reviews, pk=pk)


def _checks(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The checklist, musts first."""
    return [
        {"weight": weight, "result": CheckResult.model_validate(stored)}
        for weight, results in (("must", verdict["musts"]), ("advice", verdict["advices"]))
        for stored in results
    ]


def _signatures(request: ApprovalRequest) -> dict[str, Any]:
    """Who has signed, and what is missing."""
    statement = request.statements.order_by("-version").first()
    votes = list(request.decisions.filter(statement=statement).select_related("actor", "person")) if statement else []
    quorum: dict[str, int] = statement.quorum if statement else {}
    roles = [
        {"role": role, "wanted": wanted, "given": [v for v in votes if v.role == role and v.decision == "approve"]}
        for role, wanted in sorted(quorum.items())
    ]
    return {
        "request": request,
        "votes": votes,
        "roles": roles,
        "open": request.state in (RequestState.SUBMITTED, RequestState.PARTIALLY_APPROVED, RequestState.APPROVED),
    }


def _options(request: HttpRequest, review: PromotionReview) -> dict[str, Any]:
    """What this reader may do now, and why not where they may not."""
    user = request.user
    askable = review.state in (ReviewState.SCREENED, ReviewState.REJECTED)
    why_not = ""
    if not askable and review.state in BEFORE_CAPITAL:
        why_not = "The request is under way: people decide it on its own page."
    elif askable and review.agent_id is None:
        why_not = "Every agent was excluded, so there is no candidate to ask for."
    elif askable and not may(user, ASK):
        why_not = f"Asking for its promotion takes the permission {ASK}."
    elif askable and not review.passed and not may(user, OVERRIDE):
        why_not = f"The gate refused it; sending it on all the same takes {OVERRIDE}."
    may_ask = askable and not why_not
    return {
        "ask": may_ask and review.passed,
        "override": may_ask and not review.passed,
        "roll_back": review.is_watched and may(user, ROLL_BACK, review),
        "write": review.settled_at is not None and may(user, WRITE, review),
        "why_not": why_not,
    }


def _markdown(text: str) -> SafeString:
    """Markdown as HTML; markup in it is shown as text, links are not followed by scripts."""
    rendered: str = _MARKDOWN.render(text)
    return mark_safe(rendered)  # noqa: S308 - the renderer escapes all markup (html off)


def _download(text: str, name: str, kind: str) -> HttpResponse:
    return HttpResponse(text, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission has seen to it
    return request.user


@require_POST
@permission_required(ASK)
def review_ask(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks for the two signatures; with a reason against the gate's verdict."""
    review = _review(request, pk)
    try:
        asked = ask_for_promotion(
            review=review,
            actor=_user(request),
            override_reason=request.POST.get("reason", "").strip(),
            terms=_council_asked(request),
        )
    except FundopsError as refused:
        messages.error(request, refused.message)
        return redirect(review)
    messages.success(request, "Two signatures are asked for.")
    return redirect(reverse("portal:approval", args=[asked.request_id]))


def _council_asked(request: HttpRequest) -> dict[str, Any]:
    """The voices that were ticked, with their weights; nothing ticked is the candidate alone."""
    ticked = [key for key in request.POST.getlist("voice") if key.isdecimal()]
    if not ticked:
        return {}
    voices = [{"agent": key, "weight": request.POST.get(f"weight-{key}", "1").strip() or "1"} for key in ticked]
    return {"voices": voices, "quorum_frac": request.POST.get("quorum_frac", "").strip() or str(QUORUM)}


@require_POST
@permission_required(ROLL_BACK)
def review_roll_back(request: HttpRequest, pk: int) -> HttpResponse:
    """Ends a deployed candidate with a reason."""
    review = _review(request, pk)
    try:
        roll_back(review=review, cause="person", words=request.POST.get("reason", ""), actor=_user(request))
    except FundopsError as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, "It is being rolled back: its desk flattens, and hands the bankroll back.")
    return redirect(review)


@require_POST
@permission_required(WRITE)
def review_post_mortem(request: HttpRequest, pk: int) -> HttpResponse:
    """Completes the post-mortem."""
    review = _review(request, pk)
    try:
        write_post_mortem(review=review, text=request.POST.get("text", ""), actor=_user(request))
    except FundopsError as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, "The post-mortem is kept; its earlier versions stay.")
    return redirect(review)


@require_GET
@permission_required(READ)
def rules_page(request: HttpRequest) -> HttpResponse:
    """The rules of the gate and of the watch in force, and every version there was."""
    version, rules = rules_in_force()
    versions = list(GatePolicyVersion.objects.select_related("request").order_by("-version"))
    shown = request.GET.get("version", str(version))
    if not shown.isdecimal() or int(shown) not in {0, *(v.version for v in versions)}:
        raise Http404("There is no such version of the rules.")
    chosen = rules if int(shown) == version else rules_of(int(shown))
    propose = (
        f"{reverse('portal:approval-new', args=['trading.set_gate_policy'])}?{urlencode({'rules': rules.as_text()})}"
    )
    context = {
        "version": int(shown),
        "in_force": version,
        "rules": chosen,
        "watch": _watch_words(chosen),
        "checks": chosen.gate.checks,
        "screens": [(n.replace("_", " "), v) for n, v in chosen.gate.screens.model_dump().items()],
        "text": chosen.as_text(),
        "versions": versions,
        "propose": propose if may(request.user, "trading.propose_gate_policy") else "",
        "crumbs": [("Reviews", reverse("portal:reviews")), ("Rules", "")],
    }
    return render(request, "reviews/rules.html", context)


def _watch_words(rules: PromotionRules) -> list[str]:
    watch = rules.watch
    return [
        f"A candidate is watched for {watch.days:g} days of market time.",
        f"It is rolled back at a fall of {watch.drawdown_frac:.1%} from its peak.",
        f"It is rolled back when its returns are worse or wilder than claimed; one that is as good as claimed is "
        f"stopped by mistake with a chance of {watch.false_alarm:.0%} at most, however long it is watched.",
        f"It is rolled back when costs a turnover pass {watch.cost_ratio:g} times the cohort's, from "
        f"{watch.cost_min_fills} fills on.",
        f"It is rolled back when its desk is silent for {watch.heartbeat_s} seconds, when the leverage policy allows "
        "less than at its start, and when its trading is halted.",
        f"At the end it goes on with at least {watch.graduate_min_fills} fills and a return above "
        f"{watch.graduate_min_roi:.2%}, under the same meters without the timer; otherwise it is rolled back.",
        f"A review that got no capital within {watch.request_hours} hours expires.",
    ]
