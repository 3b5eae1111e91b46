"""Tells the server's package where its client comes from.

The command line of the server speaks through `workq_client`, which is a package of its own: so its
files have one owner, whether both are installed, or one of them, from wherever. In a clone the
client is the one beside it. A package made for others asks for the client by name: with
`WORKQ_RELEASE=1` in the environment, or where no client is beside it.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ClientDependency(MetadataHookInterface):
    """Adds the client to what the server depends on."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Complete the metadata of pyproject.toml.

        Args:
            metadata: the table `project`, which has `requirements` in the hook's own.
        """
        beside = Path(self.root, "clients", "python")
        client = (
            f"workq-client @ {beside.as_uri()}"
            if (beside / "pyproject.toml").exists() and not os.environ.get("WORKQ_RELEASE")
            else f"workq-client=={metadata['version']}"
        )
        metadata["dependencies"] = [*self.config["dependencies"], client]
