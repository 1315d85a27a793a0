"""The items of a Responses call as the messages of a chat."""

from __future__ import annotations

from typing import Any

from ..errors import ContractViolation

Item = dict[str, Any]
Message = dict[str, Any]

_TEXTS = frozenset({"input_text", "output_text", "text"})
_ROLES = frozenset({"user", "assistant", "system", "developer"})


def messages_of(instructions: str | None, given: str | list[Item]) -> list[Message]:
    """Return the messages that instructions and input are.

    Calls of tools that follow each other are one message of the assistant, with what it said before
    them. Reasoning is left out: a chat has no place for it.

    Raises:
        ContractViolation: An item is none that a chat can hold.
    """
    messages: list[Message] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    for place, item in enumerate(given):
        _add(messages, item, f"input[{place}]")
    return messages


def _add(messages: list[Message], item: Item, where: str) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        messages.append(_message(item, where))
    elif kind == "function_call":
        call = {
            "id": _text(item, "call_id", where),
            "type": "function",
            "function": {
                "name": _text(item, "name", where),
                "arguments": _text(item, "arguments", where),
            },
        }
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": None})
        messages[-1].setdefault("tool_calls", []).append(call)
    elif kind == "function_call_output":
        output = item.get("output", "")
        content = output if isinstance(output, str) else _parts(output, f"{where}.output")
        call_id = _text(item, "call_id", where)
        messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
    elif kind != "reasoning":
        raise _unknown(where, "type", kind)


def _message(item: Item, where: str) -> Message:
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise _unknown(where, "role", role)
    content = item.get("content")
    if not isinstance(content, str):
        content = _parts(content, f"{where}.content")
    return {"role": role, "content": content}


def _parts(content: Any, where: str) -> list[Item] | str:
    """Return the parts of a content; text alone is one text, which every upstream takes."""
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise ContractViolation(f"`{where}`: expected a text or a list of parts", param="input")
    if all(part.get("type") in _TEXTS for part in content):
        return "\n".join(_text(part, "text", where) for part in content)
    return [_part(part, f"{where}[{place}]") for place, part in enumerate(content)]


def _part(part: Item, where: str) -> Item:
    kind = part.get("type")
    if kind in _TEXTS:
        return {"type": "text", "text": _text(part, "text", where)}
    if kind == "refusal":
        return {"type": "refusal", "refusal": _text(part, "refusal", where)}
    if kind == "input_image":
        image = {"url": _text(part, "image_url", where)}
        if part.get("detail"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file":
        names = ("file_data", "file_id", "filename")
        return {"type": "file", "file": {n: part[n] for n in names if part.get(n) is not None}}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    raise _unknown(where, "type", kind)


def _text(item: Item, name: str, where: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise ContractViolation(f"`{where}.{name}`: expected a text", param="input")
    return value


def _unknown(where: str, name: str, got: Any) -> ContractViolation:
    shown = f"`{got:.40}`" if isinstance(got, str) else "none"
    problem = f"`{where}.{name}`: expected one that a chat can hold, got {shown}"
    return ContractViolation(problem, param="input")
