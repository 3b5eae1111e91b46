"""Where a server is: the step of its life in which it calls the disk."""

from __future__ import annotations

from typing import Any

_ROTATION = {
    "create": "rotate: create",
    "preallocate": "rotate: preallocate",
    "write": "rotate: header",
    "sync": "rotate: sync",
    "rename": "rotate: rename",
    "sync_names": "rotate: sync names",
}


def point_of(world: Any, call: str, name: str) -> str:
    """The point, of those in `plan.POINTS`, at which the disk is called; empty for none."""
    step = world.step_name
    if world.ring is None:
        return _of_start(world, call, name)
    if world.in_child:
        return f"compaction: {call}" if call != "read" else ""
    if step == "step":  # of the compaction: what comes after its child
        return f"publish: {call.replace('_', ' ')}" if call != "read" else ""
    if step == "_let_go":
        return "shutdown: let go"
    if world.ring._closing:
        return "shutdown: last frame"
    if step == "_seal":
        return f"seal: {call}"
    if step == "<lambda>":
        return _ROTATION.get(call, "")
    if world.stopping:
        return "shutdown: drain"
    return {"write": "append", "sync": "sync"}.get(call, "")


def _of_start(world: Any, call: str, name: str) -> str:
    if call == "read":
        return "start: read"
    if world.opening:
        return "start: first segment"
    return "start: cut" if ".cut" in name else "start: settle"
