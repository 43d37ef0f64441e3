"""What `backend doctor` looks at: whether an operator can sign in."""

from collections.abc import Sequence
from functools import partial

from galaxy_admin import queries
from galaxy_admin.domain import AdminAccount, fold
from galaxy_admin.settings import AdminSettings
from galaxy_kernel.api import Context, DoctorCheck, Finding

_CREATE = "`backend admin create NAME` makes one"


def checks(context: Context[AdminSettings]) -> Sequence[DoctorCheck]:
    """Return the plugin's checks."""
    return (DoctorCheck("operators", partial(check_operators, context), needs="database"),)


async def check_operators(context: Context[AdminSettings]) -> Sequence[Finding]:
    """Check that there is an operator who can sign in, and that no useless password lies around."""
    async with context.database.reading() as connection:
        accounts = await queries.all_accounts(connection)
    return judge(accounts, context.settings)


def judge(accounts: Sequence[AdminAccount], settings: AdminSettings) -> list[Finding]:
    """Return the findings on these accounts."""
    if not accounts:
        return [_none(settings)]
    able = [account for account in accounts if account.disabled_at is None]
    if not able:
        told = "every operator's account is disabled: `backend admin reset-password NAME` enables one"
        return [Finding("operators", "failed", told)]
    found = []
    waiting = sorted(account.username for account in able if account.must_rotate)
    if len(waiting) == len(able):
        told = f"{', '.join(waiting)} must change the first password before any other route opens: sign in and do so"
        found.append(Finding("operators", "warning", told))
    named = None if settings.bootstrap_user is None else fold(settings.bootstrap_user)
    if named is not None and not any(each.username_folded == named and each.must_rotate for each in accounts):
        told = (
            "BACKEND_ADMIN_BOOTSTRAP_PASSWORD opens nothing any more: "
            "take it and BACKEND_ADMIN_BOOTSTRAP_USER out of the settings"
        )
        found.append(Finding("operators", "warning", told))
    return found or [Finding("operators", "ok", f"{len(able)} can sign in")]


def _none(settings: AdminSettings) -> Finding:
    if settings.bootstrap_user is not None:
        told = f"the next start creates {settings.bootstrap_user} (BACKEND_ADMIN_BOOTSTRAP_USER)"
        return Finding("operators", "ok", told)
    told = f"nobody can operate this deployment: {_CREATE}, or set BACKEND_ADMIN_BOOTSTRAP_USER and …_PASSWORD"
    return Finding("operators", "failed", told)
