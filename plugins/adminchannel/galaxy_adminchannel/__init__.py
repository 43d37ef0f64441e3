"""The admin channel: notifications for operators by e-mail, with a switch (SPEC N-5).

A distribution of its own, so that a deployment has it or not. Which kinds there are and where they go is for the
notification plugin to say, which keeps every intent, whatever becomes of it here.
"""
