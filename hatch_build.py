"""Compile ``softtape/_recorder.c`` where there is a C compiler; without one all is Python."""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags
from setuptools import Distribution, Extension

SOURCE = Path("src", "softtape", "_recorder.c")


def compiled(source: Path, folder: Path, aside: str) -> Path | None:
    """Compile the operators into a folder and return the file; None where that cannot be done."""
    free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED")  # which has no stable ABI
    if sys.implementation.name != "cpython" or free_threaded:
        return None
    name = "softtape._recorder"
    flags = ["-g0"] if os.name == "posix" else []  # no paths of this machine
    extension = Extension(
        name, [str(source)], extra_compile_args=flags, optional=True, py_limited_api=True
    )
    command = Distribution({"ext_modules": [extension]}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(folder), aside
    command.ensure_finalized()
    made = Path(command.get_ext_fullpath(name))
    made.unlink(missing_ok=True)  # of another version, perhaps
    command.run()  # a failure is a warning, for the extension is optional
    return made if made.exists() else None


class CompiledOperators(BuildHookInterface[Any]):
    """Puts the compiled operators into a wheel, or beside their source if that is installed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are gathered; one file serves each Python from 3.11 on."""
        self.aside = tempfile.TemporaryDirectory()
        root, editable = Path(self.root), version == "editable"
        folder = root / "src" if editable else Path(self.aside.name)
        made = compiled(root / SOURCE, folder, self.aside.name)
        if made is None:
            self.app.display_warning("Not compiled: recording will be in Python, and slower.")
            return
        own = (t for t in platform_tags() if not t.startswith(("manylinux", "musllinux")))
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{next(own)}"
        if not editable:
            build_data["force_include"][str(made)] = f"softtape/{made.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Leave nothing behind."""
        self.aside.cleanup()
