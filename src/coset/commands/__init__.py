"""What the `coset` command does, a function a command; its help is the docstring.

Heavy libraries are imported where they are used, so that help answers at once.
"""

from coset.commands.asking import complete, compose, condition, evaluate, sample
from coset.commands.data import data_sets, embed, inspect
from coset.commands.exploring import explore
from coset.commands.running import demo, plot, recipes, reproduce, train
from coset.commands.sharing import push

COMMANDS = {
    command.__name__: command
    for command in (
        demo,
        inspect,
        train,
        recipes,
        sample,
        condition,
        compose,
        complete,
        embed,
        evaluate,
        explore,
        plot,
        reproduce,
        push,
    )
} | {"data": data_sets}
