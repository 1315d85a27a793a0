"""What each field of a record and of its parts holds, with its unit: docs/reference/records.md."""

from __future__ import annotations

RECORD = {
    "id": "The request's id: `rq_` and a number that sorts by time.",
    "at_us": "When it began, in Unix microseconds of the project's clock, UTC.",
    "service": "Which service was asked.",
    "kind": "The kind of that service.",
    "disposition": "How it ended.",
    "release": "The release that served it.",
    "arm": "In which role the release answered; `champion` is all there is today.",
    "canary": "Reserved: the canary it belonged to.",
    "propensity": "Reserved: the chance (0-1) with which its arm was drawn.",
    "key": "Id of the key that asked; `local` for a call in the same process.",
    "team": "The team of that key.",
    "user": "On whose behalf; `key:<id>` where nobody was named.",
    "entity": "Reserved: what the answer is about, where outcomes count once for it.",
    "conversation": "The conversation it belongs to, where the caller named one.",
    "role": "The user's role, where the caller named one.",
    "parent": "Id that requests share that belong together, such as the rows of one `infer`.",
    "tags": "The caller's tags.",
    "reasons": "Why it was not simply answered: each a code and a sentence.",
    "error_code": "The code of the error that the caller got; empty where there was an answer.",
    "model": "The model that answered, or the last one that was tried.",
    "attempts": "Every try of a model, in order.",
    "input_tokens": "Tokens of input of all tries, as their upstreams counted.",
    "output_tokens": "Tokens of output of all tries.",
    "cached_tokens": "Those of the input that came from the provider's cache.",
    "reasoning_tokens": "Those of the output that were reasoning.",
    "cost_micro": "What all tries cost, in micro-dollars.",
    "reserved_micro": "What was set aside for it before the call, in micro-dollars.",
    "price_source": "Where the last try's price is from: `rates:<date>`, `override`, `free`,"
    " `unknown`.",
    "scopes": "The ceilings that it counted against: `service:…`, `user:…/…`, `key:…`.",
    "confidence": "Calibrated probability (0-1) that the answer is right; null until calibrated.",
    "certificates": "The certificates that let its answer be given without a person.",
    "verdicts": "What guards said.",
    "features": "The features that the server added.",
    "contracts": "Versions of the contracts of the sources that its features come from.",
    "cache": "What it was answered from: a `correction` and its review; null for most.",
    "timings": "Microseconds by step of the engine, in the order they ran.",
    "latency_us": "Microseconds from its arrival to its end.",
    "first_token_us": "Microseconds from its arrival to the first event of a stream; 0 for others.",
    "is_late": "Whether it took longer than `objectives.latency_p95_ms`.",
    "is_stream": "Whether the caller asked for a stream.",
    "protocol": "How it came: `native`, `openai`, `oip` or `python`.",
    "declaration_hash": "SHA-256 (hex) of the meaning of the declaration that answered.",
    "environment_hash": "SHA-256 (hex) of the interpreter and the packages that answered.",
    "input": "What was asked; null where `records.bodies` is `none`, or it was deleted.",
    "output": "What was answered; null likewise, and where there was no answer.",
    "passages": "What was found for the question, nearest first; null where nothing is looked up.",
    "score": "How sure the score model is of the answer (0-1); null where unknown or not asked.",
    "review": "The review that waits for a person in place of an answer; empty for others.",
    "decided": "Whether the answer was given alone, and what decided that, in one sentence.",
    "warnings": "What was not as it was where the release was built, and may decide answers.",
    "route": "How its model was chosen; null where the order of the file decides.",
    "is_cut_off": "Whether the answer that was given ended at its limit of tokens.",
    "prompt": "Version of the prompt that was written: the beginning of its SHA-256 (hex).",
    "context": "Tokens of prompt, passages, history and output, what was left out of them, and by "
    "what they were counted; null where no `[context]` is declared.",
}

PASSAGE = {
    "file": "The page, below the folder of all pages.",
    "heading": "The headings above it, outermost first, joined by ` > `.",
    "score": "How near the question it is (0-1).",
}

ATTEMPT = {
    "model": "The declared name of the model, or `rule:N` or `static:N` for a rung of the ladder.",
    "status": "`ok`, or why it gave no answer: see [attempts](errors.md#attempts).",
    "us": "How many microseconds it took.",
    "usage": "The tokens it used, where that is known.",
    "cost_micro": "What it cost, in micro-dollars.",
    "price_source": "Where that price is from.",
    "detail": "The error's message, or what spoke against the answer.",
    "provider": "Whose model it is, as roadworthy.toml names it.",
    "mended": "What its output needed to keep its schema: nothing, `repair` or `reask`.",
    "is_cut_off": "Whether the answer ended at its limit of tokens.",
    "retry": "Which try of this model it was, from 0.",
    "cause": "What was wrong upstream, as [attempts](errors.md#attempts) tell; empty: nothing was.",
    "input_bytes": "Bytes of JSON that went up, where that was counted.",
}

VERDICT = {
    "guard": "The name of the guard.",
    "on": "What it looked at.",
    "verdict": "What it said; `not_run` if it failed itself.",
    "reason": "Why, without a word of the user's or the model's.",
    "us": "How many microseconds it took.",
    "is_open": 'Whether it is declared `fail = "open"`, so that `not_run` lets pass.',
}

OUTCOME = {
    "id": "`oc_` and a number that sorts by time.",
    "request_id": "Which answer it is about.",
    "kind": "`label`, `correct`, `rating` or `correction`.",
    "value": "The truth, of a type that the kind says.",
    "source": "Where it is from, in the reporter's words.",
    "at_us": "When it happened, in Unix microseconds, UTC.",
    "known_at_us": "When it became known here, in Unix microseconds, UTC.",
    "by": "Who reported it: `key:<id>`.",
    "reason": "Why, in the reporter's words.",
    "weight": "How much it counts as evidence.",
    "propensity": "The chance (0-1) with which it was sampled.",
}

HOLD = {
    "id": "The request's id, whose record settles it.",
    "at_us": "When it was placed, in Unix microseconds: the day it counts on.",
    "scopes": "The ceilings it counts against.",
    "micro": "How much is set aside, in micro-dollars.",
    "lease_us": "Unix microseconds after which it no longer counts if its process died.",
    "service": "Whose request it is.",
    "key": "Whose key asked.",
    "kind": "The kind of that service.",
    "parts": "Scope to micro-dollars, where a ceiling holds only a part: that of a provider.",
}
