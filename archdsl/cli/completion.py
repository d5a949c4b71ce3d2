"""`archdsl completion`: what a shell needs to complete commands, options and the names of networks.

    eval "$(archdsl completion bash)"                        # in ~/.bashrc
    archdsl completion zsh > "${fpath[1]}/_archdsl"
    archdsl completion fish > ~/.config/fish/completions/archdsl.fish

The script is made of what the commands say of themselves, so it knows what they know.
"""

from __future__ import annotations

from archdsl.cli.status import YES
from archdsl.core.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Action, ArgumentParser, Namespace
    from collections.abc import Sequence

NETWORKS, FILES, CODES, ANYTHING = "networks", "files", "codes", ""
MEANT = {  # what is completed, by what a command calls it
    "A": NETWORKS,
    "B": NETWORKS,
    "CODE": CODES,
    "DATA": FILES,
    "FILE": FILES,
    "FILE|NAME": NETWORKS,
    "OUT": FILES,
    "RUN": FILES,
    "pattern": NETWORKS,
}


class Option(Record):
    """An option: its names, what it does, and what its value is, by `MEANT` or one of some words; a flag has none."""

    names: tuple[str, ...]
    help: str
    value: str
    words: tuple[str, ...]
    flag: bool


class Command(Record):
    """A command: what it does, its options, and what its operands are."""

    name: str
    help: str
    options: tuple[Option, ...]
    operand: str
    words: tuple[str, ...]


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="whose script is printed")


def run(options: Namespace) -> int:
    """Print the script."""
    print(SCRIPTS[options.shell](commands()), end="")
    return YES


def commands() -> list[Command]:
    """Return all commands as their parsers have them."""
    from archdsl.cli.main import COMMANDS, parsers

    _, known = parsers(*COMMANDS)
    return [_command(name, COMMANDS[name], parser) for name, parser in known.items()]


def _command(name: str, help: str, parser: ArgumentParser) -> Command:
    options = tuple([_option(action) for action in parser._actions if action.option_strings])
    operands = [action for action in parser._actions if not action.option_strings]
    value = _value(operands[0]) if operands else ANYTHING
    return Command(name, help, options, value, _words(operands[0], value) if operands else ())


def _option(action: Action) -> Option:
    value = _value(action)
    return Option(tuple(action.option_strings), action.help or "", value, _words(action, value), action.nargs == 0)


def _value(action: Action) -> str:
    return MEANT.get(str(action.metavar or action.dest), ANYTHING)


def _words(action: Action, value: str) -> tuple[str, ...]:
    """Return the words that a value is one of, or that are proposed beside files."""
    if value == NETWORKS:
        from archdsl.report.gallery import entries

        return tuple([entry.name for entry in entries()])
    if value == CODES:
        from archdsl.diagnostics.errors import CATALOGUE

        return tuple(CATALOGUE)
    return tuple(map(str, action.choices or ()))


# -------------------------------------------------------------------------------------------------- bash
BASH = """\
# Completion of archdsl for bash: eval "$(archdsl completion bash)"
_archdsl() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    if [[ $word == = ]]; then  # bash takes `--format=json` for three words
        word=
    elif [[ $before == = ]]; then
        before=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    local IFS=$'\\n' words= files=
    local networks={networks}
    if (( COMP_CWORD == 1 )); then
        words={commands}
    else
        case ${{COMP_WORDS[1]}}:$before in
{values}
        *)
            case ${{COMP_WORDS[1]}}:$word in
{operands}
            esac
            ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    if [[ $files == arch ]]; then
        COMPREPLY+=($(compgen -f -X '!*.arch' -- "$word") $(compgen -d -- "$word"))
    elif [[ $files ]]; then
        COMPREPLY+=($(compgen -f -- "$word"))
    fi
}}
complete -o filenames -F _archdsl archdsl
"""


def bash(known: Sequence[Command]) -> str:
    """Return the script for bash."""
    values, operands = [], []
    for command in known:
        free = []
        for option in [option for option in command.options if not option.flag]:
            places = [f"{command.name}:{name}" for name in option.names]
            if option.value or option.words:
                values.append(f"        {'|'.join(places)}) {_bash(option.value, option.words)} ;;")
            else:
                free += places
        values += [f"        {'|'.join(free)}) ;;"] if free else []
        names = [name for option in command.options for name in option.names]
        operands.append(f"            {command.name}:-*) words={_lines(names)} ;;")
        operands.append(f"            {command.name}:*) {_bash(command.operand, command.words)} ;;")
    return BASH.format(
        networks=_lines(_networks(known)),
        commands=_lines([*[command.name for command in known], "--version", "--help"]),
        values="\n".join(values),
        operands="\n".join(operands),
    )


def _networks(known: Sequence[Command]) -> tuple[str, ...]:
    """Return the names of networks, which a script has once."""
    return next((command.words for command in known if command.operand == NETWORKS), ())


def _bash(value: str, words: Sequence[str]) -> str:
    """Return the assignments that say what is completed."""
    if value == NETWORKS:
        return "words=$networks files=arch"
    return "files=any" if value == FILES else f"words={_lines(words)}" if words else ""


def _lines(words: Sequence[str]) -> str:
    """Return words as a text of the shell, one a line."""
    return "$'" + "\\n".join(words) + "'"


# -------------------------------------------------------------------------------------------------- zsh
ZSH = """\
#compdef archdsl
# Completion of archdsl for zsh: archdsl completion zsh > "${{fpath[1]}}/_archdsl"
_archdsl_networks() {{
    local -a networks=({networks})
    compadd -a networks
    _files -g '*.arch'
}}

_archdsl() {{
    local -a commands=(
{commands}
    )
    if (( CURRENT == 2 )); then
        _describe -t commands command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
{cases}
    esac
}}

if [[ $funcstack[1] == _archdsl ]]; then
    _archdsl "$@"
else
    compdef _archdsl archdsl
fi
"""


def zsh(known: Sequence[Command]) -> str:
    """Return the script for zsh."""
    heads, cases = [], []
    for command in known:
        heads.append(f"        {_quoted(f'{command.name}:{command.help}')}")
        specs = [_zsh(name, option) for option in command.options for name in option.names]
        operand = _zsh_action(command.operand, command.words)
        lines = [*specs, *([_quoted(f"*{operand}")] if operand else [])]
        cases.append(f"    {command.name})\n" + " \\\n            ".join(["        _arguments", *lines]) + " ;;")
    return ZSH.format(networks=" ".join(_networks(known)), commands="\n".join(heads), cases="\n".join(cases))


def _zsh(name: str, option: Option) -> str:
    """Return what `_arguments` has to know of an option, which may be given several times."""
    said = option.help.replace("[", "(").replace("]", ")").replace(":", "\\:")
    value = "" if option.flag else _zsh_action(option.value, option.words) or ": :"
    return _quoted(f"*{name}[{said}]{value}")


def _zsh_action(value: str, words: Sequence[str]) -> str:
    """Return how `_arguments` completes a value: what it is, and the function or the words."""
    if value == NETWORKS:
        return ":network:_archdsl_networks"
    if value == FILES:
        return ":file:_files"
    return f":value:({' '.join(words)})" if words else ""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# -------------------------------------------------------------------------------------------------- fish
def fish(known: Sequence[Command]) -> str:
    """Return the script for fish."""
    lines = ["# Completion of archdsl for fish: archdsl completion fish > ~/.config/fish/completions/archdsl.fish"]
    lines += ["complete -c archdsl -f"]
    lines += ["complete -c archdsl -n __fish_use_subcommand -l version -d 'print the version'"]
    for command in known:
        lines.append(f"complete -c archdsl -n __fish_use_subcommand -a {command.name} -d {_quoted(command.help)}")
        here = f"complete -c archdsl -n '__fish_seen_subcommand_from {command.name}'"
        for option in command.options:
            names = " ".join([f"-{'l' if name[1] == '-' else 's'} {name.lstrip('-')}" for name in option.names])
            value = "" if option.flag else f"{_fish(option.value, option.words) or ' -x'}"
            lines.append(f"{here} {names}{value} -d {_quoted(option.help)}")
        operands = _fish(command.operand, command.words)
        lines += [f"{here}{operands}"] if operands else []
    return "\n".join(lines) + "\n"


def _fish(value: str, words: Sequence[str]) -> str:
    """Return what completes a value: files, words, or both."""
    if value == FILES:
        return " -r -F"
    files = ' (__fish_complete_suffix .arch | string match -e -r "(\\.arch|/)(\\t|\\$)")' if value == NETWORKS else ""
    return f" -x -a '{' '.join(words)}{files}'" if words else ""


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}
