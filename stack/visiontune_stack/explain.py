"""Every setting of the stack and its programs, with value, source and meaning, for `visiontune config`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic.fields import FieldInfo
from pydantic_settings import TomlConfigSettingsSource

from visiontune_stack import programs
from visiontune_stack.home import Home
from visiontune_stack.programs import Program, S3Keys
from visiontune_stack.settings import StackSettings

SERVERS = ("storage", "dataset", "trainer", "gateway")
_SECRET_WORDS = ("SECRET", "PASSWORD", "TOKEN", "ACCESS_KEY", "API_KEY")
# Programs are run, not imported: a child process prints the names of a program's settings.
_LIST_SETTINGS = """
import importlib, json, sys
from visiontune_kit.settings import describe
module = importlib.import_module(f"visiontune_{sys.argv[1]}.settings")
rows = [(name, str(field.get_default(call_default_factory=True)), field.description or "")
        for name, field in describe(module.Settings)]
print(json.dumps(rows))
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of `visiontune config`."""

    # The environment variable that sets it.
    name: str
    # As text; secrets are masked.
    value: str
    # `environment`, `config.toml`, `stack` (wired by it) or `default`.
    source: str
    description: str


def settings_table(settings: StackSettings, environment: Mapping[str, str] | None = None) -> list[Setting]:
    """The stack's own settings first, then each program's that is installed."""
    shell = dict(os.environ if environment is None else environment)
    rows = list(_own(settings, shell))
    given = {**settings.environment, **shell}
    for program in programs.programs(programs.plan_of(settings, given, keys=lambda: S3Keys("-", "-"))):
        if program.name in SERVERS:
            rows.extend(_of_program(program, shell, settings.environment))
    return rows


def _own(settings: StackSettings, shell: Mapping[str, str]) -> Iterator[Setting]:
    written = TomlConfigSettingsSource(StackSettings, Home(settings.layout.root).config)()
    for name, field in StackSettings.model_fields.items():
        variable = f"VISIONTUNE_{name.upper()}"
        source = "environment" if variable in shell else "config.toml" if name in written else "default"
        yield Setting(variable, _shown(variable, getattr(settings, name)), source, _meaning(field))


def _of_program(
    program: Program, shell: Mapping[str, str], configured: Mapping[str, str]
) -> Iterator[Setting]:
    for name, default, description in _listed(program.name):
        common = f"VISIONTUNE_{name.removeprefix(f'VISIONTUNE_{program.name.upper()}_')}"
        layers = (
            ("stack", program.wiring),
            ("environment", shell),
            ("config.toml", configured),
            ("stack", program.defaults),
        )
        found = [(source, layer[key]) for source, layer in layers for key in (name, common) if key in layer]
        source, value = found[0] if found else ("default", default)
        yield Setting(name, _shown(name, value), source, description)


def _listed(program: str) -> list[tuple[str, str, str]]:
    """Name, default and description of each setting; empty when the program is not installed."""
    done = subprocess.run(
        [sys.executable, "-c", _LIST_SETTINGS, program], capture_output=True, text=True, check=False
    )
    return [] if done.returncode else [(row[0], row[1], row[2]) for row in json.loads(done.stdout)]


def _shown(name: str, value: object) -> str:
    text = "" if value is None else str(value)
    return "********" if text and any(word in name for word in _SECRET_WORDS) else text


def _meaning(field: FieldInfo) -> str:
    return field.description or ""
