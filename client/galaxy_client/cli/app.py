"""The commands by name."""

import typer

from galaxy_client.cli import games, people, play, turns, watch

app = typer.Typer(
    help="Play games of Galaxy Backend from a terminal. Begin with: galaxy sign-in YOU@EXAMPLE.ORG --server URL",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("sign-in")(people.sign_in)
app.command("sign-out")(people.sign_out)
app.command("games")(games.games)
app.command("new")(games.new)
app.command("invite")(games.invite)
app.command("join")(games.join)
app.command("start")(games.start)
app.command("orders")(turns.orders)
app.command("report")(turns.report)
app.command("watch")(watch.watch)
app.command("play")(play.play)
