"""Laws of the lag verdicts, for any history of positions, end offsets and owners."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from streams.admin.lag_rules import SAMPLES, LagSample, Verdict, verdict


@st.composite
def histories(draw: st.DrawFn, size: int = SAMPLES) -> list[LagSample]:
    """End offsets only grow, as in a topic. Positions are anywhere within it, or were never committed."""
    end, found = draw(st.integers(0, 20)), []
    for number in range(size):
        end += draw(st.integers(0, 5))
        position = draw(st.none() | st.integers(0, end))
        found.append(LagSample(1_000 * number, position, 0, end, draw(st.booleans())))
    return found


@given(histories())
def test_partition_without_lag_is_ok(samples: list[LagSample]) -> None:
    """Rule: a partition whose last event is applied is OK, whatever its history."""
    last = samples[-1]
    assert verdict([*samples[:-1], replace(last, position=last.end)]) is Verdict.OK


@given(histories(), st.integers(0, SAMPLES - 1))
def test_too_few_samples_are_unknown(samples: list[LagSample], count: int) -> None:
    """Rule: fewer samples than the window size give no verdict, good or bad."""
    assert verdict(samples[:count]) is Verdict.UNKNOWN


@given(histories(), st.integers(1, 1_000), st.integers(1, 10_000))
def test_only_differences_count(samples: list[LagSample], offset: int, later_ms: int) -> None:
    """Rule: the same history at other offsets and at another time has the same verdict."""
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
    """Rule: a partition with a current owner is never STOP; without an owner and with persistent lag it is."""
    assert verdict([*samples[:-1], replace(samples[-1], alive=True)]) is not Verdict.STOP
    behind = [replace(s, position=None, end=s.end + 1, alive=False) for s in samples]
    assert verdict(behind) is Verdict.STOP


@given(histories())
def test_owned_partition_without_progress_is_a_stall(samples: list[LagSample]) -> None:
    """Rule: lag in every sample, an owner, and an unchanged position are STALL."""
    assert verdict([replace(s, position=0, end=s.end + 1, alive=True) for s in samples]) is Verdict.STALL


@given(histories(), st.integers(1, 5))
def test_rewind_is_reported_until_the_position_is_reached_again(samples: list[LagSample], back: int) -> None:
    """Rule: an owned partition with lag is REWIND below an earlier position, and not once it reaches it again."""
    top = samples[-1].end + back
    owned = [replace(s, position=top, end=top + 9, alive=True) for s in samples]
    fallen = [*owned[:-1], replace(owned[-1], position=top - back)]
    assert verdict(fallen) is Verdict.REWIND
    assert verdict([*fallen[1:], owned[-1]]) is not Verdict.REWIND


@given(histories(), st.integers(1, 100))
def test_position_outside_of_the_topic_is_a_rewind(samples: list[LagSample], past: int) -> None:
    """Rule: offsets that the topic does not contain cannot have been applied."""
    last = samples[-1]
    assert verdict([*samples[:-1], replace(last, position=last.end + past)]) is Verdict.REWIND
    gone = replace(last, position=0, first=last.end + past, end=last.end + past)
    assert verdict([*samples[:-1], gone]) is Verdict.REWIND


@given(st.lists(st.integers(1, 9), min_size=SAMPLES, max_size=SAMPLES), st.integers(0, 5))
def test_lag_that_never_shrinks_is_a_warning(steps: list[int], growth: int) -> None:
    """Rule: if events are applied but the lag never shrinks, it is WARN; one sample in which it shrinks makes it OK."""
    positions = [sum(steps[: n + 1]) for n in range(SAMPLES)]
    samples = [LagSample(n, p, 0, p + 100 + growth * n, True) for n, p in enumerate(positions)]
    assert verdict(samples) is Verdict.WARN
    last = samples[-1]
    assert verdict([*samples[:-1], replace(last, position=last.position + growth + 1)]) is Verdict.OK  # type: ignore[operator]
