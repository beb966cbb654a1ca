"""What the bytes of a text file say, in the encoding that a person names or that is found out."""

from __future__ import annotations

from tuner.errors import DataError

UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The marks that text in UTF-16 begins with."""


def decode(data: bytes, encoding: str, *, where: str) -> tuple[str, bool]:
    """Return the text without its byte order mark, and whether the encoding was a mere guess.

    Where none is named it is UTF-16 if its mark is there, else UTF-8, else Windows-1252: that is the guess.

    Raises:
        DataError: when there is no encoding of that name, or it is not that of ``data``.
    """
    try:
        text = data.decode(encoding or ("utf-16" if data.startswith(UTF_16) else "utf-8"))
        return text.removeprefix("\ufeff"), False
    except LookupError:
        raise DataError(f"{where}: unknown encoding '{encoding}'; try 'utf-8' or 'windows-1252'") from None
    except UnicodeError as error:
        if encoding:
            raise DataError(f"{where}: is not text in {encoding}: {error}; try another encoding") from None
    return data.decode("windows-1252", errors="replace"), True
