"""Laws of the verdicts on lag, for any history of positions, ends and owners."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from streams.admin.lag_rules import SAMPLES, LagSample, Verdict, verdict


@st.composite
def histories(draw: st.DrawFn, size: int = SAMPLES) -> list[LagSample]:
    """Ends only grow, as those of a topic do; positions go anywhere within it, or were never committed."""
    end, found = draw(st.integers(0, 20)), []
    for number in range(size):
        end += draw(st.integers(0, 5))
        position = draw(st.none() | st.integers(0, end))
        found.append(LagSample(1_000 * number, position, 0, end, draw(st.booleans())))
    return found


@given(histories())
def test_without_lag_now_nothing_is_wrong(samples: list[LagSample]) -> None:
    """Rule: a partition whose last event is applied is OK, whatever came before."""
    last = samples[-1]
    assert verdict([*samples[:-1], replace(last, position=last.end)]) is Verdict.OK


@given(histories(), st.integers(0, SAMPLES - 1))
def test_too_few_samples_are_never_judged(samples: list[LagSample], count: int) -> None:
    """Rule: fewer samples than a window has say nothing, neither good nor bad."""
    assert verdict(samples[:count]) is Verdict.UNKNOWN


@given(histories(), st.integers(1, 1_000), st.integers(1, 10_000))
def test_only_differences_count(samples: list[LagSample], offset: int, later_ms: int) -> None:
    """Rule: the same history further on in the log, and at another time, means the same."""
    moved = [
        LagSample(
            s.at_ms + later_ms,
            None if s.position is None else s.position + offset,
            s.first + offset,
            s.end + offset,
            s.alive,
        )
        for s in samples
    ]
    assert verdict(moved) is verdict(samples)


@given(histories())
def test_stop_needs_an_absent_owner(samples: list[LagSample]) -> None:
    """Rule: who owns the partition to the end has not stopped it; without an owner and with old lag it is STOP."""
    assert verdict([*samples[:-1], replace(samples[-1], alive=True)]) is not Verdict.STOP
    behind = [replace(s, position=None, end=s.end + 1, alive=False) for s in samples]
    assert verdict(behind) is Verdict.STOP


@given(histories())
def test_owned_and_unmoved_is_a_stall(samples: list[LagSample]) -> None:
    """Rule: lag in every sample, an owner, and one position: STALL."""
    assert verdict([replace(s, position=0, end=s.end + 1, alive=True) for s in samples]) is Verdict.STALL


@given(histories(), st.integers(1, 5))
def test_going_back_is_told_until_it_is_made_good(samples: list[LagSample], back: int) -> None:
    """Rule: below a position that it had, an owned partition with lag is REWIND; at that position again it is not."""
    top = samples[-1].end + back
    owned = [replace(s, position=top, end=top + 9, alive=True) for s in samples]
    fallen = [*owned[:-1], replace(owned[-1], position=top - back)]
    assert verdict(fallen) is Verdict.REWIND
    assert verdict([*fallen[1:], owned[-1]]) is not Verdict.REWIND


@given(histories(), st.integers(1, 100))
def test_a_position_outside_of_the_topic_is_a_rewind(samples: list[LagSample], past: int) -> None:
    """Rule: what the topic does not hold cannot be applied, however much it holds."""
    last = samples[-1]
    assert verdict([*samples[:-1], replace(last, position=last.end + past)]) is Verdict.REWIND
    gone = replace(last, position=0, first=last.end + past, end=last.end + past)
    assert verdict([*samples[:-1], gone]) is Verdict.REWIND


@given(st.lists(st.integers(1, 9), min_size=SAMPLES, max_size=SAMPLES), st.integers(0, 5))
def test_moving_without_gaining_is_a_warning_and_gaining_once_is_not(steps: list[int], growth: int) -> None:
    """Rule: events are applied and the lag never shrinks: WARN; one sample in which it shrinks makes it OK."""
    positions = [sum(steps[: n + 1]) for n in range(SAMPLES)]
    samples = [LagSample(n, p, 0, p + 100 + growth * n, True) for n, p in enumerate(positions)]
    assert verdict(samples) is Verdict.WARN
    last = samples[-1]
    assert verdict([*samples[:-1], replace(last, position=last.position + growth + 1)]) is Verdict.OK  # type: ignore[operator]
