"""The plugin's HTTP operations (SPEC N-5 to N-7)."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from galaxy_contracts.notification import AdminChannelState, Audience, Channel
from galaxy_kernel.api import Access, Call, Described, Model, Page, Paging, Route, Timestamp
from galaxy_notification.catalogue import MAX_KEY
from galaxy_notification.domain import State
from galaxy_notification.service import Inbox, NotificationAdmin

USER, ADMIN = "/api/v1/user/notifications", "/api/v1/admin/notifications"

_KEY = Described(minLength=1, maxLength=MAX_KEY, pattern="^[ -~]*$")
"""What the catalogue demands of a key, for the description."""


class RouteView(Model):
    """One channel to one recipient."""

    id: UUID
    channel: Channel
    state: State
    reason: str | None
    """Why it was skipped or dead-lettered, or why the last attempt failed."""
    attempts: int
    next_attempt_at: Timestamp | None
    """When it is due; None once it ended."""
    finished_at: Timestamp | None


class AdminRouteView(RouteView):
    """A route, with its recipient."""

    account_id: UUID | None
    """None: operators."""


class OwnNotification(Model):
    """A notification to you."""

    id: UUID
    kind: str
    created_at: Timestamp
    payload: dict[str, Any]
    read_at: Timestamp | None
    routes: list[RouteView]
    """Its routes to you, one for each channel."""


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
    """Whether notifications of a kind reach you by a channel."""

    kind: str
    channel: Channel
    enabled: bool


class PreferenceView(Preference):
    """A preference."""

    summary: str
    mandatory: bool
    """Whether it cannot be switched off."""


class InboxQuery(Paging):
    """Filters of your notifications."""

    unread: bool = False
    """Only unread ones."""


class NotificationQuery(Paging):
    """Filters of intents: those with a matching route."""

    kind: str | None = None
    state: State | None = None
    channel: Channel | None = None
    account_id: UUID | None = None


class ReadCount(Model):
    """The result of marking as read."""

    read: int
    """The number of notifications that were unread before."""


class TestIntent(Model):
    """A test intent."""

    kind: str
    account_id: UUID | None = None
    """The recipient, for kinds for players."""
    payload: dict[str, Any] | None = None
    """By default, one made of the kind's examples."""
    idempotency_key: Annotated[str, _KEY] | None = None
    """By default, a fresh one."""


class AdminChannelView(Model):
    """The admin channel."""

    installed: bool
    enabled: bool
    """Whether it is switched on; false where it is not installed."""
    address_set: bool
    """Whether `BACKEND_NOTIFICATION_ADMIN_EMAIL` is set."""
    changed_at: Timestamp | None
    """When it was last switched."""


class AdminChannelSwitch(Model):
    """The new state of the admin channel."""

    enabled: bool


def routes(inbox: Inbox, service: NotificationAdmin) -> Sequence[Route]:
    """Return the plugin's routes."""
    return (*_inbox_routes(inbox), *_preference_routes(inbox), *_admin_routes(service), *_channel_routes(service))


def _inbox_routes(inbox: Inbox) -> Sequence[Route]:
    async def show(call: Call, query: InboxQuery) -> Page[OwnNotification]:
        """Each with its routes: the channels by which it goes to you, and how far it came."""
        rows, total = await inbox.list(call.user.account_id, query, unread=query.unread)
        return query.page_of([OwnNotification.of(row) for row in rows], total)

    async def read(call: Call, notification_id: UUID) -> None:
        """Again changes nothing."""
        await inbox.mark_read(call.user.account_id, notification_id)

    async def read_all(call: Call) -> ReadCount:
        """Those that exist now; the answer says how many were unread."""
        return ReadCount(read=await inbox.mark_all_read(call.user.account_id))

    one, user, missing = f"{USER}/{{notification_id}}", Access.USER, ("404 not_found",)
    return (
        Route("GET", USER, show, "notification.inbox", "List your notifications, the newest first.", user),
        Route("POST", f"{one}/read", read, "notification.read", "Mark a notification as read.", user, errors=missing),
        Route("POST", f"{USER}/read", read_all, "notification.read_all", "Mark all notifications as read.", user),
    )


def _preference_routes(inbox: Inbox) -> Sequence[Route]:
    async def show(call: Call, query: Paging) -> Page[PreferenceView]:
        """Every kind for players and channel, with the choice in force."""
        found = [
            PreferenceView(
                kind=kind.name, channel=channel, enabled=enabled, summary=kind.summary, mandatory=kind.mandatory
            )
            for kind, channel, enabled in await inbox.preferences(call.user.account_id)
        ]
        return _sliced(found, query)

    async def choose(call: Call, body: Preference) -> PreferenceView:
        """For later deliveries of a kind by a channel. Mandatory kinds cannot be switched off."""
        kind = await inbox.choose(call.user.account_id, body.kind, body.channel, enabled=body.enabled)
        return PreferenceView(**body.model_dump(), summary=kind.summary, mandatory=kind.mandatory)

    path, user = f"{USER}/preferences", Access.USER
    return (
        Route("GET", path, show, "notification.preferences", "List your notification preferences.", user),
        Route(
            "PUT",
            path,
            choose,
            "notification.choose",
            "Set a notification preference.",
            user,
            errors=("409 notification_mandatory",),
        ),
    )


def _admin_routes(service: NotificationAdmin) -> Sequence[Route]:
    async def search(query: NotificationQuery) -> Page[NotificationView]:
        """Filters choose the intents that have a matching route. This read is recorded in the audit log."""
        chosen = {"kind": query.kind, "state": query.state, "channel": query.channel, "account": query.account_id}
        rows, total = await service.list(query, **chosen)
        return query.page_of([NotificationView.of(row) for row in rows], total)

    async def dead(query: Paging) -> Page[NotificationView]:
        """Intents with a route that is not attempted any more, the newest first. This read is recorded in the audit
        log.
        """
        rows, total = await service.list(query, state="dead_lettered")
        return query.page_of([NotificationView.of(row) for row in rows], total)

    async def show(notification_id: UUID) -> NotificationView:
        """Channels, recipients, states and reasons. This read is recorded in the audit log."""
        return NotificationView.of(await service.show(notification_id))

    async def retry(route_id: UUID) -> NotificationView:
        """From any state but `sent`; not where the recipient's account was deleted."""
        return NotificationView.of(await service.retry(route_id))

    async def kinds(query: Paging) -> Page[KindView]:
        """The catalogue that the installed plugins register, with the schemas of the payloads."""
        found = [
            KindView(
                name=kind.name,
                summary=kind.summary,
                audience=kind.audience,
                channels=list(kind.channels),
                mandatory=kind.mandatory,
                payload_schema=kind.payload.model_json_schema(),
            )
            for kind in service.kinds()
        ]
        return _sliced(found, query)

    async def test(call: Call, body: TestIntent) -> NotificationView:
        """Submits an intent as its plugin would, so that a channel can be seen to work. A key that was used before
        answers with that intent.
        """
        view = NotificationView.of(await service.test(body.kind, body.account_id, body.payload, body.idempotency_key))
        call.target["notification_id"] = str(view.id)
        return view

    admin, missing = Access.ADMIN, "404 not_found"
    one, refused = f"{ADMIN}/{{notification_id}}", ("409 route_already_sent", "409 account_deleted")
    return (
        Route(
            "GET",
            ADMIN,
            search,
            "notification.list",
            "List intents with their routes, the newest first.",
            admin,
            personal=True,
        ),
        Route(
            "GET",
            one,
            show,
            "notification.show",
            "Show an intent with its routes.",
            admin,
            errors=(missing,),
            personal=True,
        ),
        Route(
            "GET",
            f"{ADMIN}/dead-letters",
            dead,
            "notification.dead_letters",
            "List dead letters.",
            admin,
            personal=True,
        ),
        Route("GET", f"{ADMIN}/kinds", kinds, "notification.kinds", "List notification kinds.", admin),
        Route("POST", f"{ADMIN}/test", test, "notification.test", "Submit a test notification.", admin, 201),
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


def _channel_routes(service: NotificationAdmin) -> Sequence[Route]:
    async def show() -> AdminChannelView:
        """Whether the plugin is installed, the channel switched on, and an address set."""
        return _channel(await service.admin_channel())

    async def switch(call: Call, body: AdminChannelSwitch) -> AdminChannelView:
        """While it is off, notifications to operators are kept, and their routes skipped."""
        call.target["enabled"] = str(body.enabled).lower()
        return _channel(await service.switch_admin_channel(enabled=body.enabled))

    def _channel(state: AdminChannelState | None) -> AdminChannelView:
        return AdminChannelView(
            installed=state is not None,
            enabled=state is not None and state.enabled,
            address_set=service.address_set,
            changed_at=None if state is None else state.changed_at,
        )

    path, admin, absent = f"{ADMIN}/admin-channel", Access.ADMIN, ("409 admin_channel_not_installed",)
    return (
        Route("GET", path, show, "notification.admin_channel", "Show the admin channel.", admin),
        Route(
            "PUT", path, switch, "notification.switch_admin_channel", "Switch the admin channel.", admin, errors=absent
        ),
    )


def _sliced(found: Sequence[Any], query: Paging) -> Page[Any]:
    """Return one page of a list in memory."""
    first = (query.page - 1) * query.page_size
    return query.page_of(found[first : first + query.page_size], len(found))
