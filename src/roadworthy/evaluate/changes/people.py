"""Counterfactual people: the same text of somebody with another name, or of another gender."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import msgspec

from ...declare.evaluation import BehaviourEntry
from ..cases import Case
from .change import Edit, Ground, Variant, value_of, with_value

NAMES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "English": (
        ("Emily", "Claire", "Megan", "Alice", "Katie", "Hannah"),
        ("Brett", "Connor", "Geoffrey", "Matthew", "Todd", "Oliver"),
        ("Baker", "Walsh", "Murphy", "Sullivan", "Hughes", "Taylor"),
    ),
    "West African": (
        ("Adaeze", "Ngozi", "Folake", "Abena", "Aminata", "Chiamaka"),
        ("Chidi", "Emeka", "Kwame", "Oluwaseun", "Mamadou", "Kofi"),
        ("Okafor", "Adeyemi", "Mensah", "Diallo", "Eze", "Traore"),
    ),
    "Arabic": (
        ("Fatima", "Aisha", "Layla", "Noor", "Zainab", "Mariam"),
        ("Ahmed", "Mohammed", "Omar", "Khalid", "Yusuf", "Hassan"),
        ("Haddad", "Mansour", "Najjar", "Rahman", "Saleh", "Aziz"),
    ),
    "South Asian": (
        ("Priya", "Ananya", "Lakshmi", "Deepika", "Kavita", "Sunita"),
        ("Arjun", "Rohan", "Vikram", "Sanjay", "Rahul", "Suresh"),
        ("Patel", "Sharma", "Iyer", "Gupta", "Reddy", "Singh"),
    ),
    "East Asian": (
        ("Mei", "Xiu", "Yuki", "Haruka", "Minji", "Ling"),
        ("Wei", "Jian", "Kenji", "Haruto", "Minjun", "Takeshi"),
        ("Chen", "Zhang", "Tanaka", "Suzuki", "Park", "Nguyen"),
    ),
    "Spanish": (
        ("Guadalupe", "Lucia", "Ximena", "Carmen", "Esperanza", "Pilar"),
        ("Alejandro", "Diego", "Javier", "Mateo", "Santiago", "Pablo"),
        ("Garcia", "Hernandez", "Rodriguez", "Morales", "Jimenez", "Vargas"),
    ),
    "Slavic": (
        ("Oksana", "Svetlana", "Agnieszka", "Katarzyna", "Olena", "Milena"),
        ("Dmitri", "Andrzej", "Bogdan", "Piotr", "Mykola", "Zoran"),
        ("Kowalski", "Shevchenko", "Novak", "Petrov", "Horvat", "Ivanov"),
    ),
}
"""Origin → first names of women, of men, and last names; none that is a common English word."""

_GENDERED = (
    ("he", "she"),
    ("himself", "herself"),
    ("man", "woman"),
    ("men", "women"),
    ("boy", "girl"),
    ("boys", "girls"),
    ("father", "mother"),
    ("dad", "mum"),
    ("son", "daughter"),
    ("sons", "daughters"),
    ("brother", "sister"),
    ("brothers", "sisters"),
    ("husband", "wife"),
    ("uncle", "aunt"),
    ("nephew", "niece"),
    ("grandfather", "grandmother"),
    ("boyfriend", "girlfriend"),
    ("male", "female"),
    ("males", "females"),
    ("gentleman", "lady"),
    ("gentlemen", "ladies"),
    ("mr", "ms"),
    ("sir", "madam"),
    ("king", "queen"),
    ("actor", "actress"),
    ("waiter", "waitress"),
    ("businessman", "businesswoman"),
    ("chairman", "chairwoman"),
)
_OTHER_GENDER = {
    **dict(_GENDERED),
    **{woman: man for man, woman in _GENDERED},
    "mrs": "mr",
}
_MOST_ORIGINS = 3
_FIRST = {
    name: (origin, gender, index)
    for origin, names in NAMES.items()
    for gender in (0, 1)
    for index, name in enumerate(names[gender])
}
_LAST = {name: origin for origin, names in NAMES.items() for name in names[2]}
_NAME = re.compile(r"(?<![\w-])[A-Z][a-z]+(?![\w-])")
_ANY = re.compile(r"[^\W\d_]+")


def names(text: str, rng: Random, entry: BehaviourEntry) -> Iterator[Edit]:
    """Yield the text with its people named as in other parts of the world, one text an origin.

    The same name gets the same new one wherever it stands, of the same gender.
    """
    found = [name[0] for name in _NAME.finditer(text) if name[0] in _FIRST or name[0] in _LAST]
    if not found:
        return
    salt = rng.random()
    present = {_FIRST[name][0] if name in _FIRST else _LAST[name] for name in found}
    others = [origin for origin in NAMES if origin not in present]
    for origin in rng.sample(others, min(_MOST_ORIGINS, len(others))):
        new = {name: _renamed(name, origin, salt) for name in found}
        changed = _NAME.sub(lambda name, new=new: new.get(name[0], name[0]), text)  # type: ignore[misc]
        said = ", ".join(f"`{old}` became `{name}`" for old, name in new.items())
        before = _FIRST[found[0]][0] if found[0] in _FIRST else _LAST[found[0]]
        yield Edit(changed, said, f"{before} → {origin}")


def _renamed(name: str, origin: str, salt: float) -> str:
    """Return a name of another origin; different names of one gender and origin stay different."""
    women_men_last = NAMES[origin]
    if name in _FIRST:
        _, gender, index = _FIRST[name]
        pool = women_men_last[gender]
    else:
        index = NAMES[_LAST[name]][2].index(name)
        pool = women_men_last[2]
    return pool[(index + int(salt * len(pool))) % len(pool)]


def gender(text: str, rng: Random, entry: BehaviourEntry) -> Iterator[Edit]:
    """Yield the text with every man in it a woman and every woman a man."""
    told: dict[str, str] = {}

    def other(found: re.Match[str]) -> str:
        word = found[0]
        new = _other_gender(word, text[found.end() :])
        if new != word:
            told[word] = new
        return new

    changed = _ANY.sub(other, text)
    if changed != text:
        said = ", ".join(f"`{old}` became `{new}`" for old, new in told.items())
        old, new = next(iter(told.items()))
        yield Edit(changed, said, f"{old.lower()} → {new.lower()}")


def _other_gender(word: str, behind: str) -> str:
    """Return a word of the other gender; `her` is `his` before a noun, else `him`."""
    if word in _FIRST:
        origin, gender, index = _FIRST[word]
        return NAMES[origin][1 - gender][index]
    low = word.lower()
    owns = re.match(r"\s+(?!(?:and|or|to|for|in|on|at|with|by|from|a|an|the|that|if)\b)\w", behind)
    if low == "her":
        new = "his" if owns else "him"
    elif low == "his":
        new = "her" if owns else "hers"
    else:
        new = {"him": "her", "hers": "his"}.get(low) or _OTHER_GENDER.get(low, low)
    return _in_case_of(word, new) if new != low else word


def _in_case_of(word: str, new: str) -> str:
    if word.isupper() and len(word) > 1:
        return new.upper()
    return new.capitalize() if word[0].isupper() else new


def swap(case: Case, ground: Ground) -> Iterator[Variant]:
    """Yield a case with each declared pair of words swapped that occurs in it, both ways.

    In a field of text words are swapped, in any other the whole value.
    """
    for old, new in ground.entry.replace.items():
        both = _both_ways(old, new)
        changed = case
        for field in ground.entry.fields or tuple(case.input):
            value = value_of(case, field)
            after = _swapped(value, both)
            if after != value:
                changed = with_value(changed, field, after)
        if changed != case:
            yield Variant(changed, f"`{old}` and `{new}` were swapped", f"{old} ⇄ {new}")


def _both_ways(old: str, new: Any) -> dict[str, Any]:
    """Return what becomes of either; `{"true": false}` is of a field that is true or false."""
    value: Any = old
    if not isinstance(new, str):
        with suppress(msgspec.DecodeError):
            value = msgspec.json.decode(old)
    return {_key(value): new, _key(new): value}


def _key(value: Any) -> str:
    return str(value).lower()


def _swapped(value: Any, both: Mapping[str, Any]) -> Any:
    if not isinstance(value, str):
        new = both.get(_key(value), value)
        return value if isinstance(new, str) else new
    if value.lower() in both:
        new = both[value.lower()]
        return _in_case_of(value, new) if isinstance(new, str) and value else new
    words = "|".join(re.escape(word) for word in sorted(both, key=len, reverse=True) if word)
    pattern = rf"(?<!\w)(?:{words})(?!\w)"
    return re.sub(
        pattern,
        lambda found: _in_case_of(found[0], str(both[found[0].lower()])),
        value,
        flags=re.IGNORECASE,
    )
