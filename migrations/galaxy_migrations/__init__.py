"""Schema migrations for plugins that come and go: a branch and a version table each, one runner for all.

`branch` and `conventions` describe a plugin's part, `runner` applies it (`migrate`, `offline_sql`), `states` inspects
(`check`, `orphans`), `removal` drops (`purge`), `comparison` tests (`drift`), `author` drafts (`new_revision`).
"""
