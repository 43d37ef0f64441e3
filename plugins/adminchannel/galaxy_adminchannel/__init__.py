"""The admin channel: notifications for operators by e-mail, with a switch (SPEC N-5).

A distribution of its own, so that a deployment has it or not. The kinds and the address belong to the notification
plugin, which keeps every intent, whatever the switch.
"""
