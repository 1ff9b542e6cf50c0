# `python -m tools COMMAND`: everything Ferry does on a PC.
import click

from tools.bench.cli import bench
from tools.board.cli import COMMANDS
from tools.dashboard.cli import dashboard
from tools.fleet.cli import fleet
from tools.memory import memory
from tools.publish.cli import publish
from tools.sim.cli import sim
from tools.soak.cli import soak
from tools.spread import spread
from tools.unbatch.cli import unbatch
from tools.wear import wear
from tools.week import week


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main():
    """Ferry on a PC: the simulated module and its tools.

    `make run` and `make test` set everything up and call these.
    """


for command in COMMANDS:
    main.add_command(command)
main.add_command(dashboard)
main.add_command(fleet)
main.add_command(bench)
main.add_command(memory)
main.add_command(publish)
main.add_command(sim)
main.add_command(soak)
main.add_command(spread)
main.add_command(unbatch)
main.add_command(wear)
main.add_command(week)

if __name__ == "__main__":
    main(prog_name="python -m tools")
