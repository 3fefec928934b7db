"""Agreement of numbers with nouns, verbs and pronouns, for messages."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 event" or "1,200 events"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def agreeing(number: int, singular: str, plural: str) -> str:
    """Return the verb or pronoun that agrees with a number, such as "was" or "were"."""
    return singular if number == 1 else plural
