"""The administration of accounts; and the base of every admin page over rows that nobody may change."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django_celery_beat.admin import ClockedScheduleAdmin, PeriodicTaskAdmin
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from fundops.core.access_door import door_is_closed, proposal_url
from fundops.core.actions import users as actions
from fundops.core.errors import FundopsError
from fundops.core.mfa import FACTORS
from fundops.core.models import User
from fundops.core.roles import ABOUT, Role


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the admin site lets nobody else in
    return request.user


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """For append-only models (ledger, orders, audit): rows are shown, and there is no way to change one."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class _RolesField(forms.MultipleChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            choices=[(role.value, f"{role.value}: {ABOUT[role]}") for role in Role],
            widget=forms.CheckboxSelectMultiple,
            required=False,
            help_text="An administrator holds no other role, and nobody changes their own.",
            **kwargs,
        )


class _AccountForm(UserChangeForm):  # type: ignore[misc]
    held_roles = _RolesField(label="Roles")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "held_roles" in self.fields and self.instance.pk:
            self.fields["held_roles"].initial = sorted(role.value for role in self.instance.roles)


class _NewAccountForm(UserCreationForm):  # type: ignore[misc]
    held_roles = _RolesField(label="Roles")

    class Meta(UserCreationForm.Meta):  # type: ignore[misc]
        model = User
        fields = ("username", "email", "display_name")


@admin.register(User)
class AccountAdmin(SimpleHistoryAdmin, UserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]
    """Accounts; roles, closing and second factors go through the actions, so that each is an audit event."""

    form = _AccountForm
    add_form = _NewAccountForm
    change_password_form = AdminPasswordChangeForm
    list_display = (
        "username",
        "display_name",
        "email",
        "show_roles",
        "show_factor",
        "is_active",
        "last_login",
    )
    list_filter = ("groups", "is_active")
    search_fields = ("username", "display_name", "email")
    filter_horizontal = ()
    readonly_fields = ("is_active", "last_login", "date_joined", "show_factors")
    fieldsets = (
        (None, {"fields": ("username", "display_name", "email", "time_zone", "password")}),
        ("Roles", {"fields": ("held_roles",)}),
        ("Second factor", {"fields": ("show_factors",)}),
        ("State", {"fields": ("is_active", "last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "email", "display_name", "password1", "password2")}),
        ("Roles", {"fields": ("held_roles",)}),
    )
    actions = ("close_accounts", "reopen_accounts", "reset_second_factors", "lift_locks")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        factors = Count("authenticator", filter=Q(authenticator__type__in=FACTORS), distinct=True)
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.prefetch_related("groups").annotate(factors=factors)

    @display(description="Roles")  # type: ignore[untyped-decorator]
    def show_roles(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all()) or "—"

    @display(description="Second factor", label={True: "success", False: "danger"}, ordering="factors")  # type: ignore[untyped-decorator]
    def show_factor(self, user: User) -> tuple[bool, str]:
        held = bool(getattr(user, "factors", 0))
        return held, "yes" if held else "none"

    @display(description="Authenticators")  # type: ignore[untyped-decorator]
    def show_factors(self, user: User) -> str:
        rows = [
            (
                a.get_type_display(),
                f"{a.created_at:%Y-%m-%d}",
                f"{a.last_used_at:%Y-%m-%d}" if a.last_used_at else "never",
            )
            for a in Authenticator.objects.filter(user=user).order_by("created_at")
        ]
        return format_html_join("; ", "{} (added {}, last used {})", rows) or "None"

    @display(description="Roles")  # type: ignore[untyped-decorator]
    def propose_roles(self, user: User) -> str:
        """What is held, and where to ask for more or less: after the founding roles pass the gate."""
        held = [
            (role.value, proposal_url(actions.REMOVE_ROLE, account=user.username, role=role.value), "propose removal")
            for role in sorted(user.roles)
        ]
        return format_html(
            '{} <p><a href="{}">Propose a role</a></p>',
            format_html_join("", '<p>{} (<a href="{}">{}</a>)</p>', held) or "None.",
            proposal_url(actions.GRANT_ROLE, account=user.username),
        )

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if not door_is_closed():
            return super().get_fieldsets(request, obj)
        shown = () if obj is None else (("Roles", {"fields": ("propose_roles",)}),)
        given = [part for part in super().get_fieldsets(request, obj) if part[0] != "Roles"]
        return (*given[:1], *shown, *given[1:])

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        return (*super().get_readonly_fields(request, obj), *(("propose_roles",) if door_is_closed() else ()))

    def save_model(self, request: HttpRequest, obj: User, form: forms.Form, change: bool) -> None:  # noqa: FBT001
        actor = _actor(request)
        wanted = {Role(name) for name in form.cleaned_data.get("held_roles", ())}
        with transaction.atomic():
            if not change:
                made = actions.create_user(
                    username=obj.username,
                    email=obj.email,
                    display_name=obj.display_name,
                    password=form.cleaned_data.get("password1"),
                    roles=wanted,
                    actor=actor,
                )
                obj.pk, obj._state.adding = made.pk, False
                return
            super().save_model(request, obj, form, change)
            if "held_roles" in form.fields and wanted != obj.roles:
                actions.set_roles(user=obj, roles=wanted, actor=actor)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001
        """Nothing: the roles were set by their action."""

    def get_form(self, request: HttpRequest, obj: User | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        form = super().get_form(request, obj, **kwargs)
        return _checked(form, request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Accounts are closed, never deleted: the audit trail names them."""
        return False

    def _each(self, request: HttpRequest, users: QuerySet[User], act: Any, done: str) -> None:
        count = 0
        for user in users.order_by("pk"):
            try:
                count += bool(act(user))
            except FundopsError as error:
                messages.error(request, f"{user}: {error.message}")
        messages.success(request, f"{count} {done}.")

    @admin.action(description="Close the accounts", permissions=["change"])
    def close_accounts(self, request: HttpRequest, users: QuerySet[User]) -> None:
        self._each(
            request,
            users,
            lambda u: actions.set_active(user=u, active=False, actor=_actor(request)),
            "closed",
        )

    @admin.action(description="Reopen the accounts", permissions=["change"])
    def reopen_accounts(self, request: HttpRequest, users: QuerySet[User]) -> None:
        self._each(
            request,
            users,
            lambda u: actions.set_active(user=u, active=True, actor=_actor(request)),
            "reopened",
        )

    @admin.action(description="Reset the second factor (lost device)", permissions=["change"])
    def reset_second_factors(self, request: HttpRequest, users: QuerySet[User]) -> None:
        self._each(request, users, lambda u: actions.reset_second_factor(user=u, actor=_actor(request)), "reset")

    @admin.action(description="Lift the lock after failed sign-ins", permissions=["change"])
    def lift_locks(self, request: HttpRequest, users: QuerySet[User]) -> None:
        self._each(request, users, lambda u: actions.lift_lock(user=u, actor=_actor(request)), "unlocked")


def _checked(form: Any, request: HttpRequest, obj: User | None) -> Any:
    """The form, refusing in its own words what the role actions would refuse; without roles once they are gated."""
    if door_is_closed():
        return type("Gated", (form,), {"held_roles": None})

    class Checked(form):  # type: ignore[misc]
        def clean_held_roles(self) -> list[str]:
            names: list[str] = self.cleaned_data["held_roles"]
            wanted = {Role(name) for name in names}
            try:
                actions.check_roles(user=obj, roles=wanted, actor=_actor(request))
            except FundopsError as error:
                raise forms.ValidationError(error.message) from error
            return names

    return Checked


if admin.site.is_registered(Group):
    admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(ReadOnlyAdmin):
    """Roles come from the matrix in the code; here one sees who holds them."""

    list_display = ("name", "about", "members")
    fields = ("name", "about", "permissions")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        rows: QuerySet[Group] = super().get_queryset(request)
        return rows.annotate(member_count=Count("user"))

    @display(description="For")  # type: ignore[untyped-decorator]
    def about(self, group: Group) -> str:
        return ABOUT[Role(group.name)] if group.name in set(Role) else ""

    @display(description="Members", ordering="member_count")  # type: ignore[untyped-decorator]
    def members(self, group: Group) -> int:
        return int(getattr(group, "member_count", 0))


for _model in (Authenticator, EmailAddress, AccessAttempt, AccessFailureLog, AccessLog):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """Which second factors exist; their secrets are not shown."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    fields = list_display
    search_fields = ("user__username",)


@admin.register(AccessAttempt)
class LockoutAdmin(ReadOnlyAdmin):
    """Failed sign-ins; the lock is lifted here or by `manage.py axes_reset_username NAME`."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time")
    search_fields = ("username", "ip_address")
    fields = ("username", "ip_address", "user_agent", "failures_since_start", "attempt_time", "path_info")
    actions = ("lift",)

    @admin.action(description="Lift the locks")
    def lift(self, request: HttpRequest, attempts: QuerySet[AccessAttempt]) -> None:
        names = sorted(set(attempts.exclude(username=None).values_list("username", flat=True)))
        for name in names:
            actions.lift_lock_of_name(username=name, actor=_actor(request))
        messages.success(request, f"Locks lifted: {', '.join(names) or 'none'}.")


@admin.register(AccessLog)
class SignInAdmin(ReadOnlyAdmin):
    """Who signed in and out, from where."""

    list_display = ("username", "ip_address", "attempt_time", "logout_time")
    search_fields = ("username", "ip_address")
    fields = ("username", "ip_address", "user_agent", "attempt_time", "logout_time")


# --- Schedules: Celery's own pages in this theme ----------------------------------------------------
for _model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


@admin.register(PeriodicTask)
class ScheduleAdmin(PeriodicTaskAdmin, ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "task", "enabled", "scheduler", "last_run_at", "total_run_count")
    change_form_template = None  # the library's own carries an inline script, which the policy refuses


@admin.register(ClockedSchedule)
class ClockedAdmin(ClockedScheduleAdmin, ModelAdmin):  # type: ignore[misc]
    pass


@admin.register(IntervalSchedule, CrontabSchedule, SolarSchedule)
class TimingAdmin(ModelAdmin):  # type: ignore[misc]
    pass
