"""Services that route between models of known quality, and what happened to their requests."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from live import until
from roadworthy.app import Project
from roadworthy.bounds.in_force import Within
from roadworthy.serve.cheaper import Cheaper
from roadworthy.serve.opened import OpenRelease
from roadworthy.serve.request import Plan, Reply, Request
from roadworthy.store.records import read_record
from roadworthy.store.switchboard import move_pointer
from roadworthy.types import Call, Caller, Key, Record

HEAD = """
name = "{name}"
kind = "{kind}"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 2000 }}
cost = {{ per_request_usd = 0.01, per_day_usd = 20 }}
"""
CALLER = Caller(Key("k_1", "test", frozenset({"answer"}), team="ops"), "ada", tags=("vip",))


def service(
    routing: str, models: dict[str, str], *, kind: str = "predict", name: str = "desk"
) -> str:
    """Return a service whose models are rules (CEL), the cheapest first."""
    text = HEAD.format(name=name, kind=kind) + routing
    for model, rule in models.items():
        text += f'\n[[models]]\nname = "{model}"\nprovider = "rule"\nmodel = "{rule}"\n'
    return text


def opened(project: Project, name: str = "desk") -> OpenRelease:
    return project.serving.engine.releases[name]


def cheaper(project: Project, name: str = "desk") -> Cheaper:
    router = opened(project, name).router
    assert isinstance(router, Cheaper)
    return router


def certify(project: Project, threshold: float, name: str = "desk", **more: Any) -> Within:
    """Let a threshold be in force, as what certifies does."""
    router = cheaper(project, name)
    within = Within(
        certificate="ct_1",
        threshold=threshold,
        release=opened(project, name).id,
        scorer=router.scorer,
        audit_share=0.05,
        pairs_share=0.2,
    )
    within = msgspec.structs.replace(within, **more)
    put_in_force(project, within, name)
    return within


def put_in_force(project: Project, within: Within, name: str = "desk") -> None:
    """Point at what holds; what was learned by hand stays as it is."""
    router, learned = cheaper(project, name), cheaper(project, name).learned
    project.serving.jobs._jobs.pop("pairs", None)  # it would say what is certified indeed
    with project.state.begin() as connection:
        move_pointer(connection, f"route:{name}", msgspec.json.encode(within).decode())
    project.run(project.serving.follow()).result()
    if within.release == opened(project, name).id:  # what is of another is not taken over
        until(lambda: router.within == within, 20)
    router.learned = learned


def ask(project: Project, *, name: str = "desk", **values: Any) -> tuple[Reply, Record]:
    who = {key: values.pop(key) for key in ("user", "tags", "role") if key in values}
    reply = project.service(name).answer(values, **who)
    project.serving.writer.drain()
    return reply, read_record(project.state, reply.request_id)


def stream(project: Project, text: str, name: str = "desk") -> tuple[list[bytes], Record]:
    """Chat as a client that streams, and return the events."""
    key = project.serving.engine.keyring  # opened with the project
    assert key is not None
    messages = [{"role": "user", "content": text}]
    body = {"messages": msgspec.Raw(msgspec.json.encode(messages)), "stream": msgspec.Raw(b"true")}

    async def all_of() -> tuple[list[bytes], str]:
        from roadworthy.serve.identify import LOCAL_KEY

        asked = Request(service=name, key=LOCAL_KEY, protocol="openai", body=body, is_stream=True)
        reply = await project.serving.engine.stream(asked)
        assert reply.events is not None, reply
        return [reply.first, *[event async for event in reply.events]], reply.request_id

    events, id = project.run(all_of()).result()
    project.serving.writer.drain()
    return events, read_record(project.state, id)


def call_of(text: str = "hello", seconds: float = 2.0, **values: Any) -> Call:
    """Return a call that asks `text`."""
    messages = msgspec.json.encode([{"role": "user", "content": text}])
    return Call(
        input={"text": text, **values},
        caller=CALLER,
        deadline=time.monotonic() + seconds,
        body={"messages": msgspec.Raw(messages)},
    )


def plan_of(release: OpenRelease, number: int = 1) -> Plan:
    request = Request(service="desk")
    return Plan(
        request=request,
        id=f"rq_{number}",
        at_us=number,
        caller=CALLER,
        release=release,
        marked_ns=0,
    )
