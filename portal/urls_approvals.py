"""The addresses of the gate and of the audit stream."""

from django.urls import URLPattern, path

from portal.views import approval_new, approval_people, approval_policies, approvals, audit

urlpatterns: list[URLPattern] = [
    path("approvals/", approvals.approval_queue_page, name="approvals"),
    path("approvals/badge/", approvals.approval_badge, name="approval-badge"),
    path("approvals/history/", approvals.HistoryPage.as_view(), name="approval-history"),
    path("approvals/new/", approval_new.approval_kinds, name="approval-kinds"),
    path("approvals/new/<str:kind>/", approval_new.approval_new, name="approval-new"),
    path("approvals/new/<str:kind>/check/", approval_new.approval_check, name="approval-check"),
    path("approvals/policies/", approval_policies.approval_policies, name="approval-policies"),
    path("approvals/policies/<str:kind>/", approval_policies.approval_policy, name="approval-policy"),
    path("approvals/people/", approval_people.people_page, name="approval-people"),
    path("approvals/people/link/", approval_people.people_link, name="approval-people-link"),
    path("approvals/people/delegate/", approval_people.people_delegate, name="approval-people-delegate"),
    path("approvals/people/<int:pk>/end/", approval_people.people_end_delegation, name="approval-people-end"),
    path("approvals/<uuid:pk>/", approvals.approval_page, name="approval"),
    path("approvals/<uuid:pk>/edit/", approval_new.approval_edit, name="approval-edit"),
    path("approvals/<uuid:pk>/submit/", approvals.approval_submit, name="approval-submit"),
    path("approvals/<uuid:pk>/withdraw/", approvals.approval_withdraw, name="approval-withdraw"),
    path("approvals/<uuid:pk>/decide/", approvals.approval_decide, name="approval-decide"),
    path("approvals/<uuid:pk>/release/", approvals.approval_release, name="approval-release"),
    path("approvals/<uuid:pk>/review/", approvals.approval_review, name="approval-review"),
    path("audit/", audit.AuditPage.as_view(), name="audit"),
    path("audit/chart.json", audit.audit_chart, name="audit-chart"),
    path("audit/verify/", audit.audit_verify, name="audit-verify"),
    path("audit/<uuid:pk>/", audit.audit_event, name="audit-event"),
]
