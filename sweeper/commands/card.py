"""``sweeper card``: what a model says of itself."""

from __future__ import annotations

import argparse
from typing import Any

from sweeper.commands.arguments import add_json, add_plugins, check_folder_of, command, path, print_json
from sweeper.errors import EXIT_DONE


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "card",
        _card,
        "show what a model was made from, how good it is, what it promises and what it takes for its own",
        "sweeper card best.sweeper --html best.html",
    )
    parser.add_argument("model", type=path, metavar="MODEL", help="file that sweeper export wrote")
    parser.add_argument("--html", type=path, metavar="FILE", help="write the card as a page instead")
    add_json(parser)
    add_plugins(parser)


def _card(args: argparse.Namespace) -> int:
    from sweeper.sorter.card import card_text, write_card
    from sweeper.sorter.modelfile import load_outline

    check_folder_of("--html", args.html)
    model = load_outline(args.model)
    if args.html is not None:
        write_card(model, args.html)
        print(f"card: {args.html}")
    elif args.json:
        print_json({"id": model.id, "name": model.name, **model.card})
    else:
        print(card_text(model))
    return EXIT_DONE
