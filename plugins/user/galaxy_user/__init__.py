"""Accounts of players: profile, block and deletion (SPEC U-1 to U-3).

Whether somebody may act is decided from memory, by the account every replica holds; who they are is the auth plugin's
concern, which hears of blocks and deletions as facts.
"""
