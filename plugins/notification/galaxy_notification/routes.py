"""The plugin's HTTP operations (SPEC N-5 to N-7)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from galaxy_contracts.notification import AdminChannelState, Audience, Channel
from galaxy_kernel.api import Access, Call, Model, Page, Paging, Route, Timestamp
from galaxy_notification.domain import State
from galaxy_notification.service import Inbox, NotificationAdmin

USER, ADMIN = "/api/v1/user/notifications", "/api/v1/admin/notifications"


class RouteView(Model):
    """One way to one recipient."""

    id: UUID
    channel: Channel
    state: State
    reason: str | None
    """Why it was skipped or given up, or why the last attempt failed."""
    attempts: int
    next_attempt_at: Timestamp | None
    """When it is due; None once it ended."""
    finished_at: Timestamp | None


class AdminRouteView(RouteView):
    """A route, with its recipient."""

    account_id: UUID | None
    """None: operators."""


class OwnNotification(Model):
    """Something that you were told."""

    id: UUID
    kind: str
    created_at: Timestamp
    payload: dict[str, Any]
    read_at: Timestamp | None
    routes: list[RouteView]
    """The ways by which you were told."""


class NotificationView(Model):
    """An intent and all its routes."""

    id: UUID
    kind: str
    created_at: Timestamp
    idempotency_key: str
    payload: dict[str, Any]
    """Empty once the only account that it went to is deleted."""
    request_id: str
    """The request that submitted it."""
    routes: list[AdminRouteView]


class KindView(Model):
    """A kind of the catalogue."""

    name: str
    summary: str
    audience: Audience
    channels: list[Channel]
    mandatory: bool
    payload_schema: dict[str, Any]
    """JSON Schema (2020-12) of the payload."""


class Preference(Model):
    """Whether you are told of a kind by a channel."""

    kind: str
    channel: Channel
    enabled: bool


class PreferenceView(Preference):
    """A choice that you have."""

    summary: str
    mandatory: bool
    """Whether it cannot be switched off."""


class InboxQuery(Paging):
    """Which of your notifications to list."""

    unread: bool = False
    """Only those that you have not read."""


class NotificationQuery(Paging):
    """Which intents to list: those with a route that fits."""

    kind: str | None = None
    state: State | None = None
    channel: Channel | None = None
    account_id: UUID | None = None


class ReadCount(Model):
    """What was marked."""

    read: int
    """How many notifications were not read before."""


class TestIntent(Model):
    """An intent to submit as its plugin would."""

    kind: str
    account_id: UUID | None = None
    """The recipient, for kinds for players."""
    payload: dict[str, Any] | None = None
    """By default one made of the kind's examples."""
    idempotency_key: str | None = None
    """By default a fresh one."""


class AdminChannelView(Model):
    """The way to operators."""

    installed: bool
    enabled: bool
    """Whether it is switched on; false where it is not installed."""
    address_set: bool
    """Whether `BACKEND_NOTIFICATION_ADMIN_EMAIL` names somebody."""
    changed_at: Timestamp | None
    """When it was last switched."""


class AdminChannelSwitch(Model):
    """What to switch it to."""

    enabled: bool


def routes(inbox: Inbox, desk: NotificationAdmin) -> Sequence[Route]:
    """Return the plugin's routes."""
    return (*_inbox_routes(inbox), *_preference_routes(inbox), *_desk_routes(desk), *_channel_routes(desk))


def _inbox_routes(inbox: Inbox) -> Sequence[Route]:
    async def show(call: Call, query: InboxQuery) -> Page[OwnNotification]:
        rows, total = await inbox.list(call.user.account_id, query, unread=query.unread)
        return query.page_of([OwnNotification.of(row) for row in rows], total)

    async def read(call: Call, notification_id: UUID) -> None:
        await inbox.mark_read(call.user.account_id, notification_id)

    async def read_all(call: Call) -> ReadCount:
        return ReadCount(read=await inbox.mark_all_read(call.user.account_id))

    one, user, missing = f"{USER}/{{notification_id}}", Access.USER, ("404 not_found",)
    return (
        Route("GET", USER, show, "notification.inbox", "List what you were told, the newest first.", user),
        Route("POST", f"{one}/read", read, "notification.read", "Mark one as read.", user, errors=missing),
        Route("POST", f"{USER}/read", read_all, "notification.read_all", "Mark all as read.", user),
    )


def _preference_routes(inbox: Inbox) -> Sequence[Route]:
    async def show(call: Call, query: Paging) -> Page[PreferenceView]:
        found = [
            PreferenceView(
                kind=kind.name, channel=channel, enabled=enabled, summary=kind.summary, mandatory=kind.mandatory
            )
            for kind, channel, enabled in await inbox.preferences(call.user.account_id)
        ]
        return _sliced(found, query)

    async def choose(call: Call, body: Preference) -> PreferenceView:
        kind = await inbox.choose(call.user.account_id, body.kind, body.channel, enabled=body.enabled)
        return PreferenceView(**body.model_dump(), summary=kind.summary, mandatory=kind.mandatory)

    path, user = f"{USER}/preferences", Access.USER
    return (
        Route("GET", path, show, "notification.preferences", "List what you can switch off.", user),
        Route(
            "PUT",
            path,
            choose,
            "notification.choose",
            "Switch a kind and channel on or off.",
            user,
            errors=("409 notification_mandatory",),
        ),
    )


def _desk_routes(desk: NotificationAdmin) -> Sequence[Route]:
    async def search(query: NotificationQuery) -> Page[NotificationView]:
        chosen = {"kind": query.kind, "state": query.state, "channel": query.channel, "account": query.account_id}
        rows, total = await desk.list(query, **chosen)
        return query.page_of([NotificationView.of(row) for row in rows], total)

    async def dead(query: Paging) -> Page[NotificationView]:
        rows, total = await desk.list(query, state="dead_lettered")
        return query.page_of([NotificationView.of(row) for row in rows], total)

    async def show(notification_id: UUID) -> NotificationView:
        return NotificationView.of(await desk.show(notification_id))

    async def retry(route_id: UUID) -> NotificationView:
        return NotificationView.of(await desk.retry(route_id))

    async def kinds(query: Paging) -> Page[KindView]:
        found = [
            KindView(
                name=kind.name,
                summary=kind.summary,
                audience=kind.audience,
                channels=list(kind.channels),
                mandatory=kind.mandatory,
                payload_schema=kind.payload.model_json_schema(),
            )
            for kind in desk.kinds()
        ]
        return _sliced(found, query)

    async def test(call: Call, body: TestIntent) -> NotificationView:
        view = NotificationView.of(await desk.test(body.kind, body.account_id, body.payload, body.idempotency_key))
        call.target["notification_id"] = str(view.id)
        return view

    admin, missing = Access.ADMIN, "404 not_found"
    one, refused = f"{ADMIN}/{{notification_id}}", ("409 route_already_sent", "409 account_deleted")
    return (
        Route("GET", ADMIN, search, "notification.list", "List intents with their routes, the newest first.", admin),
        Route("GET", one, show, "notification.show", "Show an intent with its routes.", admin, errors=(missing,)),
        Route("GET", f"{ADMIN}/dead-letters", dead, "notification.dead_letters", "List what was given up.", admin),
        Route("GET", f"{ADMIN}/kinds", kinds, "notification.kinds", "Show the catalogue of kinds.", admin),
        Route("POST", f"{ADMIN}/test", test, "notification.test", "Submit an intent as its plugin would.", admin, 201),
        Route(
            "POST",
            f"{ADMIN}/routes/{{route_id}}/retry",
            retry,
            "notification.retry",
            "Deliver a route that was not delivered, now and with a fresh budget of attempts.",
            admin,
            errors=(missing, *refused),
        ),
    )


def _channel_routes(desk: NotificationAdmin) -> Sequence[Route]:
    async def show() -> AdminChannelView:
        return _channel(await desk.admin_channel())

    async def switch(body: AdminChannelSwitch) -> AdminChannelView:
        return _channel(await desk.switch_admin_channel(enabled=body.enabled))

    def _channel(state: AdminChannelState | None) -> AdminChannelView:
        return AdminChannelView(
            installed=state is not None,
            enabled=state is not None and state.enabled,
            address_set=desk.address_set,
            changed_at=None if state is None else state.changed_at,
        )

    path, admin, absent = f"{ADMIN}/admin-channel", Access.ADMIN, ("409 admin_channel_not_installed",)
    return (
        Route("GET", path, show, "notification.admin_channel", "Show the way to operators.", admin),
        Route("PUT", path, switch, "notification.switch_admin_channel", "Switch it on or off.", admin, errors=absent),
    )


def _sliced(found: Sequence[Any], query: Paging) -> Page[Any]:
    """Return one page of what is in memory."""
    first = (query.page - 1) * query.page_size
    return query.page_of(found[first : first + query.page_size], len(found))
