"""Signing in by hand, as the first example for newcomers."""

from galaxy_kernel.api import DevExample

_POST = "curl -sw '\\n' {api}/api/v1/public/auth/%s \\\n  -H 'Content-Type: application/json'"
_PICK = """tee /dev/stderr | sed -n 's/.*"%s": *"\\([^"]*\\)".*/\\1/p'"""
"""A shell filter that shows an answer and extracts one text from it."""

_SIGN_IN = f"""\
CHALLENGE=$({_POST % "send-email-code"} -d '{{"email": "you@example.test"}}' \\
  | {_PICK % "challenge_id"})
CODE=$(curl -s '{{mail}}/api/code?to=you@example.test')
TOKEN=$({_POST % "confirm-email-code"} \\
  -d "{{\\"challenge_id\\": \\"$CHALLENGE\\", \\"code\\": \\"$CODE\\"}}" \\
  | {_PICK % "session_token"})
curl -sw '\\n' {{api}}/api/v1/user/account -H "Authorization: Bearer $TOKEN\""""

SIGN_IN = (DevExample("Sign in with the code that comes by mail ({mail} shows it), and see your account:", _SIGN_IN),)
"""What every client does first. It needs `curl` and `sed`."""
