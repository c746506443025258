"""Names that were probably meant to be a setting's."""

from collections.abc import Iterable

_SHORTEST = 6  # in the environment, where PORTS or HOSTS may well be somebody else's


def misspelt(given: Iterable[str], known: Iterable[str], *, shortest: int = 0) -> dict[str, str]:
    """Find names that are one edit away from a known one.

    An edit is a character added, dropped, changed, or swapped with its neighbour.

    Args:
        given: the names that are set, in any case.
        known: the settings' names.
        shortest: ignore names shorter than this.

    Returns:
        for each such name the one that was probably meant.
    """
    names = {name.upper() for name in known}
    found = {}
    for name in {name.upper() for name in given} - names:
        meant = next((other for other in sorted(names) if is_one_edit_away(name, other)), None)
        if meant is not None and len(name) >= shortest:
            found[name] = meant
    return found


def misspelt_in_environment(given: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """The same for the process's environment, which holds names of other programs too."""
    return misspelt(given, known, shortest=_SHORTEST)


def is_one_edit_away(one: str, other: str) -> bool:
    """Compare: one character added, dropped, changed or swapped with its neighbour apart."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if at is None:
        return True
    if len(one) == len(other):
        is_swap = one[at : at + 2] == other[at : at + 2][::-1]
        return one[at + 1 :] == other[at + 1 :] or (is_swap and one[at + 2 :] == other[at + 2 :])
    shorter, longer = sorted((one, other), key=len)
    return shorter[at:] == longer[at + 1 :]
