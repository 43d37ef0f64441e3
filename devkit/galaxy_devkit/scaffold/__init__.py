"""`backend new-plugin`: a plugin that works, to begin with. `docs/writing-a-plugin.md` shows and explains its files."""
