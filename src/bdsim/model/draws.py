"""Random numbers with addresses: uniform(seed, researcher, year, purpose, alternative).

No stream is ever consumed, so nothing that one researcher does can change another's luck, and the same person
has the same luck in every scenario (common random numbers by identity, as in vivarium). The generator is
SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195) used as a counter: an address without its
researcher hashes to a key, and researcher i reads output number i of the sequence that starts at that key.

Runs in single precision have luck of their own: `short_output` mixes 32 bits of both halves of an address, by the
finaliser lowbias32 (Chris Wellons' hash-prospector, in the public domain, https://nullprogram.com/blog/2018/07/31/).

Every function works on Python integers, on NumPy uint64 arrays and, compiled, on machine words.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "Purpose", "key_of", "member_seed", "mix", "nearly", "output", "short_output", "short_unit", "uniform", "unit",
]  # fmt: skip

GOLDEN = 0x9E3779B97F4A7C15
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
WORD = 0xFFFFFFFFFFFFFFFF
SHORT_WORD = 0xFFFFFFFF
# Multipliers of 32 bits below as many ones, which stand for nothing: compiled, a constant this large is a word.
SHORT_FIRST, SHORT_SECOND = 0xFFFFFFFF7FEB352D, 0xFFFFFFFF846CA68B
STREAM = 0xD1342543DE82EF95  # spreads address parts that differ by one (Steele & Vigna 2022)


class Purpose:
    """What a draw is for; part of its address. Numbers are never reused."""

    COUNT = 0  # rounding a cohort to a whole number of agents
    PROMINENCE = 1
    TIES = 2
    SEAT = 3  # place on the ring of colleagues
    REWIRED = 4
    SURVIVED = 5  # still here in the first simulated year
    OFFERED = 6
    CLOCK = 7  # alternatives: 0 china, 1 elsewhere, 2 by an offer
    MEMBER = 8
    CHANCE = 9  # the chance part of a band
    POSTERIOR = 10  # proposals, resampling, and which draw a member takes
    EVENT = 11  # which way through the events, where there are too many to run them all
    SHOCK = 12  # what moves everyone in a year
    ASSUMPTION = 20  # what a member draws of a range in a scenario file
    HALF = 21  # random halves of the members of a run


def mix(z: Any) -> Any:
    """SplitMix64's finaliser: 64 bits in, 64 well-stirred bits out."""
    z = ((z ^ (z >> 30)) * FIRST) & WORD
    z = ((z ^ (z >> 27)) * SECOND) & WORD
    return z ^ (z >> 31)


def output(key: Any, i: Any) -> Any:
    """Output number i (from 0) of the SplitMix64 sequence whose state starts at `key`."""
    return mix((key + (i * GOLDEN + GOLDEN)) & WORD)


def unit(bits: Any) -> Any:
    """52 of 64 bits as a number strictly between 0 and 1 (both ends would break a logarithm)."""
    return ((bits >> 12) + 0.5) * 2.0**-52


def short_output(key: Any, i: Any) -> Any:
    """As `output`, of 32 bits, for the upper half of a key."""
    z = (key + (mix((i * GOLDEN + GOLDEN) & WORD) >> 32)) & SHORT_WORD
    z = ((z ^ (z >> 16)) * SHORT_FIRST) & SHORT_WORD
    z = ((z ^ (z >> 15)) * SHORT_SECOND) & SHORT_WORD
    return z ^ (z >> 16)


def short_unit(bits: Any) -> Any:
    """As `unit`, of 23 of 32 bits: single precision holds each of these numbers exactly."""
    return ((bits >> 9) + 0.5) * 2.0**-23


def nearly(bits: Any) -> Any:
    """1 + unit(bits), to fifteen digits; the engine replaces it by the bits themselves."""
    return 1.0 + unit(bits)


def key_of(seed: int, year: int, purpose: int, alternative: int = 0) -> int:
    """The address of a draw without its researcher, as the start of a SplitMix64 sequence."""
    address = (year << 16) + (purpose << 8) + alternative
    return int(mix((mix((seed + GOLDEN) & WORD) ^ ((address + 1) * STREAM)) & WORD))


def uniform(seed: int, researcher: Any, year: int, purpose: int, alternative: int = 0) -> Any:
    """The uniform number in (0, 1) at this address; `researcher` may be an array of identities."""
    return unit(output(key_of(seed, year, purpose, alternative), researcher))


def member_seed(seed: int, member: int) -> int:
    """The seed of member number `member` of an ensemble: the same whatever the ensemble's size."""
    return int(output(key_of(seed, 0, Purpose.MEMBER), member))
