"""Signing in by hand, as the first example for newcomers."""

from galaxy_kernel.api import DevExample

_POST = "curl -sw '\\n' {api}/api/v1/public/auth/%s \\\n  -H 'Content-Type: application/json'"
_PICK = """tee /dev/stderr | sed -n 's/.*"%s": *"\\([^"]*\\)".*/\\1/p'"""
"""A shell filter that shows an answer and extracts one text from it."""

_ASK = f"""\
CHALLENGE=$({_POST % "send-email-code"} -d '{{"email": "you@example.test"}}' \\
  | {_PICK % "challenge_id"})"""

_READ = """\
CODE=$(curl -s '{mail}/api/code?to=you@example.test'); echo "$CODE\""""

_CONFIRM = f"""\
TOKEN=$({_POST % "confirm-email-code"} \\
  -d "{{\\"challenge_id\\": \\"$CHALLENGE\\", \\"code\\": \\"$CODE\\"}}" \\
  | {_PICK % "session_token"})
curl -sw '\\n' {{api}}/api/v1/user/account -H "Authorization: Bearer $TOKEN\""""

SIGN_IN = (
    DevExample("Ask for a sign-in code:", _ASK),
    DevExample("Read it at {mail}, or here:", _READ),
    DevExample("Sign in with it, and see your account:", _CONFIRM),
)
"""The three steps of a client. They need `curl` and `sed`."""
