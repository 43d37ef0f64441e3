"""Notifications to players and operators, each delivered, once, by e-mail and live push (SPEC N-1 to N-7).

Plugins register kinds and submit intents in their own transactions; a worker delivers each of an intent's routes.
"""
