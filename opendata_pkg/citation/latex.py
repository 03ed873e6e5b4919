"""Text as LaTeX: special characters escaped, and for classic BibTeX all that 8-bit programs know as commands."""

# ruff: noqa: RUF001 - a table of letters that look like others

from __future__ import annotations

import re
import unicodedata

from opendata_pkg.citation.model import one_line

# No brace is ever written alone: BibTeX counts braces, escaped or not.
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # These print as other signs in LaTeX's oldest font encoding, which is still its default.
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\`{}",
    # What `_prepare` puts in: nothing between two hyphens, opening and closing quotes.
    "\x00": "{}",
    "\x01": "``",
    "\x02": "''",
}
_LETTERS = {
    "ß": r"{\ss}",
    "ẞ": "SS",
    "æ": r"{\ae}",
    "Æ": r"{\AE}",
    "œ": r"{\oe}",
    "Œ": r"{\OE}",
    "ø": r"{\o}",
    "Ø": r"{\O}",
    "å": r"{\aa}",
    "Å": r"{\AA}",
    "ł": r"{\l}",
    "Ł": r"{\L}",
    "ı": r"{\i}",
    "đ": r"{d}",
    "Đ": r"{D}",
    "ð": r"{d}",
    "Ð": r"{D}",
    "þ": r"{th}",
    "Þ": r"{Th}",
    "–": "--",
    "—": "---",
    "‐": "-",
    "‑": "-",
    "‘": r"{\textquoteleft}",
    "’": "'",
    "“": r"{\textquotedblleft}",
    "”": r"{\textquotedblright}",
    "„": r"{,,}",
    "«": r"{\ensuremath{\ll}}",
    "»": r"{\ensuremath{\gg}}",
    "…": r"{\ldots}",
    "·": r"{\textperiodcentered}",
    "•": r"{\textbullet}",
    "†": r"{\dag}",
    "§": r"{\S}",
    "¶": r"{\P}",
    "©": r"{\copyright}",
    "®": r"{\textregistered}",
    "™": r"{\texttrademark}",
    "£": r"{\pounds}",
    "¡": r"{\textexclamdown}",
    "¿": r"{\textquestiondown}",
    "µ": r"{\ensuremath{\mu}}",
    "°": r"{\ensuremath{^\circ}}",
    "×": r"{\ensuremath{\times}}",
    "±": r"{\ensuremath{\pm}}",
    "−": r"{\ensuremath{-}}",
    "≤": r"{\ensuremath{\leq}}",
    "≥": r"{\ensuremath{\geq}}",
    "≈": r"{\ensuremath{\approx}}",
    "→": r"{\ensuremath{\rightarrow}}",
    "′": r"{\ensuremath{'}}",
    "∞": r"{\ensuremath{\infty}}",
    "\u00ad": "",
}
# Combining marks by the accent commands that LaTeX has without packages.
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0326": "textcommabelow",
    "\u0327": "c",
    # An ogonek, as in ą, which that encoding cannot write: the letter alone is readable, an error is not.
    "\u0328": "",
    "\u0331": "b",
}
_GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER ([A-Z ]+)")
_GREEK_SMALL = {
    "FINAL SIGMA": "varsigma",
    "LAMDA": "lambda",
    **{
        name.upper(): name
        for name in (
            *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "mu", "nu", "xi"),
            *("pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
        )
    },
}
_GREEK_CAPITALS = {"GAMMA", "DELTA", "THETA", "LAMDA", "XI", "PI", "SIGMA", "PHI", "PSI", "OMEGA"}
# Capitals that LaTeX does not name, since they look as Latin ones do.
_LATIN_LOOKS = dict(
    zip(
        (
            "ALPHA",
            "BETA",
            "EPSILON",
            "ZETA",
            "ETA",
            "IOTA",
            "KAPPA",
            "MU",
            "NU",
            "OMICRON",
            "RHO",
            "TAU",
            "UPSILON",
            "CHI",
        ),
        "ABEZHIKMNOPTYX",
        strict=True,
    )
)
_ABOVE = 230
"""Unicode's combining class of marks above a letter."""
_HYPHENS = re.compile(r"-(?=-)")
_OPENING = re.compile(r'(?:^|(?<=[\s(\[{-]))"')


def escape(text: str) -> str:
    """`text` on one line with every special character of TeX escaped; other Unicode stays (for biber, LuaLaTeX)."""
    return "".join(_SPECIAL.get(sign, sign) for sign in _prepare(text))


def transliterate(text: str) -> str:
    r"""`text` in ASCII as far as LaTeX without packages has commands for it; the rest stays as it is.

    Accented letters are in braces (`{\"u}`): BibTeX then takes each for one letter when it sorts and abbreviates.
    """
    # Compatibility forms first keep what has a command of its own: `å` is one letter, not one with a ring.
    return "".join(map(_transliterate_character, unicodedata.normalize("NFC", _prepare(text))))


def _prepare(text: str) -> str:
    # Hyphens in a row, and straight quotes, are signs of TeX's own.
    text = _HYPHENS.sub("-\x00", one_line(text))
    return _OPENING.sub("\x01", text).replace('"', "\x02")


def _transliterate_character(sign: str) -> str:
    if sign.isascii():
        return _SPECIAL.get(sign, sign)
    if (known := _LETTERS.get(sign)) is not None:
        return known
    base, *marks = list(unicodedata.normalize("NFD", sign))
    if marks:
        return _accented(sign, base, marks)
    return _greek(sign) or sign


def _accented(sign: str, base: str, marks: list[str]) -> str:
    if not base.isascii() or not base.isalpha() or any(mark not in _ACCENTS for mark in marks):
        return sign
    # An accent takes the place of the dot; what hangs below does not.
    above = unicodedata.combining(marks[0]) == _ABOVE
    said = f"\\{base}" if base in "ij" and above else base
    for mark in marks:
        said = f"\\{_ACCENTS[mark]}{{{said}}}" if _ACCENTS[mark] else said
    return f"{{{said}}}"


def _greek(sign: str) -> str | None:
    match = _GREEK.fullmatch(unicodedata.name(sign, ""))
    if match is None:
        return None
    size, name = match[1], match[2]
    if size == "CAPITAL" and name in _LATIN_LOOKS:
        return _LATIN_LOOKS[name]
    if size == "SMALL" and name == "OMICRON":
        return "o"
    command = _GREEK_SMALL.get(name)
    if command is None or (size == "CAPITAL" and name not in _GREEK_CAPITALS):
        return None
    return f"{{\\ensuremath{{\\{command.capitalize() if size == 'CAPITAL' else command}}}}}"
