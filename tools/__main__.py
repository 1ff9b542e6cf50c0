# `python -m tools COMMAND`: everything Ferry does on a PC.
import click

from tools.memory import memory
from tools.publish.cli import publish
from tools.sim.cli import sim
from tools.unbatch.cli import unbatch
from tools.wear import wear


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main():
    """Ferry on a PC: the simulated module and its tools.

    `make run` and `make test` set everything up and call these.
    """


main.add_command(memory)
main.add_command(publish)
main.add_command(sim)
main.add_command(unbatch)
main.add_command(wear)

if __name__ == "__main__":
    main(prog_name="python -m tools")
