"""Words that turn what a text means, however alike it looks; English first, others where short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _map(pairs: str) -> Mapping[str, str]:
    """Read `word=value`; `_` in a word is a space."""
    split = (pair.split("=") for pair in pairs.split())
    return {word.replace("_", " "): value for word, value in split}


FILLERS = _set(
    """
    a an the this that these those it its i me my mine myself we us our you your he she they them
    their is are was were be been being am do does did done have has had having can could will
    would shall should may might must to of in on at for from by with as and or but if so then
    than there here what which who whom whose when where why how please kindly help hi hello hey
    thanks thank just really also still now want wants wanted need needs needed like know tell
    let get got getting go going way about any some s t m re ve d ll im ive id not no don dont
    cant cannot didnt doesnt isnt wasnt wont into out up one ok okay hers his her too very per
    via
    """
)
"""Words that carry no meaning of their own; what they turn is read by other guards."""

NEGATORS = _set(
    """
    unable hardly barely neither nor none nothing nobody nowhere aint cannot cant without non não
    nunca nem niet geen nooit nie nigdy не нет ни без değil yok inte ikke ej ei nem nincs δεν μη
    لا ليس لم לא אין नहीं नही मत
    """
)

NUMBER_WORDS = _map(
    """
    zero=0 two=2 three=3 four=4 five=5 six=6 seven=7 eight=8 nine=9 ten=10 eleven=11 twelve=12
    thirteen=13 fourteen=14 fifteen=15 sixteen=16 seventeen=17 eighteen=18 nineteen=19 twenty=20
    thirty=30 forty=40 fifty=50 sixty=60 seventy=70 eighty=80 ninety=90 hundred=100 thousand=1000
    million=1000000 billion=1000000000 first=1. second=2. third=3. fourth=4. fifth=5. last=-1.
    half=1/2 quarter=1/4 double=x2 twice=x2 triple=x3 both=2 dozen=12 single=1 once=x1 another=+1
    other=+1 multiple=n several=n many=n all=all every=all each=all
    """
)
"""`one` is left out: it is a pronoun more often than a number."""

CURRENCIES = _map(
    """
    $=usd usd=usd dollar=usd dollars=usd bucks=usd €=eur eur=eur euro=eur euros=eur £=gbp gbp=gbp
    pound=gbp pounds=gbp sterling=gbp quid=gbp ¥=jpy jpy=jpy yen=jpy ₹=inr inr=inr rupee=inr
    rupees=inr chf=chf franc=chf francs=chf aud=aud cad=cad nzd=nzd sek=sek nok=nok dkk=dkk cny=cny
    rub=rub brl=brl pln=pln btc=btc bitcoin=btc
    """
)

TIMES = _map(
    """
    monday=mon tuesday=tue wednesday=wed thursday=thu friday=fri saturday=sat sunday=sun mon=mon
    tue=tue wed=wed thu=thu fri=fri january=jan february=feb march=mar april=apr june=jun july=jul
    august=aug september=sep october=oct november=nov december=dec feb=feb apr=apr jul=jul aug=aug
    sep=sep oct=oct nov=nov dec=dec today=today tomorrow=tomorrow yesterday=yesterday
    tonight=tonight morning=morning afternoon=afternoon evening=evening night=night noon=noon
    midnight=midnight weekend=weekend daily=daily weekly=weekly monthly=monthly yearly=yearly
    annual=yearly annually=yearly hourly=hourly spring=spring summer=summer autumn=autumn
    winter=winter christmas=christmas easter=easter seconds=second minute=minute minutes=minute
    hour=hour hours=hour day=day days=day week=week weeks=week month=month months=month year=year
    years=year pm=pm next=next previous=previous ago=ago
    """
)
"""Without `am`, `may`, `sun` and other words that mean something else more often."""

QUESTIONS = _map(
    """
    when=when what_time=when how_soon=when what_day=when where=where which_country=where
    which_countries=where who=who whose=who whom=who why=why how_come=why how_long=duration
    how_many=amount how_much=amount how_often=often
    """
)
"""A first word or two -> what is asked for. `how`, `what` and `can` ask for the same too often."""


def _opposites(pairs: Iterable[str]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for pair in pairs:
        one, other = pair.split("/")
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return {word: frozenset(against) for word, against in found.items()}


OPPOSITE = _opposites(
    _set(
        """
        on/off in/out up/down before/after above/below over/under more/less most/least
        increase/decrease raise/lower rise/fall higher/lower maximum/minimum max/min
        begin/end start/stop start/end open/close enable/disable activate/cancel
        activate/deactivate lock/unlock freeze/unfreeze block/unblock buy/sell
        send/receive sent/received sending/receiving deposit/withdraw deposit/withdrawal
        credit/debit incoming/outgoing import/export arrive/depart arrival/departure
        inbound/outbound login/logout add/remove insert/delete create/delete create/close
        accept/reject accept/decline approve/reject approve/decline approved/declined
        allow/forbid allow/deny allow/block include/exclude win/lose lost/found pass/fail
        passed/failed success/failure hot/cold cheap/expensive big/small large/small
        long/short fast/slow early/late earlier/later old/new older/newer older/younger
        left/right north/south east/west domestic/international national/international
        physical/virtual personal/business private/public minor/adult child/adult
        male/female man/woman husband/wife mother/father son/daughter brother/sister
        landlord/tenant employer/employee buyer/seller sender/recipient sender/receiver
        lender/borrower always/never always/sometimes with/without upgrade/downgrade
        subscribe/unsubscribe install/uninstall connect/disconnect mute/unmute show/hide
        push/pull prepaid/postpaid checked/carry refund/charge gain/lose profit/loss
        positive/negative safe/dangerous legal/illegal possible/impossible able/unable
        free/paid top/bottom front/back inside/outside indoor/outdoor day/night dogs/cats
        dog/cat breakfast/dinner upload/download zoom/shrink check/uncheck mine/yours
        his/her he/she him/her his/hers gross/net fixed/variable weekday/weekend
        weekdays/weekends departing/arriving
        """
    )
)
"""A word -> the words that turn it round."""

LANGUAGES: Mapping[str, frozenset[str]] = {
    "en": _set("the is are was my your how what do does can i you it of to and for have not with"),
    "de": _set(
        "der die das ist sind ich wie was nicht ein eine mein meine und mit kann für auf zu"
    ),
    "fr": _set("le la les est sont je vous comment que ne pas un une mon ma des du et pour dans"),
    "es": _set(
        "el la los las es son yo cómo como qué que no un una mi del y para con puedo "
        "por dónde está cuándo quiero tengo"
    ),
    "it": _set("il lo la gli è sono io come che non un una mio mia di e per con posso del"),
    "pt": _set("o a os as é são eu como que não um uma meu minha do da e para com posso"),
    "nl": _set("de het een is zijn ik hoe wat niet mijn en met kan voor op te van"),
    "pl": _set("jest są jak co nie mój moja i z mogę dla na do się to czy"),
    "sv": _set("är och jag hur vad inte en ett min mitt med kan för på att det"),
    "tr": _set("bir ve ben nasil ne değil için ile bu mi var yok"),
}
"""Small words that tell a language of Latin script; a text that has none is of an unknown one."""
